/** Rows of `sluice map NAME`: what a map holds, decoded; and which command shows it joined with the others. */
import type { Codec } from '../../../maps-schema/codec.ts';
import {
  affinity,
  affinityKey,
  affinityMember,
  affinityMemberKey,
  agentProcess,
  backendFlags,
  backendSlot,
  backendState,
  backendStateFlags,
  cgroupKey,
  cidrKey,
  control,
  controlFlags,
  cookieKey,
  device,
  deviceFlags,
  deviceKey,
  dsrBackend,
  dsrBackendKey,
  dsrEncapsulations,
  flow,
  flowFlags,
  flowHooks,
  flowKey,
  forwardingModes,
  fragment,
  fragmentKey,
  frontend,
  frontendFlags,
  frontendKey,
  knownAddresses,
  mark,
  nodeAddressFlags,
  nodeAddressKey,
  serviceAddressFlags,
  serviceAddressKey,
  servicePort,
  servicePortKey,
  serviceSignals,
  snatBackend,
  snatBackendKey,
  sockFlow,
  sockFlowFlags,
  sockKey,
  sockNames,
  sourceRangeKey,
  tableEvents,
  tally,
  xdpChoices,
} from '../../../maps-schema/gen/codecs.ts';
import type { Maps, OpenMapName } from '../../bpf/open-maps.ts';
import { readReport } from '../../model/agent-report.ts';
import { cleanText } from '../../model/history.ts';
import { networkText, protocolName } from '../format.ts';
import { readCounters } from './counters.ts';
import { readEvents } from './events.ts';
import { type Names, nameOf, readNames } from './names.ts';
import { readReservedPorts } from './reserved-ports.ts';
import { decodeRows, type Row } from './rows.ts';

/** A row's fields by name: those of the key, then those of the value. */
export type MapRow = Readonly<Record<string, unknown>>;

interface MapView {
  /** The command that shows the same for people. */
  readonly command: string;
  readonly rows: (maps: Maps, names: () => Names) => Iterable<MapRow>;
}

type Words = Readonly<Record<number, string>>;
type Fields = Readonly<Record<string, unknown>>;
type HashOf<N> = N extends keyof Maps ? (Maps[N] extends { entries(): Iterable<Row> } ? N : never) : never;

/** Rows of a hash. @param flags words of the field `flags` @param change fields that people write otherwise */
function hash<K, V>(
  name: HashOf<OpenMapName>,
  command: string,
  codecs: readonly [Codec<K>, Codec<V>?],
  flags?: Words,
  change: (row: Fields) => Fields = (row) => row,
): MapView {
  const [key, value = { ...mark, read: () => ({}) } as unknown as Codec<V>] = codecs;
  return {
    command,
    *rows(maps, names) {
      for (const [k, v] of decodeRows(maps[name].entries() as Iterable<Row>, key, value))
        yield change(readable({ ...k, ...v } as Fields, flags, names));
    },
  };
}

/** Elements of an array that hold something. */
function array<T>(
  name: 'backendSlots' | 'backendStates' | 'control' | 'agentProcess',
  command: string,
  codec: Codec<T>,
  flags?: Words,
  change: (row: Fields) => Fields = (row) => row,
): MapView {
  return {
    command,
    *rows(maps, names) {
      const { view, stride } = maps[name];
      const zero = Buffer.alloc(codec.size);
      for (let index = 0; (index + 1) * stride <= view.length; index++) {
        const at = index * stride;
        if (view.compare(zero, 0, codec.size, at, at + codec.size) === 0) continue;
        yield { index, ...change(readable({ ...codec.read(view, at) } as Fields, flags, names)) };
      }
    },
  };
}

/** Numbers that JSON can hold, words for what has some, and whose row it is. */
function readable(row: Fields, flags: Words | undefined, names: () => Names): MapRow {
  const found: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(row)) {
    if (field === 'flags' && typeof value === 'number') {
      if (flags !== undefined) found.flags = flagWords(value, flags);
    } else if (field === 'proto' && typeof value === 'number') found.proto = protocolName(value);
    else if (field === 'hook' && typeof value === 'number') found.hook = flowHooks[value]?.name.toLowerCase() ?? value;
    else if (field === 'servicePortId' && typeof value === 'number') {
      found.servicePortId = value;
      const { namespace, name, port } = nameOf(names(), value);
      found.service = name === '' ? '' : `${namespace}/${name}${port && `:${port}`}`;
    } else found[field] = plain(value);
  }
  return found;
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
  if (typeof value === 'string') return cleanText(value, 256);
  return value;
}

function flagWords(flags: number, words: Words): string[] {
  const known = Object.entries(words).flatMap(([bit, word]) => (flags & (1 << Number(bit)) ? [word] : []));
  const rest = flags & ~Object.keys(words).reduce((mask, bit) => mask | (1 << Number(bit)), 0);
  return rest === 0 ? known : [...known, `0x${(rest >>> 0).toString(16)}`];
}

/** @param bits of the key that come before the network's */
const network =
  (bits = 0) =>
  ({ prefixlen, address, ...row }: Fields): Fields => ({
    network: networkText(String(address), Number(prefixlen) - bits),
    ...row,
  });

