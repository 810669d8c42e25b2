/** Every flag of kube-proxy 1.36 on Linux, and what becomes of it. Most write a key of the file. */
import type { ConfigurationNote } from '../model/configuration.ts';
import { SluiceError } from '../model/errors.ts';
import { type Fate, honoured, unneeded } from './notes.ts';

/** How the text of a flag becomes the value of a key. */
export type FlagKind = 'text' | 'number' | 'boolean' | 'list' | 'gates' | 'modules';

export interface KubeProxyFlag {
  readonly kind: FlagKind;
  /** The key that it writes, e.g. `iptables.syncPeriod`; its fate is the flag's. */
  readonly key?: string;
  /** Of a flag without a key. */
  readonly fate?: Fate;
}

const writes = (key: string, kind: FlagKind = 'text'): KubeProxyFlag => ({ kind, key });
const does = (what: string, kind: FlagKind = 'text'): KubeProxyFlag => ({ kind, fate: honoured(what) });
const klog = (kind: FlagKind): KubeProxyFlag => ({ kind, fate: unneeded('of older releases; the log goes to stdout') });

/** By name, without the dashes. `_` in a name is `-`. */
export const KUBE_PROXY_FLAGS: Readonly<Record<string, KubeProxyFlag>> = {
  'bind-address': writes('bindAddress'),
  'bind-address-hard-fail': writes('bindAddressHardFail', 'boolean'),
  cleanup: does('removes everything Sluice made, and ends', 'boolean'),
  'cluster-cidr': writes('clusterCIDR'),
  config: does('the configuration file; the flags that write a key are not read then, but for those of the log'),
  'config-sync-period': writes('configSyncPeriod'),
  'conntrack-max-per-core': writes('conntrack.maxPerCore', 'number'),
  'conntrack-min': writes('conntrack.min', 'number'),
  'conntrack-tcp-be-liberal': writes('conntrack.tcpBeLiberal', 'boolean'),
  'conntrack-tcp-timeout-close-wait': writes('conntrack.tcpCloseWaitTimeout'),
  'conntrack-tcp-timeout-established': writes('conntrack.tcpEstablishedTimeout'),
  'conntrack-udp-timeout': writes('conntrack.udpTimeout'),
  'conntrack-udp-timeout-stream': writes('conntrack.udpStreamTimeout'),
  'detect-local-mode': writes('detectLocalMode'),
  'feature-gates': writes('featureGates', 'gates'),
  'healthz-bind-address': writes('healthzBindAddress'),
  'hostname-override': does('as --node-name, which wins; counts beside --config too; empty means not given'),
  'init-only': { kind: 'boolean', fate: unneeded('no sysctl is written; the agent ends at once with code 0') },
  'iptables-localhost-nodeports': writes('iptables.localhostNodePorts', 'boolean'),
  'iptables-masquerade-bit': writes('iptables.masqueradeBit', 'number'),
  'iptables-min-sync-period': writes('iptables.minSyncPeriod'),
  'iptables-sync-period': writes('iptables.syncPeriod'),
  'ipvs-exclude-cidrs': writes('ipvs.excludeCIDRs', 'list'),
  'ipvs-min-sync-period': writes('ipvs.minSyncPeriod'),
  'ipvs-scheduler': writes('ipvs.scheduler'),
  'ipvs-strict-arp': writes('ipvs.strictARP', 'boolean'),
  'ipvs-sync-period': writes('ipvs.syncPeriod'),
  'ipvs-tcp-timeout': writes('ipvs.tcpTimeout'),
  'ipvs-tcpfin-timeout': writes('ipvs.tcpFinTimeout'),
  'ipvs-udp-timeout': writes('ipvs.udpTimeout'),
  'kube-api-burst': writes('clientConnection.burst', 'number'),
  'kube-api-content-type': writes('clientConnection.contentType'),
  'kube-api-qps': writes('clientConnection.qps', 'number'),
  kubeconfig: does('how to reach the API server; wins over the file of --config, where kube-proxy does not read it'),
  'log-flush-frequency': writes('logging.flushFrequency'),
  'log-json-info-buffer-size': writes('logging.options.json.infoBufferSize'),
  'log-json-split-stream': writes('logging.options.json.splitStream', 'boolean'),
  'log-text-info-buffer-size': writes('logging.options.text.infoBufferSize'),
  'log-text-split-stream': writes('logging.options.text.splitStream', 'boolean'),
  'logging-format': writes('logging.format'),
  'masquerade-all': writes('iptables.masqueradeAll', 'boolean'),
  master: does("the API server's URL, in place of the kubeconfig's; counts beside --config too"),
  'metrics-bind-address': writes('metricsBindAddress'),
  'nodeport-addresses': writes('nodePortAddresses', 'list'),
  'oom-score-adj': writes('oomScoreAdj', 'number'),
  'pod-bridge-interface': writes('detectLocal.bridgeInterface'),
  'pod-interface-name-prefix': writes('detectLocal.interfaceNamePrefix'),
  profiling: writes('enableProfiling', 'boolean'),
  'proxy-mode': writes('mode'),
  'proxy-port-range': writes('portRange'),
  'show-hidden-metrics-for-version': writes('showHiddenMetricsForVersion'),
  v: writes('logging.verbosity', 'number'),
  version: does("prints Sluice's version, and ends", 'boolean'),
  vmodule: writes('logging.vmodule', 'modules'),
  'write-config-to': does('writes the whole configuration, with defaults, to the file, and ends'),
  'add-dir-header': klog('boolean'),
  alsologtostderr: klog('boolean'),
  'log-backtrace-at': klog('text'),
  'log-dir': klog('text'),
  'log-file': klog('text'),
  'log-file-max-size': klog('number'),
  logtostderr: klog('boolean'),
  'one-output': klog('boolean'),
  'skip-headers': klog('boolean'),
  'skip-log-headers': klog('boolean'),
  stderrthreshold: klog('text'),
};

