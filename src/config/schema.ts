/**
 * The keys of kube-proxy 1.36's `kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration` and the
 * types of their values (R-84). Every key may be missing or null, which means its default.
 */
import { z } from 'zod';
import { parseDuration } from './duration.ts';

const text = z.string().nullish();
const flag = z.boolean().nullish();
const texts = z.array(z.string()).nullish();

const int32 = (min = -(2 ** 31), max = 2 ** 31 - 1) => z.int().min(min).max(max).nullish();

const duration = z
  .string()
  .refine((value) => (parseDuration(value) ?? -1) >= 0, {
    error: 'is no duration of zero or more; write for example 30s or 1h0m0s',
  })
  .nullish();

/** Bytes, as a number or a Kubernetes quantity. */
const quantity = z
  .union([z.number(), z.string().regex(/^[+-]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/)], {
    error: 'is no quantity; write for example 64Ki',
  })
  .nullish();

const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).nullish();

const logFormat = section({ splitStream: flag, infoBufferSize: quantity });

export const kubeProxyConfiguration = z.strictObject({
  apiVersion: z.literal('kubeproxy.config.k8s.io/v1alpha1'),
  kind: z.literal('KubeProxyConfiguration'),
  featureGates: z.record(z.string(), z.boolean().nullable()).nullish(),
  clientConnection: section({
    kubeconfig: text,
    acceptContentTypes: text,
    contentType: text,
    qps: z.number().nullish(),
    burst: int32(0),
  }),
  logging: section({
    format: text,
    flushFrequency: z.union([z.int().min(0), z.string()]).nullish(),
    verbosity: int32(0, 2 ** 32 - 1),
    vmodule: z.array(z.strictObject({ filePattern: z.string(), verbosity: z.int() })).nullish(),
    options: section({ text: logFormat, json: logFormat }),
  }),
  hostnameOverride: text,
  bindAddress: text,
  healthzBindAddress: text,
  metricsBindAddress: text,
  bindAddressHardFail: flag,
  enableProfiling: flag,
  showHiddenMetricsForVersion: text,
  mode: text,
  iptables: section({
    masqueradeBit: int32(0, 31),
    masqueradeAll: flag,
    localhostNodePorts: flag,
    syncPeriod: duration,
    minSyncPeriod: duration,
  }),
  ipvs: section({
    syncPeriod: duration,
    minSyncPeriod: duration,
    scheduler: text,
    excludeCIDRs: texts,
    strictARP: flag,
    tcpTimeout: duration,
    tcpFinTimeout: duration,
    udpTimeout: duration,
  }),
  nftables: section({
    masqueradeBit: int32(0, 31),
    masqueradeAll: flag,
    syncPeriod: duration,
    minSyncPeriod: duration,
  }),
  winkernel: section({
    networkName: text,
    sourceVip: text,
    enableDSR: flag,
    rootHnsEndpointName: text,
    forwardHealthCheckVip: flag,
  }),
  detectLocalMode: text,
  detectLocal: section({ bridgeInterface: text, interfaceNamePrefix: text }),
  clusterCIDR: text,
  nodePortAddresses: texts,
  oomScoreAdj: int32(-1000, 1000),
  conntrack: section({
    maxPerCore: int32(0),
    min: int32(0),
    tcpEstablishedTimeout: duration,
    tcpCloseWaitTimeout: duration,
    tcpBeLiberal: flag,
    udpTimeout: duration,
    udpStreamTimeout: duration,
  }),
  configSyncPeriod: duration,
  portRange: text,
  windowsRunAsService: flag,
});

export type KubeProxyConfiguration = z.infer<typeof kubeProxyConfiguration>;
