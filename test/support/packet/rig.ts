/** The real packet programs, loaded into a bpffs of the test's own and run on frames with BPF_PROG_TEST_RUN. */
import { fileURLToPath } from 'node:url';
import { encode } from '../../../maps-schema/codec.ts';
import {
  counter,
  DEVICE_NODE,
  DEVICE_POD,
  type Flow,
  type FlowKey,
  flow,
  flowKey,
  type Knobs,
  knobs as knobsCodec,
  type MapName,
  NODE_ADDRESS_LOCAL,
  NODE_ADDRESS_NODE_PORT,
  reasons,
  XDP_CHOICE_NATIVE,
  XDP_CHOICE_OFF,
} from '../../../maps-schema/gen/codecs.ts';
import { haveConntrack } from '../../../src/bpf/conntrack.ts';
import { emptyFlowTable, type FlowTableName, flowTables } from '../../../src/bpf/flow-table.ts';
import type { KernelHash } from '../../../src/bpf/kernel-map.ts';
import { loadPrograms } from '../../../src/bpf/loader.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory } from '../../../src/bpf/paths.ts';
import { runSweep, type Swept } from '../../../src/bpf/sweep.ts';
import { testRun } from '../../../src/bpf/test-run.ts';
import type { CompiledService } from '../../../src/model/compiled.ts';
import type { NodeTables } from '../../../src/tables/node-tables.ts';
import { createTables, type Tables } from '../../../src/tables/tables.ts';
import { mountBpffs, SMALL_MAPS } from '../../kernel/bpf/rig.ts';
import { changeFlow } from './flow-rows.ts';
import {
  CHECKSUM_COMPLETE,
  needsChecksumComplete,
  needsIngressDevice,
  needsXdpContext,
  SKB,
  XDP_MD,
} from './kernel.ts';
import { BRIDGE, createNetwork, type DeviceName, MACS, NODE, NODE_SECOND } from './network.ts';
import { type ParsedFrame, parseFrame, tupleText } from './parser.ts';

export type Verdict = 'NEXT' | 'DROP' | 'REDIRECT';
const VERDICTS: Readonly<Record<number, Verdict>> = { 4294967295: 'NEXT', 2: 'DROP', 7: 'REDIRECT' };
/** XDP_PASS is NEXT too: the packet goes on to tc. XDP_TX is a redirection to where it came from. */
const XDP_VERDICTS: Readonly<Record<number, Verdict>> = { 1: 'DROP', 2: 'NEXT', 3: 'REDIRECT', 4: 'REDIRECT' };

/** Where the programs under test are; another build of them can be put in their place. */
const OBJECTS = process.env.SLUICE_BPF_OBJECTS ?? fileURLToPath(new URL('../../../dist/bpf', import.meta.url));

/** By which programs a packet comes in: tc alone, or XDP first and tc with what XDP lets pass. */
export type Way = 'tc' | 'xdp';
export const WAYS: readonly Way[] = ['tc', 'xdp'];
/** SLUICE_PACKET_WAY=xdp sends the packets of every packet test through XDP first. */
const DEFAULT_WAY: Way = process.env.SLUICE_PACKET_WAY === 'xdp' ? 'xdp' : 'tc';

/** struct __sk_buff for a run. @param ingress index of the device that a forwarded packet came in by; 0 else */
export function skbContext(ifindex: number, ingress = 0, mark = 0): Buffer {
  const context = Buffer.alloc(SKB.size);
  context.writeUInt32LE(ifindex, SKB.ifindex);
  context.writeUInt32LE(mark, SKB.mark);
  context.writeUInt32LE(ingress, SKB.ingressIfindex);
  return context;
}

/** struct xdp_md for a run. @param length of the frame, in bytes */
export function xdpContext(ifindex: number, length: number): Buffer {
  const context = Buffer.alloc(XDP_MD.size);
  context.writeUInt32LE(length, XDP_MD.dataEnd);
  context.writeUInt32LE(ifindex, XDP_MD.ingressIfindex);
  return context;
}

export type MapSizes = Partial<Record<MapName, number>>;

export interface Outcome {
  readonly verdict: Verdict;
  /** The hook that had the last word. */
  readonly hook: Way;
  readonly frame: Buffer;
  /** skb->mark afterwards. */
  readonly mark: number;
  /** Reasons counted, in the order of the schema. */
  readonly reasons: readonly string[];
  /** @throws when a checksum does not hold. */
  parsed(): ParsedFrame;
  /** `address port > address port` of the frame. */
  tuple(): string;
}