/** Flags that were given, by name, with their text. */
export type FlagTexts = Readonly<Record<string, string>>;

const BY_KEY = new Map(Object.entries(KUBE_PROXY_FLAGS).flatMap(([name, { key }]) => (key ? [[key, name]] : [])));

/** @returns `--proxy-mode` for `mode`; a key without a flag as it is. */
export function flagOfKey(key: string): string {
  const flag = BY_KEY.get(key.replace(/^nftables\./, 'iptables.').replace(/\[\d+\]$/, ''));
  return flag === undefined ? key : `--${flag}`;
}

/**
 * @returns keys and values in the order of the flags. As in kube-proxy, those for iptables count in mode nftables.
 * @throws SluiceError FLAG_INVALID that names the flag
 */
export function settingsOfFlags(texts: FlagTexts): [key: string, value: unknown][] {
  const nftables = texts['proxy-mode'] === 'nftables';
  return Object.entries(texts).flatMap(([name, text]): [string, unknown][] => {
    const { key, kind } = KUBE_PROXY_FLAGS[name] ?? { kind: 'text' };
    if (key === undefined) return [];
    const shared = /^iptables\.(masqueradeAll|syncPeriod|minSyncPeriod)$/.test(key);
    return [[nftables && shared ? key.replace('iptables', 'nftables') : key, flagValue(name, kind, text)]];
  });
}

/** Notes of flags that write no key. */
export function notesOfFlags(texts: FlagTexts): ConfigurationNote[] {
  return Object.keys(texts).flatMap((name) => {
    const [disposition, why] = KUBE_PROXY_FLAGS[name]?.fate ?? [];
    return disposition === undefined || why === undefined ? [] : [{ key: `--${name}`, disposition, why, set: true }];
  });
}

/** @throws SluiceError FLAG_INVALID */
export function flagValue(name: string, kind: FlagKind, text: string): unknown {
  const wrong = (what: string): never => {
    throw new SluiceError('FLAG_INVALID', `--${name}: '${text}' is no ${what}`);
  };
  const number = (part: string, what = 'number') => (/^-?\d+(\.\d+)?$/.test(part) ? Number(part) : wrong(what));
  const boolean = (part: string, what: string) => {
    if (/^(1|t|T|TRUE|true|True)$/.test(part)) return true;
    return /^(0|f|F|FALSE|false|False)$/.test(part) ? false : wrong(what);
  };
  const parts = text.split(',').filter((part) => part !== '');
  const pairs = (what: string) => parts.map((part) => (part.includes('=') ? part.split('=') : wrong(what)));
  switch (kind) {
    case 'number':
      return number(text);
    case 'boolean':
      return boolean(text, 'true or false');
    case 'list':
      return parts;
    case 'gates': {
      const what = 'list of gates; write for example A=true,B=false';
      return Object.fromEntries(pairs(what).map(([gate = '', on = '']) => [gate.trim(), boolean(on.trim(), what)]));
    }
    case 'modules': {
      const what = 'list of patterns; write for example proxier=4';
      return pairs(what).map(([filePattern = '', level = '']) => ({ filePattern, verbosity: number(level, what) }));
    }
    default:
      return text;
  }
}
