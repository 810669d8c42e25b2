/** The real programs in namespaces of the test's own: loaded once for each setting, their maps shared. */
import { fileURLToPath } from 'node:url';
import { counter, type Knobs, knobs as knobsCodec, reasons } from '../../../maps-schema/gen/codecs.ts';
import { attachCgroup, CGROUP_ATTACH_TYPES, type CgroupHook } from '../../../src/bpf/attach-cgroup.ts';
import { detachAll } from '../../../src/bpf/attach-tc.ts';
import { hasFeature, probeFeatures } from '../../../src/bpf/features.ts';
import { measureJiffiesPerSecond } from '../../../src/bpf/jiffies.ts';
import { type LoadedPrograms, loadPrograms } from '../../../src/bpf/loader.ts';
import { netnsCookie } from '../../../src/bpf/netns.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory, linkName, linkPin } from '../../../src/bpf/paths.ts';
import { testRun } from '../../../src/bpf/test-run.ts';
import { readHost } from '../../../src/host/read.ts';
import type { HostState } from '../../../src/host/state.ts';
import { mountBpffs, SMALL_MAPS } from '../../kernel/bpf/rig.ts';
import { createNetwork } from '../../support/packet/network.ts';
import { addNeighbours, createPodNamespace, enterCgroup } from './namespaces.ts';

const OBJECTS = process.env.SLUICE_BPF_OBJECTS ?? fileURLToPath(new URL('../../../dist/bpf', import.meta.url));
const VERDICTS: Readonly<Record<number, Verdict>> = { 4294967295: 'NEXT', 2: 'DROP', 7: 'REDIRECT' };
/** Offsets in struct __sk_buff, and its size. */
const SKB = { ingressIfindex: 36, ifindex: 40, size: 192 } as const;

export type Verdict = 'NEXT' | 'DROP' | 'REDIRECT';
export type DeviceName = 'node0' | 'pod0';

export interface Passed {
  readonly verdict: Verdict;
  readonly frame: Buffer;
  /** Why it was dropped, as counted; only after DROP. */
  readonly reason?: string;
}

export interface Kernel {
  readonly maps: Maps;
  readonly pinDirectory: string;
  readonly host: HostState;
  /** What does not depend on a configuration. */
  readonly machine: Pick<Knobs, 'hostNetnsCookie' | 'jiffiesPerSecond' | 'haveSetRetval'>;
  /** Puts programs with these knobs in force. */
  use(knobs: Knobs): Promise<void>;
  /** @param from at egress: the device that a forwarded packet came by */
  run(hook: 'ingress' | 'egress', device: DeviceName, frame: Buffer, from?: DeviceName): Passed;
  inPod<T>(work: () => T): T;
  remove(): void;
}

export async function createKernel(): Promise<Kernel> {
  const undo: (() => void)[] = [];
  const remove = () => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    return await build(undo, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

async function build(undo: (() => void)[], remove: () => void): Promise<Kernel> {
  const network = createNetwork();
  undo.push(() => network.remove());
  addNeighbours();
  const pod = createPodNamespace();
  undo.push(() => pod.remove());
  const bpffs = mountBpffs();
  undo.push(() => bpffs.remove());
  const cgroup = enterCgroup();
  undo.push(() => cgroup.remove());
  const pinDirectory = ensurePinDirectory(bpffs.root);
  undo.push(() => detachAll(pinDirectory));

  const variants = new Map<string, LoadedPrograms>();
  undo.push(() => {
    for (const loaded of variants.values()) loaded.close();
  });
  let knobsInForce = '';
  let tc: LoadedPrograms | undefined;
  let sockets: LoadedPrograms | undefined;

  async function load(object: string, knobs: Knobs): Promise<LoadedPrograms> {
    const key = object + JSON.stringify(knobs, (_, value) => (typeof value === 'bigint' ? String(value) : value));
    const loaded =
      variants.get(key) ??
      (await loadPrograms({ objectDirectory: OBJECTS, pinDirectory, knobs, mapSizes: SIZES, objects: [object] }));
    variants.set(key, loaded);
    return loaded;
  }

  function attachSockets(loaded: LoadedPrograms): void {
    for (const attachType of Object.keys(CGROUP_ATTACH_TYPES) as CgroupHook[]) {
      // It would hide where a socket is pointed.
      if (attachType.startsWith('getpeername')) continue;
      const pin = linkPin(pinDirectory, linkName('cgroup', attachType));
      attachCgroup({ programFd: loaded.program(attachType), cgroup: cgroup.path, attachType, pin });
    }
  }

  async function use(knobs: Knobs): Promise<void> {
    const wanted = Object.values(knobs).join();
    if (wanted === knobsInForce) return;
    // Each object has some of the knobs: the others do not make another variant of it.
    tc = await load('tc.bpf.o', { ...knobs, socketLbPods: 0, localhostNodePorts: 0 });
    const before = sockets;
    sockets = await load('sock.bpf.o', { ...knobs, detectPods4: 0, detectPods6: 0 });
    if (sockets !== before) attachSockets(sockets);
    knobsInForce = wanted;
  }

  const machine = {
    hostNetnsCookie: netnsCookie(),
    jiffiesPerSecond: await measureJiffiesPerSecond(),
    haveSetRetval: hasFeature(probeFeatures(), 'set_retval') ? 1 : 0,
  };
  const host = await readHost();
  // The maps are made with the first programs.
  await use({ ...knobsCodec.read(Buffer.alloc(knobsCodec.size), 0), ...machine });
  const opened = openMaps(pinDirectory);
  undo.push(() => opened.close());

  const context = Buffer.alloc(SKB.size);
  const ifindex: Record<DeviceName, number> = { node0: network.ifindex('node0'), pod0: network.ifindex('pod0') };
  const drops = () =>
    reasons.map((_, i) =>
      i === 0 ? 0 : opened.counters.lookup(i).reduce((sum, value) => sum + Number(counter.read(value, 0).packets), 0),
    );
  let dropped = drops();

  /** Counted since the last drop: reasons of drops alone. */
  function dropReason(): string {
    const now = drops();
    const found = reasons.filter(({ name }, i) => name.startsWith('DROP') && (now[i] ?? 0) > (dropped[i] ?? 0));
    dropped = now;
    return found.map(({ name }) => name).join('+');
  }

  return {
    maps: opened,
    pinDirectory,
    host,
    machine,
    use,
    inPod: pod.inside,
    run(hook, device, frame, from) {
      context.fill(0);
      context.writeUInt32LE(ifindex[device], SKB.ifindex);
      if (from !== undefined) context.writeUInt32LE(ifindex[from], SKB.ingressIfindex);
      if (tc === undefined) throw new Error('no programs are loaded');
      const result = testRun(tc.program(hook), { data: frame, context });
      const verdict = VERDICTS[result.retval];
      if (verdict === undefined) throw new Error(`verdict ${result.retval}`);
      return { verdict, frame: Buffer.from(result.data), ...(verdict === 'DROP' ? { reason: dropReason() } : {}) };
    },
    remove,
  };
}

const SIZES = { ...SMALL_MAPS, flows: 512, halfOpenFlows: 256, sockPeers: 8192 } as const;