export interface RunOptions {
  /** The device that the frame came in by or leaves by; default node0. */
  readonly device?: DeviceName;
  /** At egress: the device that it came in by, when it is forwarded; default: a process of the node sent it. */
  readonly from?: DeviceName;
  /** The device has summed the packet (CHECKSUM_COMPLETE): the sum has to follow every change. */
  readonly summed?: boolean;
  /** skb->mark that the packet comes with; default 0. */
  readonly mark?: number;
  /** At ingress; default that of the rig. */
  readonly way?: Way;
}

export interface FlowRow {
  readonly key: FlowKey;
  readonly flow: Flow;
}

export interface PacketRig {
  readonly maps: Maps;
  readonly pinDirectory: string;
  readonly tables: Tables;
  /** What the tables of the node say. */
  readonly node: NodeTables;
  ifindex(device: DeviceName): number;
  /** Makes these the only Services, and forgets flows and affinities. */
  serve(...services: readonly CompiledService[]): void;
  /** Empties both flow tables. */
  forgetFlows(): void;
  /** Makes these the only Services; flows stay. */
  change(...services: readonly CompiledService[]): void;
  ingress(frame: Buffer, options?: RunOptions): Outcome;
  egress(frame: Buffer, options?: RunOptions): Outcome;
  /** Descriptor of a program. */
  program(name: 'ingress' | 'egress' | 'xdp_ingress'): number;
  flows(table: FlowTableName): FlowRow[];
  /** Writes a row that is there as if the data path had: to make a flow old. */
  putFlow(table: FlowTableName, row: FlowRow): void;
  /** Walks the flow tables as the agent does now and then. */
  sweep(): Promise<Swept>;
  /** By reason, since the programs were loaded; zeroes left out. */
  counters(): Record<string, { readonly packets: number; readonly bytes: number }>;
  remove(): void;
}

/** What the programs of a rig are loaded with, unless it is told otherwise. */
export const DEFAULT_KNOBS: Knobs = {
  ...knobsCodec.read(Buffer.alloc(knobsCodec.size), 0),
  jiffiesPerSecond: 1000,
  tcpEstablishedSeconds: 86400,
  tcpClosingSeconds: 120,
  tcpHalfOpenSeconds: 60,
  udpSeconds: 30,
  udpStreamSeconds: 120,
  snatPortMin: 32768,
  snatPortMax: 65535,
  nodePortMin: 30000,
  nodePortMax: 32767,
  detectPods4: 1,
  detectPods6: 1,
  xdpMtu: 1500,
};

export function clear(map: KernelHash): void {
  for (const { key } of [...map.entries()]) map.delete(key);
}

function nodeTables(ifindex: (device: DeviceName) => number): NodeTables {
  const device = (name: DeviceName, flags: number, of: typeof NODE | typeof BRIDGE) => ({
    ifindex: ifindex(name),
    device: {
      masquerade4: of[4],
      masquerade6: of[6],
      flags,
      mtu: 1500,
      xdp: flags & DEVICE_NODE ? XDP_CHOICE_NATIVE : XDP_CHOICE_OFF,
      master: 0,
      mac: flags & DEVICE_NODE ? MACS.node : MACS.bridge,
    },
  });
  const both = NODE_ADDRESS_LOCAL | NODE_ADDRESS_NODE_PORT;
  const address = (of: Readonly<Record<4 | 6, string>>, flags: number) =>
    ([4, 6] as const).map((family) => ({ address: of[family], flags }));
  return {
    nodeAddresses: [
      ...address(NODE, both),
      ...address(NODE_SECOND, NODE_ADDRESS_LOCAL),
      ...address(BRIDGE, NODE_ADDRESS_LOCAL),
    ],
    devices: [device('node0', DEVICE_NODE, NODE), device('pod0', DEVICE_POD, BRIDGE)],
    podCidrs: [
      { address: '10.1.0.0', bits: 16 },
      { address: 'fd00:1::', bits: 32 },
    ],
  };
}

/**
 * @param knobs what differs from the defaults. @param way by which packets come in on node devices. @param sizes of maps
 * @param objects where the programs are
 */
