/** A kernel in memory, and a command line run against it. */
import { type Codec, encode } from '../../../maps-schema/codec.ts';
import {
  type BackendSlot,
  backendSlot,
  backendState,
  type Counter,
  counter,
  type Flow,
  type FlowKey,
  type Frontend,
  type FrontendKey,
  flow,
  flowKey,
  frontend,
  frontendKey,
  servicePort,
  servicePortKey,
  maps as shapes,
  tally,
} from '../../../maps-schema/gen/codecs.ts';
import { type FlowTableName, flowTableShape, flowTables } from '../../../src/bpf/flow-table.ts';
import type { KernelHash } from '../../../src/bpf/kernel-map.ts';
import type { Maps } from '../../../src/bpf/open-maps.ts';
import type { AgentOptions } from '../../../src/cli/agent-options.ts';
import type { Kernel } from '../../../src/cli/kernel.ts';
import { type CliDependencies, runCli } from '../../../src/cli/run.ts';
import { textSink } from '../../../src/cli/sink.ts';
import { createMemoryArray, createMemoryHash } from '../../support/memory-map.ts';

/** The tables of flows can be written to. */
export type FakeMaps = Maps & Readonly<Record<FlowTableName, KernelHash>>;

/** All maps of the schema, small and empty. @param counts by reason @param events entries by table event */
export function createMaps(
  counts: Readonly<Record<number, readonly Counter[]>> = {},
  events: Readonly<Record<number, bigint>> = {},
): FakeMaps {
  const entries = Object.entries(shapes).map(([name, shape]) => [
    name,
    shape.type === 'ARRAY' ? createMemoryArray(shape, 64) : createMemoryHash(shape),
  ]);
  return {
    ...Object.fromEntries(entries),
    ...Object.fromEntries(flowTables.map((name) => [name, createMemoryHash(flowTableShape(name))])),
    counters: {
      shape: shapes.counters,
      lookup: (index: number) => (counts[index] ?? [{ packets: 0n, bytes: 0n }]).map((value) => encode(counter, value)),
    },
    tableEvents: {
      shape: shapes.tableEvents,
      lookup: (index: number) => [encode(tally, { entries: events[index] ?? 0n })],
    },
    close() {},
  } as FakeMaps;
}

export function put<K, V>(map: KernelHash, keyCodec: Codec<K>, key: K, valueCodec: Codec<V>, value: V): void {
  map.update(encode(keyCodec, key), encode(valueCodec, value));
}

export function putName(maps: Maps, id: number, name: string, port = ''): void {
  const [namespace = '', service = ''] = name.split('/');
  put(maps.servicePorts, servicePortKey, { id }, servicePort, {
    namespace,
    service,
    portName: port,
    proto: 6,
    family: 4,
  });
}

export function putFrontend(maps: Maps, key: Partial<FrontendKey>, value: Partial<Frontend>): void {
  const extents = { internalBase: 0, internalCount: 0, externalBase: 0, externalCount: 0 };
  const whole: Frontend = { servicePortId: 1, flags: 1, ...extents, affinitySeconds: 0, ...value };
  put(maps.frontends, frontendKey, { address: '10.96.0.1', port: 80, proto: 6, ...key }, frontend, whole);
}

/** Writes a slot and, when it has a backend, its state. */
export function putSlot(maps: Maps, slot: number, value: Partial<BackendSlot>, serving = true): void {
  const whole: BackendSlot = { address: `10.244.0.${slot}`, port: 8080, flags: 0, backendId: slot, ...value };
  backendSlot.write(maps.backendSlots.view, slot * maps.backendSlots.stride, whole);
  const at = whole.backendId * maps.backendStates.stride;
  backendState.write(maps.backendStates.view, at, { generation: 1, flags: serving ? 1 : 0 });
}

export function putFlow(map: KernelHash, key: Partial<FlowKey>, value: Partial<Flow>): void {
  const wholeKey: FlowKey = {
    saddr: '192.0.2.9',
    daddr: '10.96.0.1',
    sport: 4000,
    dport: 80,
    proto: 6,
    hook: 0,
    ...key,
  };
  const mac = '00:00:00:00:00:00';
  const zero = { addressDelta: 0, portDelta: 0, ifindex: 0, nexthopGeneration: 0, nexthopStamp: 0, mtu: 0 };
  const from = { saddr: '192.0.2.9', daddr: '10.244.0.1', sport: 4000, dport: 8080 };
  const ids = { servicePortId: 1, backendId: 1, backendGeneration: 1 };
  const times = { lastSeen: 0, created: 0, packets: 1n, bytes: 60n };
  put(map, flowKey, wholeKey, flow, { ...zero, ...from, ...ids, ...times, flags: 0, dmac: mac, smac: mac, ...value });
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What the agent was started with. */
  readonly agent: AgentOptions | undefined;
}

/** Runs `sluice` with the given words. */
export async function sluice(
  words: readonly string[],
  kernel: Partial<Kernel> = {},
  more: Partial<Pick<CliDependencies, 'now' | 'wait' | 'interruption' | 'verify'>> = {},
): Promise<Outcome> {
  const out = textSink();
  const err = textSink();
  let agent: AgentOptions | undefined;
  const code = await runCli(words, {
    version: '1.2.3',
    hostname: () => ' Node-A.Example\n',
    out,
    err,
    runAgent: async (options) => {
      agent = options;
      return 0;
    },
    kernel: { ...emptyKernel, ...kernel },
    ...more,
  });
  return { code, out: out.text, err: err.text, agent };
}

const emptyKernel: Kernel = {
  openMaps: () => createMaps(),
  listLinks: () => [],
  listPrograms: () => [],
  listFilters: () => [],
  agentHolds: () => true,
  probeFeatures: () => [],
  readClock: async () => undefined,
  monotonic: () => 0n,
  openEvents: () => {
    throw new Error('no events here');
  },
  readKnobs: () => undefined,
  readRoutes: () => new Map(),
  createRehearsal: () => Promise.reject(new Error('no programs here')),
  removeEverything: () => ({ links: 0, filters: 0, programs: 0, maps: 0, directories: [] }),
  removeKubeProxy: () => ({ chains: 0, tables: 0, devices: 0, sets: 0, failures: [] }),
  removeKeepingTables: () => 0,
  readKubeProxyRules: () => ({ found: [], unread: [] }),
  findKubeProxy: () => ({ visible: true, found: [] }),
  detach: () => {},
};

/** A kernel with these maps. */
export function kernelWith(maps: Maps, more: Partial<Kernel> = {}): Partial<Kernel> {
  return { openMaps: () => maps, ...more };
}
