/** What becomes of each key. A test holds this table against the schema. */
import { algorithmOf } from '../model/algorithm.ts';
import type { ConfigurationNote } from '../model/configuration.ts';

export type Fate = readonly [ConfigurationNote['disposition'], string];

export const honoured = (why: string): Fate => ['honoured', why];
export const unneeded = (why: string): Fate => ['not needed', why];
const refused = (why: string): Fate => ['refused', why];

const WINDOWS = unneeded('kube-proxy reads it on Windows alone');
const NO_MARKS = unneeded('packets are not marked');
const JSON_LOG = unneeded('the log is one JSON object a line');
const JSON_API = unneeded('the API is read as JSON');
const IPVS_ARP = unneeded('Service addresses are bound to no device');

/** Our own feature gate: ipMode Router of load-balancer addresses, a draft of Kubernetes. */
export const ROUTER_GATE = 'LoadBalancerIPModeRouter';
export const ROUTER_KEY = `featureGates.${ROUTER_GATE}`;
export const ROUTER_FATE = honoured(
  'load-balancer addresses of ipMode Router are served while they have endpoints, else left to routing',
);

export const FATES: Readonly<Record<string, Fate>> = {
  apiVersion: honoured('checked'),
  kind: honoured('checked'),
  featureGates: unneeded("kube-proxy's gates switch nothing here; they are kept for /configz"),
  'clientConnection.kubeconfig': honoured('unless --kubeconfig names another file'),
  'clientConnection.acceptContentTypes': JSON_API,
  'clientConnection.contentType': JSON_API,
  'clientConnection.qps': unneeded('three watches and rare events stay far below any limit'),
  'clientConnection.burst': unneeded('three watches and rare events stay far below any limit'),
  'logging.format': JSON_LOG,
  'logging.flushFrequency': JSON_LOG,
  'logging.verbosity': honoured('4 or more: log level debug, 6 or more: trace; --log-level wins'),
  'logging.vmodule': JSON_LOG,
  'logging.options.text.splitStream': JSON_LOG,
  'logging.options.text.infoBufferSize': JSON_LOG,
  'logging.options.json.splitStream': JSON_LOG,
  'logging.options.json.infoBufferSize': JSON_LOG,
  hostnameOverride: honoured('unless --node-name or --hostname-override is given'),
  bindAddress: honoured("overrides the node's primary address; nothing listens on it"),
  healthzBindAddress: honoured('serves /healthz, /livez and /readyz'),
  metricsBindAddress: honoured('serves /metrics, /healthz, /proxyMode and /configz'),
  bindAddressHardFail: honoured('an address that is taken ends the agent'),
  enableProfiling: refused('there is no /debug/pprof'),
  showHiddenMetricsForVersion: unneeded('no metric is hidden'),
  mode: honoured(
    'iptables when empty; chooses the section that is read and the default of nodePortAddresses; eBPF carries the packets',
  ),
  'iptables.masqueradeBit': NO_MARKS,
  'iptables.masqueradeAll': honoured('translates the source of all traffic to cluster addresses'),
  'iptables.localhostNodePorts': honoured('127.0.0.0/8 answers NodePorts, in every mode'),
  'iptables.syncPeriod': honoured('a full sync at least so often'),
  'iptables.minSyncPeriod': honoured(
    'at most one sync in that time; unset means none, for a sync writes only what changed',
  ),
  'ipvs.syncPeriod': honoured('a full sync at least so often'),
  'ipvs.minSyncPeriod': honoured('at most one sync in that time'),
  'ipvs.scheduler': honoured('the algorithm of Services that choose none'),
  'ipvs.excludeCIDRs': unneeded('no IPVS table is cleaned up'),
  'ipvs.strictARP': IPVS_ARP,
  'ipvs.tcpTimeout': honoured('idle time of a TCP flow'),
  'ipvs.tcpFinTimeout': unneeded('a closing TCP flow is never cut; its ports rest for 120 s'),
  'ipvs.udpTimeout': honoured('idle time of a UDP flow'),
  'nftables.masqueradeBit': NO_MARKS,
  'nftables.masqueradeAll': honoured('translates the source of all traffic to cluster addresses'),
  'nftables.syncPeriod': honoured('a full sync at least so often'),
  'nftables.minSyncPeriod': honoured(
    'at most one sync in that time; unset means none, for a sync writes only what changed',
  ),
  'winkernel.networkName': WINDOWS,
  'winkernel.sourceVip': WINDOWS,
  'winkernel.enableDSR': WINDOWS,
  'winkernel.rootHnsEndpointName': WINDOWS,
  'winkernel.forwardHealthCheckVip': WINDOWS,
  detectLocalMode: honoured('tells pods of this node from other clients'),
  'detectLocal.bridgeInterface': honoured('read in mode BridgeInterface'),
  'detectLocal.interfaceNamePrefix': honoured('read in mode InterfaceNamePrefix'),
  clusterCIDR: honoured('read in mode ClusterCIDR'),
  nodePortAddresses: honoured('the addresses that answer NodePorts'),
  oomScoreAdj: honoured(
    'written for the agent, a warning when the right is lacking; unset leaves it alone, for packets need no agent',
  ),
  'conntrack.maxPerCore': unneeded('flows have a table of their own, of fixed size, whose oldest entries make room'),
  'conntrack.min': unneeded('flows have a table of their own, of fixed size, whose oldest entries make room'),
  'conntrack.tcpEstablishedTimeout': honoured('idle time of a TCP flow in the flow table; nf_conntrack is left alone'),
  'conntrack.tcpCloseWaitTimeout': unneeded('a closing TCP flow is never cut; its ports rest for 120 s'),
  'conntrack.tcpBeLiberal': unneeded('flows are not checked for TCP windows'),
  'conntrack.udpTimeout': honoured('idle time of a UDP flow of which one side has spoken'),
  'conntrack.udpStreamTimeout': honoured('idle time of a UDP flow of which both sides have spoken'),
  configSyncPeriod: unneeded('watches are resumed, and relisted when the API server asks for it'),
  portRange: unneeded('no port is opened for a Service; kube-proxy ignores it too'),
  windowsRunAsService: WINDOWS,
};

