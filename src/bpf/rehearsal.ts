/**
 * The packet programs once more, beside those in force: with the agent's own rows shared, and flow tables, counters and all
 * that packets write of their own. What runs there changes nothing of the node.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { counter, type Knobs, type MapName, reasons, maps as shapes } from '../../maps-schema/gen/codecs.ts';
import { haveConntrack } from './conntrack.ts';
import { kernelError } from './errno.ts';
import type { KernelPerCpuArray } from './kernel-map.ts';
import { type LoadedPrograms, loadPrograms } from './loader.ts';
import { objGet, objPin } from './object.ts';
import { type Maps, openMaps } from './open-maps.ts';
import { mapPin } from './paths.ts';
import { close } from './syscall.ts';
import { testRun } from './test-run.ts';

/** Not packets' to write, and yet not shared: the flow tables' sizes stand in one, nobody needs the others. */
const OWN: ReadonlySet<MapName> = new Set(['control', 'report', 'history']);
/** Own maps are small: a few packets meet them. */
const SIZES: Partial<Record<MapName, number>> = {
  flows: 64,
  halfOpenFlows: 64,
  choiceTurns: 64,
  affinities: 64,
  fragments: 64,
  sockFlows: 64,
  sockPeers: 64,
  sockNames: 64,
  agentSockets: 64,
  snatBackends: 64,
  report: 1,
  history: 1,
  monitor: 4096,
  serviceSignals: 64,
};
/** What `control` says of next hops, forwarding and ServiceCIDRs; the rest is of the flow tables. */
const CONTROL_SHARED = 8;

export type RehearsedVerdict = 'next' | 'drop' | 'redirect';
const VERDICTS: Readonly<Record<number, RehearsedVerdict>> = { 4294967295: 'next', 2: 'drop', 7: 'redirect' };
/** Offsets in struct __sk_buff. */
const SKB = { ingressIfindex: 36, ifindex: 40, size: 192 } as const;

export interface Rehearsed {
  /** undefined: the program returned what none of ours does. */
  readonly verdict: RehearsedVerdict | undefined;
  /** Names in `enum reason` that were counted. */
  readonly reasons: readonly string[];
  /** As the program left it. */
  readonly frame: Buffer;
}

export interface Rehearsal {
  /** @param from index of the device that a frame which leaves came in by; undefined: the node sends it */
  run(program: 'ingress' | 'egress', frame: Buffer, ifindex: number, from?: number): Rehearsed;
  /** Takes over who was given which backend, of one client. @param key struct affinity_key */
  copyAffinity(key: Buffer): void;
  close(): void;
}

export interface RehearsalOptions {
  /** Of the programs in force. */
  readonly pinDirectory: string;
  readonly objectDirectory: string;
  readonly knobs: Knobs;
}

/** @throws SluiceError as `loadPrograms`; nothing stays pinned, whatever happens. */
export async function createRehearsal({ pinDirectory, objectDirectory, knobs }: RehearsalOptions): Promise<Rehearsal> {
  const directory = join(pinDirectory, `rehearsal_${process.pid}`);
  const real = openMaps(pinDirectory, { readOnly: true });
  let loaded: LoadedPrograms | undefined;
  let own: Maps | undefined;
  try {
    mkdirSync(join(directory, 'maps'), { recursive: true });
    share(pinDirectory, directory);
    loaded = await loadPrograms({
      objectDirectory,
      pinDirectory: directory,
      knobs,
      conntrack: haveConntrack(),
      mapSizes: SIZES,
      objects: ['tc.bpf.o'],
    });
    own = openMaps(directory);
    // Opened by their pins, which go: descriptors and memory stay.
    real.control.view.copy(own.control.view, 0, 0, CONTROL_SHARED);
    real.knownAddresses.view.copy(own.knownAddresses.view);
    const rehearsal = rehearse(loaded, own.counters, own.affinities, real.affinities);
    const [programs, maps] = [loaded, own];
    return {
      ...rehearsal,
      close() {
        programs.close();
        maps.close();
        real.close();
      },
    };
  } catch (error) {
    loaded?.close();
    own?.close();
    real.close();
    throw error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function share(from: string, to: string): void {
  for (const [name, shape] of Object.entries(shapes)) {
    if (shape.writtenByDataPath || OWN.has(name as MapName)) continue;
    const fd = objGet(mapPin(from, shape.name));
    if (fd < 0) throw kernelError('MAP_FAILED', `open map ${shape.name}`, 'BPF_OBJ_GET', -fd);
    const pinned = objPin(fd, mapPin(to, shape.name));
    close(fd);
    if (pinned < 0) throw kernelError('MAP_FAILED', `share map ${shape.name}`, 'BPF_OBJ_PIN', -pinned);
  }
}

function rehearse(
  loaded: LoadedPrograms,
  counters: KernelPerCpuArray,
  affinities: Maps['affinities'],
  realAffinities: Maps['affinities'],
): Omit<Rehearsal, 'close'> {
  const counts = () =>
    reasons.map((_, i) => counters.lookup(i).reduce((sum, value) => sum + counter.read(value, 0).packets, 0n));
  return {
    run(program, data, ifindex, from = 0) {
      const context = Buffer.alloc(SKB.size);
      context.writeUInt32LE(ifindex, SKB.ifindex);
      context.writeUInt32LE(from, SKB.ingressIfindex);
      const before = counts();
      const result = testRun(loaded.program(program), { data, context });
      const after = counts();
      return {
        verdict: VERDICTS[result.retval],
        reasons: reasons.flatMap(({ name }, i) => ((after[i] ?? 0n) > (before[i] ?? 0n) ? [name] : [])),
        frame: Buffer.from(result.data),
      };
    },
    copyAffinity(key) {
      const value = realAffinities.lookup(key);
      if (value !== undefined) affinities.update(key, value);
    },
  };
}