const wordOf = (words: readonly { readonly name: string }[], value: unknown) =>
  words[Number(value)]?.name.toLowerCase() ?? value;

/** By name in TypeScript; maps without a command of their own name the nearest one. */
export const MAP_VIEWS: Readonly<Record<OpenMapName, MapView>> = {
  frontends: hash('frontends', 'sluice service list', [frontendKey, frontend], frontendFlags),
  serviceAddresses: hash('serviceAddresses', 'sluice service list', [serviceAddressKey, mark], serviceAddressFlags),
  knownAddresses: {
    command: 'sluice map known_addresses',
    rows({ knownAddresses: { view } }) {
      // A byte for each hash: which addresses they are of cannot be told from them.
      const part = knownAddresses.size / 3;
      const count = (at: number) => view.subarray(at, at + part).reduce((sum, byte) => sum + (byte === 0 ? 0 : 1), 0);
      return ['known', 'snat', 'ports'].map((field, i) => ({ field, set: count(i * part), of: part }));
    },
  },
  backendSlots: array('backendSlots', 'sluice backend list', backendSlot, backendFlags),
  backendStates: array('backendStates', 'sluice backend list -o wide', backendState, backendStateFlags),
  affinities: hash('affinities', 'sluice explain', [affinityKey, affinity]),
  affinityMembers: hash('affinityMembers', 'sluice backend list', [affinityMemberKey, affinityMember]),
  sourceRanges: hash('sourceRanges', 'sluice service list -o wide', [sourceRangeKey], undefined, network(32)),
  podCidrs: hash('podCidrs', 'sluice map pod_cidrs', [cidrKey], undefined, network()),
  serviceCidrs: hash('serviceCidrs', 'sluice status', [cidrKey], undefined, network()),
  nodeAddresses: hash('nodeAddresses', 'sluice status', [nodeAddressKey, mark], nodeAddressFlags),
  peers: hash('peers', 'sluice map peers', [nodeAddressKey]),
  dsrBackends: hash('dsrBackends', 'sluice map dsr_backends', [dsrBackendKey, dsrBackend], backendFlags),
  devices: hash('devices', 'sluice status', [deviceKey, device], deviceFlags, (row) => ({
    ...row,
    xdp: wordOf(xdpChoices, row.xdp),
  })),
  flows: hash('flows', 'sluice flow list', [flowKey, flow], flowFlags),
  halfOpenFlows: hash('halfOpenFlows', 'sluice flow list', [flowKey, flow], flowFlags),
  fragments: hash('fragments', 'sluice map fragments', [fragmentKey, fragment]),
  sockFlows: hash('sockFlows', 'sluice flow list --sockets', [sockKey, sockFlow], sockFlowFlags),
  sockPeers: hash('sockPeers', 'sluice flow list --sockets', [sockKey, sockFlow], sockFlowFlags),
  sockNames: hash('sockNames', 'sluice map sock_names', [sockKey, sockNames], undefined, (row) => ({
    ...row,
    names: JSON.stringify(row.names),
  })),
  agentProcess: array('agentProcess', 'sluice map agent_process', agentProcess),
  agentSockets: hash('agentSockets', 'sluice map agent_sockets', [cookieKey]),
  socketOptOuts: hash('socketOptOuts', 'sluice map socket_opt_outs', [cgroupKey]),
  tableEvents: {
    command: 'sluice status',
    rows: (maps) =>
      tableEvents.map(({ name }, index) => ({
        event: name,
        entries: maps.tableEvents.lookup(index).reduce((sum, value) => sum + Number(tally.read(value, 0).entries), 0),
      })),
  },
  snatBackends: hash('snatBackends', 'sluice status', [snatBackendKey, snatBackend]),
  reservedPorts: {
    command: 'sluice status',
    rows: (maps) => readReservedPorts(maps).map(({ first, last }) => ({ first, last })),
  },
  servicePorts: hash('servicePorts', 'sluice service list -o wide', [servicePortKey, servicePort]),
  serviceSignals: hash('serviceSignals', 'sluice top', [servicePortKey, serviceSignals]),
  control: array('control', 'sluice status', control, controlFlags, ({ flowHash: _secret, ...row }) => ({
    ...row,
    forwardingMode: wordOf(forwardingModes, row.forwardingMode),
    dsrEncapsulation: wordOf(dsrEncapsulations, row.dsrEncapsulation),
  })),
  report: {
    command: 'sluice status',
    rows(maps) {
      const report = readReport(maps.report.view);
      return report === undefined ? [] : Object.entries(report).map(([field, value]) => ({ field, value }));
    },
  },
  history: {
    command: 'sluice events',
    rows: (maps) => readEvents(maps.history.view).map(({ position, time, change }) => ({ position, time, change })),
  },
  counters: {
    command: 'sluice drops',
    rows: (maps) => readCounters(maps.counters).map(({ reason, packets, bytes }) => ({ reason, packets, bytes })),
  },
};

/** Rows one by one; nothing is held. */
export function readMap(maps: Maps, name: OpenMapName): Iterable<MapRow> {
  let names: Names | undefined;
  return MAP_VIEWS[name].rows(maps, () => {
    names ??= readNames(maps.servicePorts.entries());
    return names;
  });
}
