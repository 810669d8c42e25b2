/** Puts defaults in force and checks what types alone cannot. */

import { familyOf } from '../model/address.ts';
import { algorithmOf, DEFAULT_ALGORITHM } from '../model/algorithm.ts';
import type { Cidr } from '../model/compiled.ts';
import type {
  Configuration,
  DetectLocalMode,
  FlowTimeouts,
  ListenAddress,
  NodePortAddresses,
  ProxyMode,
} from '../model/configuration.ts';
import { sloppyAddress, sloppyCidr } from './address.ts';
import { parseDuration } from './duration.ts';
import { effectiveOf } from './effective.ts';
import { parseListenAddress } from './listen-address.ts';
import { ROUTER_GATE } from './notes.ts';
import type { KubeProxyConfiguration } from './schema.ts';

const MODES: readonly string[] = ['iptables', 'ipvs', 'nftables'] satisfies ProxyMode[];
const LOCAL_MODES: readonly string[] = [
  'ClusterCIDR',
  'NodeCIDR',
  'BridgeInterface',
  'InterfaceNamePrefix',
] satisfies DetectLocalMode[];

/** Says which key is wrong and what to write instead. */
export type Fail = (key: string, message: string) => never;

/** @param file a document that has passed the schema, or an empty one for all defaults. */
export function resolve(file: Partial<KubeProxyConfiguration>, fail: Fail): Configuration {
  // kube-proxy on Linux takes an empty mode for iptables.
  const mode = oneOf<ProxyMode>('mode', file.mode, MODES, fail) ?? 'iptables';
  const bindAddress = sloppyAddress(file.bindAddress || '0.0.0.0') ?? fail('bindAddress', 'is no IP address');
  const isIPv6 = familyOf(bindAddress) === 'IPv6';
  const section = file[mode];
  const syncPeriod = milliseconds(section?.syncPeriod) || 30_000;
  const minSyncPeriod = milliseconds(section?.minSyncPeriod);
  if (minSyncPeriod > syncPeriod) fail(`${mode}.minSyncPeriod`, 'is longer than syncPeriod');
  return {
    mode,
    algorithm: (mode === 'ipvs' ? algorithmOf(file.ipvs?.scheduler ?? '')?.algorithm : undefined) ?? DEFAULT_ALGORITHM,
    routerIpMode: file.featureGates?.[ROUTER_GATE] ?? false,
    clientKubeconfig: file.clientConnection?.kubeconfig ?? '',
    hostnameOverride: (file.hostnameOverride ?? '').trim().toLowerCase(),
    bindAddress,
    healthz: listen(
      'healthzBindAddress',
      file.healthzBindAddress,
      { address: isIPv6 ? '::' : '0.0.0.0', port: 10256 },
      fail,
    ),
    metrics: listen(
      'metricsBindAddress',
      file.metricsBindAddress,
      { address: isIPv6 ? '::1' : '127.0.0.1', port: 10249 },
      fail,
    ),
    bindAddressHardFail: file.bindAddressHardFail ?? false,
    masqueradeAll: (mode === 'nftables' ? file.nftables?.masqueradeAll : file.iptables?.masqueradeAll) ?? false,
    localhostNodePorts: file.iptables?.localhostNodePorts ?? true,
    syncPeriod,
    minSyncPeriod,
    ...detectLocal(file, fail),
    nodePortAddresses: nodePortAddresses(file.nodePortAddresses ?? [], mode, fail),
    timeouts: timeouts(file, mode),
    verbosity: file.logging?.verbosity ?? 0,
    oomScoreAdj: file.oomScoreAdj ?? undefined,
    effective: effectiveOf(file, mode, isIPv6),
  };
}

function oneOf<T extends string>(
  key: string,
  value: string | null | undefined,
  choices: readonly string[],
  fail: Fail,
): T | undefined {
  if (!value) return undefined;
  if (!choices.includes(value))
    fail(key, `"${value}" is unknown; write one of ${choices.join(', ')}, or leave it empty`);
  return value as T;
}

function listen(key: string, text: string | null | undefined, unset: ListenAddress, fail: Fail): ListenAddress {
  if (!text) return unset;
  return (
    parseListenAddress(text, unset.port) ??
    fail(key, `"${text}" is no address; write IP:port, for example 0.0.0.0:${unset.port}`)
  );
}