export async function createPacketRig(
  knobs: Partial<Knobs> = {},
  way: Way = DEFAULT_WAY,
  sizes: MapSizes = {},
  objects = OBJECTS,
): Promise<PacketRig> {
  const undo: (() => void)[] = [];
  const remove = () => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    return await build(knobs, way, sizes, objects, undo, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

async function build(
  knobs: Partial<Knobs>,
  rigWay: Way,
  sizes: MapSizes,
  objectDirectory: string,
  undo: (() => void)[],
  remove: () => void,
): Promise<PacketRig> {
  const network = createNetwork();
  undo.push(() => network.remove());
  const bpffs = mountBpffs();
  undo.push(() => bpffs.remove());
  const pinDirectory = ensurePinDirectory(bpffs.root);
  const loaded = await loadPrograms({
    objectDirectory,
    pinDirectory,
    knobs: { ...DEFAULT_KNOBS, ...knobs },
    conntrack: haveConntrack(),
    mapSizes: { ...SMALL_MAPS, flows: 512, halfOpenFlows: 256, ...sizes },
    objects: ['tc.bpf.o', 'xdp.bpf.o', 'sweep.bpf.o'],
  });
  undo.push(() => loaded.close());
  const maps = openMaps(pinDirectory);
  undo.push(() => maps.close());
  const tables = createTables(maps, { graceMs: 0, remember: 0 });
  const node = nodeTables(network.ifindex);
  tables.applyNodeTables(node);

  const counts = () =>
    reasons.map((_, i) => maps.counters.lookup(i).reduce((sum, value) => sum + Number(value.readBigUInt64LE(0)), 0));

  function runTc(name: string, data: Buffer, { device = 'node0', from, summed = false, mark = 0 }: RunOptions) {
    if (summed) needsChecksumComplete();
    if (from !== undefined) needsIngressDevice();
    const context = skbContext(network.ifindex(device), from === undefined ? 0 : network.ifindex(from), mark);
    const result = testRun(loaded.program(name), { data, context, flags: summed ? CHECKSUM_COMPLETE : 0 });
    return { hook: 'tc' as const, verdict: VERDICTS[result.retval], result };
  }

  function runXdp(data: Buffer, { device = 'node0' }: RunOptions) {
    needsXdpContext();
    const context = xdpContext(network.ifindex(device), data.length);
    const result = testRun(loaded.program('xdp_ingress'), { data, context });
    const verdict = XDP_VERDICTS[result.retval];
    if (verdict === 'NEXT' && !result.data.equals(data)) throw new Error('XDP let a packet pass that it had changed');
    return { hook: 'xdp' as const, verdict, result };
  }

  /** XDP is attached to node devices alone, and what it lets pass meets tc. */
  function runIngress(data: Buffer, options: RunOptions) {
    const { device = 'node0', way = rigWay } = options;
    const first = way === 'xdp' && device === 'node0' ? runXdp(data, options) : undefined;
    return first === undefined || first.verdict === 'NEXT' ? runTc('ingress', data, options) : first;
  }

  function outcome(name: 'ingress' | 'egress', data: Buffer, options: RunOptions): Outcome {
    const before = counts();
    const { hook, verdict, result } = name === 'ingress' ? runIngress(data, options) : runTc(name, data, options);
    const after = counts();
    if (verdict === undefined) throw new Error(`verdict ${result.retval}`);
    const frame = Buffer.from(result.data);
    return {
      verdict,
      hook,
      frame,
      mark: result.context.readUInt32LE(SKB.mark),
      reasons: reasons.flatMap(({ name }, i) => ((after[i] ?? 0) > (before[i] ?? 0) ? [name] : [])),
      parsed: () => parseFrame(frame),
      tuple: () => tupleText(parseFrame(frame)),
    };
  }

  function change(...services: readonly CompiledService[]): void {
    const { failed, problems } = tables.apply({ changed: services, removed: [] }, { complete: true });
    const [problem] = [...failed, ...problems];
    if (problem !== undefined) throw new Error(`${problem.name}: ${problem.message}`);
  }

  function forgetFlows(): void {
    for (const table of flowTables) emptyFlowTable(pinDirectory, table);
  }

  return {
    maps,
    pinDirectory,
    forgetFlows,
    tables,
    node,
    ifindex: network.ifindex,
    change,
    serve(...services) {
      forgetFlows();
      for (const map of [maps.fragments, maps.affinities]) clear(map);
      change(...services);
    },
    ingress: (frame, options = {}) => outcome('ingress', frame, options),
    egress: (frame, options = {}) => outcome('egress', frame, options),
    program: (name) => loaded.program(name),
    async sweep() {
      const programs = { flows: loaded.program('sweep_flows'), halfOpenFlows: loaded.program('sweep_half_open') };
      return await runSweep(programs, maps);
    },
    flows: (table) =>
      [...maps[table].entries()].map(({ key, value }) => ({ key: flowKey.read(key, 0), flow: flow.read(value, 0) })),
    putFlow(table, row) {
      changeFlow(pinDirectory, table, maps.control.view, encode(flowKey, row.key), encode(flow, row.flow));
    },
    counters: () =>
      Object.fromEntries(
        reasons.flatMap(({ name }, i) => {
          const values = maps.counters.lookup(i).map((value) => counter.read(value, 0));
          const packets = values.reduce((sum, value) => sum + Number(value.packets), 0);
          const bytes = values.reduce((sum, value) => sum + Number(value.bytes), 0);
          return packets > 0 ? [[name, { packets, bytes }] as const] : [];
        }),
      ),
    remove,
  };
}
