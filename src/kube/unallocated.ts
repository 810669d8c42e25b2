/** What an API server allots to a Service, and a file has to say. */
import { objectKey, type Service } from '../model/kubernetes.ts';

/** @returns for each value that is missing a line that says what to write. */
export function unallocated(service: Service): string[] {
  const { spec } = service;
  if (typeof spec !== 'object' || spec === null || spec.type === 'ExternalName') return [];
  const where = `Service ${objectKey(service)}`;
  const missing: string[] = [];
  if (!spec.clusterIP && !(Array.isArray(spec.clusterIPs) && spec.clusterIPs.length > 0)) {
    missing.push(
      `${where} has no spec.clusterIP, which an API server would allot: write one of the Service network, e.g. "clusterIP: 10.96.0.10", or "clusterIP: None" for a headless Service; until then it has no cluster address`,
    );
  }
  const ports = Array.isArray(spec.ports) ? spec.ports : [];
  if (spec.type === 'NodePort' && ports.some((port) => !port?.nodePort)) {
    missing.push(
      `${where} is of type NodePort and has ports without nodePort, which an API server would allot: write one of the NodePort range, e.g. "nodePort: 30080"; until then those ports answer on no node`,
    );
  }
  return missing;
}