type DetectLocal = Pick<Configuration, 'detectLocalMode' | 'bridgeInterface' | 'interfaceNamePrefix' | 'clusterCidrs'>;

function detectLocal(file: Partial<KubeProxyConfiguration>, fail: Fail): DetectLocal {
  const detectLocalMode =
    oneOf<DetectLocalMode>('detectLocalMode', file.detectLocalMode, LOCAL_MODES, fail) ?? 'ClusterCIDR';
  const bridgeInterface = file.detectLocal?.bridgeInterface ?? '';
  const interfaceNamePrefix = file.detectLocal?.interfaceNamePrefix ?? '';
  const needs: Partial<Record<DetectLocalMode, [string, string]>> = {
    BridgeInterface: ['detectLocal.bridgeInterface', bridgeInterface],
    InterfaceNamePrefix: ['detectLocal.interfaceNamePrefix', interfaceNamePrefix],
  };
  const [key, name] = needs[detectLocalMode] ?? [];
  if (key !== undefined && !name) fail(key, `is empty; detectLocalMode: ${detectLocalMode} needs it`);
  if (key !== undefined && name !== undefined && name.length > 15)
    fail(key, `"${name}" is longer than a device name can be`);
  // Looked at in its mode alone, and with no spaces, as kube-proxy does.
  const text = detectLocalMode === 'ClusterCIDR' ? file.clusterCIDR : '';
  const cidrs = text ? text.split(',').map((part) => cidr('clusterCIDR', part, fail)) : [];
  const clusterCidrs = byFamily(cidrs);
  if (clusterCidrs.IPv4.length > 1 || clusterCidrs.IPv6.length > 1)
    fail('clusterCIDR', 'holds two networks of one family');
  return { detectLocalMode, bridgeInterface, interfaceNamePrefix, clusterCidrs };
}

function nodePortAddresses(list: readonly string[], mode: ProxyMode, fail: Fail): NodePortAddresses {
  const [first, ...more] = list;
  const word = first ?? (mode === 'nftables' ? 'primary' : 'all');
  if (word === 'primary' || word === 'all') {
    if (more.length > 0) fail('nodePortAddresses', `"${word}" must stand alone`);
    if (word === 'primary') return { primary: true };
  }
  const networks = word === 'all' ? [] : list.map((text) => cidr('nodePortAddresses', text, fail));
  const { IPv4, IPv6 } = byFamily(networks);
  return { primary: false, IPv4: orEvery(IPv4, '0.0.0.0'), IPv6: orEvery(IPv6, '::') };
}

/** No network means every address, and so does a zero CIDR among others. */
function orEvery(networks: readonly Cidr[], zero: string): readonly Cidr[] {
  return networks.length === 0 || networks.some(({ bits }) => bits === 0) ? [{ address: zero, bits: 0 }] : networks;
}

function timeouts(file: Partial<KubeProxyConfiguration>, mode: ProxyMode): FlowTimeouts {
  const { conntrack } = file;
  const ipvs = mode === 'ipvs' ? file.ipvs : undefined;
  const seconds = (fallback: number, ...texts: (string | null | undefined)[]) =>
    Math.ceil((texts.map(milliseconds).find((value) => value > 0) ?? fallback * 1000) / 1000);
  return {
    tcpEstablished: seconds(86_400, ipvs?.tcpTimeout, conntrack?.tcpEstablishedTimeout),
    tcpCloseWait: seconds(3600, ipvs?.tcpFinTimeout, conntrack?.tcpCloseWaitTimeout),
    tcpHalfOpen: 120,
    udp: seconds(30, ipvs?.udpTimeout, conntrack?.udpTimeout),
    udpStream: seconds(120, ipvs?.udpTimeout, conntrack?.udpStreamTimeout),
  };
}

function milliseconds(text: string | null | undefined): number {
  return parseDuration(text ?? '0') ?? 0;
}

function cidr(key: string, text: string, fail: Fail): Cidr {
  return sloppyCidr(text) ?? fail(key, `"${text}" is no network; write for example 10.244.0.0/16`);
}

function byFamily(networks: readonly Cidr[]): { IPv4: Cidr[]; IPv6: Cidr[] } {
  const of = (family: string) => networks.filter(({ address }) => familyOf(address) === family);
  return { IPv4: of('IPv4'), IPv6: of('IPv6') };
}
