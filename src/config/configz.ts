/** The configuration in force, as /configz shows it: keys and text forms of the file. */
import { formatCidr } from '../model/cidr.ts';
import type { Configuration } from '../model/configuration.ts';
import { formatDuration } from './duration.ts';
import { formatListenAddress } from './listen-address.ts';

/** @returns the body of /configz. */
export function configz(configuration: Configuration): Record<string, unknown> {
  const { clusterCidrs, nodePortAddresses, timeouts } = configuration;
  const seconds = (value: number) => formatDuration(value * 1000);
  const periods = {
    syncPeriod: formatDuration(configuration.syncPeriod),
    minSyncPeriod: formatDuration(configuration.minSyncPeriod),
  };
  const { mode } = configuration;
  const { masqueradeAll, localhostNodePorts } = configuration;
  const read = mode ?? 'iptables';
  return {
    'kubeproxy.config.k8s.io': {
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      featureGates: configuration.featureGates,
      clientConnection: {
        kubeconfig: configuration.clientKubeconfig,
        qps: configuration.clientQps,
        burst: configuration.clientBurst,
      },
      hostnameOverride: configuration.hostnameOverride,
      bindAddress: configuration.bindAddress,
      healthzBindAddress: formatListenAddress(configuration.healthz),
      metricsBindAddress: formatListenAddress(configuration.metrics),
      bindAddressHardFail: configuration.bindAddressHardFail,
      mode: mode ?? '',
      iptables: {
        localhostNodePorts,
        ...(read === 'nftables' ? {} : { masqueradeAll }),
        ...(read === 'iptables' ? periods : {}),
      },
      ...(read === 'ipvs' ? { ipvs: periods } : {}),
      ...(read === 'nftables' ? { nftables: { masqueradeAll, ...periods } } : {}),
      detectLocalMode: configuration.detectLocalMode,
      detectLocal: {
        bridgeInterface: configuration.bridgeInterface,
        interfaceNamePrefix: configuration.interfaceNamePrefix,
      },
      clusterCIDR: [...clusterCidrs.IPv4, ...clusterCidrs.IPv6].map(formatCidr).join(','),
      nodePortAddresses: nodePortAddresses.primary
        ? ['primary']
        : [...nodePortAddresses.IPv4, ...nodePortAddresses.IPv6].map(formatCidr),
      oomScoreAdj: configuration.oomScoreAdj ?? null,
      conntrack: {
        tcpEstablishedTimeout: seconds(timeouts.tcpEstablished),
        tcpCloseWaitTimeout: seconds(timeouts.tcpCloseWait),
        tcpBeLiberal: configuration.tcpBeLiberal,
        udpTimeout: seconds(timeouts.udp),
        udpStreamTimeout: seconds(timeouts.udpStream),
      },
      portRange: configuration.portRange,
    },
  };
}
