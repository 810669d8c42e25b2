/**
 * The whole object as kube-proxy 1.36 prints it after its defaults, in `--write-config-to`. What the
 * other modes' sections say of periods and masquerading is not kept there, nor is portRange.
 */
import type { ProxyMode } from '../model/configuration.ts';
import { formatDuration, parseDuration } from './duration.ts';
import type { KubeProxyConfiguration } from './schema.ts';

type Text = string | null | undefined;

/** @param mode as it is in force. @param isIPv6 whether bindAddress is. */
export function effectiveOf(
  file: Partial<KubeProxyConfiguration>,
  mode: ProxyMode,
  isIPv6: boolean,
): Record<string, unknown> {
  const { clientConnection: client, logging, conntrack, detectLocal, winkernel, ipvs } = file;
  const section = file[mode];
  const periods = (of: ProxyMode) =>
    of === mode
      ? {
          syncPeriod: duration(section?.syncPeriod, '30s'),
          minSyncPeriod: duration(section?.minSyncPeriod, mode === 'ipvs' ? '0s' : '1s'),
        }
      : { syncPeriod: '0s', minSyncPeriod: '0s' };
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    ...(file.featureGates && {
      featureGates: Object.fromEntries(Object.entries(file.featureGates).map(([name, on]) => [name, on ?? false])),
    }),
    clientConnection: {
      kubeconfig: client?.kubeconfig ?? '',
      acceptContentTypes: client?.acceptContentTypes ?? '',
      contentType: client?.contentType || 'application/vnd.kubernetes.protobuf',
      qps: client?.qps || 5,
      burst: client?.burst || 10,
    },
    logging: {
      format: logging?.format || 'text',
      flushFrequency: logging?.flushFrequency || '5s',
      verbosity: logging?.verbosity ?? 0,
      ...(logging?.vmodule && { vmodule: logging.vmodule }),
      options: { text: logOptions(logging?.options?.text), json: logOptions(logging?.options?.json) },
    },
    hostnameOverride: file.hostnameOverride ?? '',
    bindAddress: file.bindAddress || '0.0.0.0',
    healthzBindAddress: withPort(file.healthzBindAddress || (isIPv6 ? '::' : '0.0.0.0'), 10256),
    metricsBindAddress: withPort(file.metricsBindAddress || (isIPv6 ? '::1' : '127.0.0.1'), 10249),
    bindAddressHardFail: file.bindAddressHardFail ?? false,
    enableProfiling: file.enableProfiling ?? false,
    showHiddenMetricsForVersion: file.showHiddenMetricsForVersion ?? '',
    mode,
    iptables: {
      masqueradeBit: file.iptables?.masqueradeBit ?? 14,
      masqueradeAll: mode !== 'nftables' && (file.iptables?.masqueradeAll ?? false),
      localhostNodePorts: file.iptables?.localhostNodePorts ?? true,
      ...periods('iptables'),
    },
    ipvs: {
      ...periods('ipvs'),
      scheduler: ipvs?.scheduler ?? '',
      excludeCIDRs: ipvs?.excludeCIDRs ?? null,
      strictARP: ipvs?.strictARP ?? false,
      tcpTimeout: duration(ipvs?.tcpTimeout, '0s'),
      tcpFinTimeout: duration(ipvs?.tcpFinTimeout, '0s'),
      udpTimeout: duration(ipvs?.udpTimeout, '0s'),
    },
    nftables: {
      masqueradeBit: file.nftables?.masqueradeBit ?? 14,
      masqueradeAll: mode === 'nftables' && (file.nftables?.masqueradeAll ?? false),
      ...periods('nftables'),
    },
    winkernel: {
      networkName: winkernel?.networkName ?? '',
      sourceVip: winkernel?.sourceVip ?? '',
      enableDSR: winkernel?.enableDSR ?? false,
      rootHnsEndpointName: winkernel?.rootHnsEndpointName ?? '',
      forwardHealthCheckVip: winkernel?.forwardHealthCheckVip ?? false,
    },
    detectLocalMode: file.detectLocalMode || 'ClusterCIDR',
    detectLocal: {
      bridgeInterface: detectLocal?.bridgeInterface ?? '',
      interfaceNamePrefix: detectLocal?.interfaceNamePrefix ?? '',
    },
    clusterCIDR: file.clusterCIDR ?? '',
    nodePortAddresses: file.nodePortAddresses ?? (mode === 'nftables' ? ['primary'] : null),
    oomScoreAdj: file.oomScoreAdj ?? -999,
    conntrack: {
      maxPerCore: conntrack?.maxPerCore ?? 32_768,
      min: conntrack?.min ?? 131_072,
      tcpEstablishedTimeout: duration(conntrack?.tcpEstablishedTimeout ?? '24h', '0s'),
      tcpCloseWaitTimeout: duration(conntrack?.tcpCloseWaitTimeout ?? '1h', '0s'),
      tcpBeLiberal: conntrack?.tcpBeLiberal ?? false,
      udpTimeout: duration(conntrack?.udpTimeout, '0s'),
      udpStreamTimeout: duration(conntrack?.udpStreamTimeout, '0s'),
    },
    configSyncPeriod: duration(file.configSyncPeriod, '15m0s'),
    portRange: '',
    windowsRunAsService: file.windowsRunAsService ?? false,
  };
}

/** @param unset what stands for nothing and for 0. */
function duration(text: Text, unset: string): string {
  return formatDuration(parseDuration(text ?? '0') || (parseDuration(unset) ?? 0));
}

function logOptions(options: { splitStream?: unknown; infoBufferSize?: unknown } | null | undefined) {
  return {
    ...(options?.splitStream === true && { splitStream: true }),
    infoBufferSize: String(options?.infoBufferSize ?? '0'),
  };
}

/** A bare address gets the port; the text is kept otherwise. */
function withPort(text: string, port: number): string {
  if (/^\[.*\]:\d+$|^[^:]+:\d+$/.test(text)) return text;
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}
