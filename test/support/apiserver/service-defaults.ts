/** What the API server fills in for a Service before anything is allocated. */
import type { KubeObject } from './resources.ts';

export const isExternallyReachable = (spec: KubeObject) => spec.type === 'NodePort' || spec.type === 'LoadBalancer';

/** Changes `service.spec`, which must be the caller's own copy. Leaves alone what is not of the expected type. */
export function setServiceDefaults(service: KubeObject, previous: KubeObject | undefined): void {
  service.spec ??= {};
  const { spec } = service;
  spec.type ??= 'ClusterIP';
  spec.sessionAffinity ??= 'None';
  if (spec.sessionAffinity === 'ClientIP') {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= 10800;
  } else delete spec.sessionAffinityConfig;
  if (spec.type !== 'ExternalName') spec.internalTrafficPolicy ??= 'Cluster';
  if (isExternallyReachable(spec) || (spec.externalIPs?.length ?? 0) > 0) spec.externalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
  if (Array.isArray(spec.ports)) {
    for (const port of spec.ports) {
      if (typeof port !== 'object' || port === null) continue;
      port.protocol ??= 'TCP';
      if (spec.type !== 'ExternalName') port.targetPort ??= port.port;
      if (port.nodePort === 0) delete port.nodePort;
    }
  }
  if (previous !== undefined) keepAllocated(spec, previous.spec ?? {});
}

/** A write that leaves allocated fields out means those of before, unless the change of type gives them up. */
function keepAllocated(spec: KubeObject, before: KubeObject): void {
  const hadIPs = before.type !== 'ExternalName' && before.clusterIP;
  if (spec.type !== 'ExternalName' && hadIPs) {
    if (!spec.clusterIP && !(spec.clusterIPs?.length > 0)) {
      spec.clusterIP = before.clusterIP;
      spec.clusterIPs = before.clusterIPs;
    }
    spec.clusterIP ??= spec.clusterIPs?.[0];
    if (!spec.ipFamilies?.length) spec.ipFamilies = before.ipFamilies;
    spec.ipFamilyPolicy ??= before.ipFamilyPolicy;
  }
  if (spec.type === 'ExternalName' && before.type !== 'ExternalName') {
    if (spec.clusterIP === before.clusterIP) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
    delete spec.internalTrafficPolicy;
  }
  const ports: KubeObject[] = Array.isArray(spec.ports) ? spec.ports : [];
  const portsBefore: KubeObject[] = Array.isArray(before.ports) ? before.ports : [];
  const wanted = isExternallyReachable(spec);
  for (const port of ports) {
    const old = portsBefore.find((p) => p?.port === port?.port && p?.protocol === port?.protocol);
    if (wanted && port.nodePort === undefined && isExternallyReachable(before) && old?.nodePort)
      port.nodePort = old.nodePort;
    if (!wanted && isExternallyReachable(before) && old?.nodePort === port.nodePort) delete port.nodePort;
  }
  if (!wanted && isExternallyReachable(before) && !(spec.externalIPs?.length > 0)) {
    if (spec.externalTrafficPolicy === before.externalTrafficPolicy) delete spec.externalTrafficPolicy;
  }
  if (needsHealthCheckPort(spec)) {
    if (needsHealthCheckPort(before)) spec.healthCheckNodePort ??= before.healthCheckNodePort;
  } else if (spec.healthCheckNodePort === before.healthCheckNodePort) delete spec.healthCheckNodePort;
  if (spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === before.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === before.loadBalancerClass) delete spec.loadBalancerClass;
  }
}

export const needsHealthCheckPort = (spec: KubeObject) =>
  spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