/** Sections of which one is read, and the modes that read them. */
const READ_BY: Readonly<Record<string, readonly string[]>> = {
  'iptables.masqueradeAll': ['iptables', 'ipvs'],
  'iptables.syncPeriod': ['iptables'],
  'iptables.minSyncPeriod': ['iptables'],
  'ipvs.scheduler': ['ipvs'],
  'ipvs.syncPeriod': ['ipvs'],
  'ipvs.minSyncPeriod': ['ipvs'],
  'ipvs.tcpTimeout': ['ipvs'],
  'ipvs.tcpFinTimeout': ['ipvs'],
  'ipvs.udpTimeout': ['ipvs'],
  'nftables.masqueradeAll': ['nftables'],
  'nftables.syncPeriod': ['nftables'],
  'nftables.minSyncPeriod': ['nftables'],
};

/** Keys that kube-proxy holds as pointers: 0 and false are values of their own there, only null is the default. */
const ZERO_IS_A_VALUE: ReadonlySet<string> = new Set([
  'iptables.masqueradeBit',
  'iptables.localhostNodePorts',
  'nftables.masqueradeBit',
  'oomScoreAdj',
  'conntrack.maxPerCore',
  'conntrack.min',
]);

/** @returns one note for each key that the document writes, in its order. `document` has passed the schema. */
export function notesOf(document: Readonly<Record<string, unknown>>): ConfigurationNote[] {
  const mode = typeof document.mode === 'string' && document.mode !== '' ? document.mode : 'iptables';
  return leaves(document, '').map(([key, value]) => {
    const [disposition, why] = key === ROUTER_KEY ? ROUTER_FATE : (FATES[key] ?? unneeded('unknown'));
    const readers = READ_BY[key];
    const set = ZERO_IS_A_VALUE.has(key) ? value !== null : !isEmpty(value);
    if (readers !== undefined && !readers.includes(mode)) {
      return { key, disposition: 'not needed', why: `not read when mode is ${mode}`, set };
    }
    if (key === 'ipvs.scheduler' && set) return { key, ...schedulerNote(value), set };
    return { key, disposition, why, set };
  });
}

/** The scheduler is a name that is carried out, one with a nearest, or none. */
function schedulerNote(value: unknown): Pick<ConfigurationNote, 'disposition' | 'why'> {
  const found = algorithmOf(String(value));
  if (found === undefined)
    return { disposition: 'refused', why: 'no such algorithm: new connections are spread at random' };
  const { algorithm, instead } = found;
  return {
    disposition: 'honoured',
    why: instead
      ? `by ${algorithm}, the nearest that is done here, for Services that choose none`
      : 'the algorithm of Services that choose none',
  };
}

/** @returns whether the value means the default, as the files that kubeadm writes do. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === 0 || value === false) return true;
  if (value === '0' || (typeof value === 'string' && /^0(ns|us|ms|s|m|h)$/.test(value))) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function leaves(value: Readonly<Record<string, unknown>>, prefix: string): [string, unknown][] {
  return Object.entries(value).flatMap(([name, inner]): [string, unknown][] => {
    const key = prefix + name;
    const isLeaf = key in FATES || inner === null || typeof inner !== 'object';
    if (key === 'featureGates' && inner !== null && typeof inner === 'object') return gates(inner);
    if (!isLeaf) return leaves(inner as Record<string, unknown>, `${key}.`);
    return key in FATES ? [[key, inner]] : [];
  });
}

/** Our own gate has a note of its own; all others share one. */
function gates(inner: object): [string, unknown][] {
  const { [ROUTER_GATE]: ours, ...others } = inner as Record<string, unknown>;
  const own: [string, unknown][] = ours === undefined ? [] : [[ROUTER_KEY, ours]];
  return own.length > 0 && Object.keys(others).length === 0 ? own : [...own, ['featureGates', others]];
}
