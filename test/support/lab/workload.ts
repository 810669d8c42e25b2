/** Deployments, StatefulSets and DaemonSets as the lab reads them from manifests. */
import type { ObjectMeta } from '../../../src/model/kubernetes.ts';
import type { ContainerPort } from './slices.ts';

export interface WorkloadManifest {
  readonly kind: 'Deployment' | 'StatefulSet' | 'DaemonSet';
  readonly metadata?: ObjectMeta;
  readonly spec?: {
    readonly replicas?: number;
    readonly template?: {
      readonly metadata?: ObjectMeta;
      readonly spec?: {
        readonly hostNetwork?: boolean;
        readonly nodeSelector?: Record<string, string>;
        readonly containers?: readonly {
          readonly ports?: readonly { name?: string; containerPort?: number; protocol?: string }[];
        }[];
      };
    };
  };
}

export interface Workload {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** undefined: one on each node (DaemonSet) */
  readonly replicas: number | undefined;
  readonly ports: readonly ContainerPort[];
  readonly hostNetwork: boolean;
  /** `kubernetes.io/hostname` of the node selector */
  readonly nodeName: string | undefined;
}

const KINDS = ['Deployment', 'StatefulSet', 'DaemonSet'];

export function isWorkload(manifest: { kind?: string }): manifest is WorkloadManifest {
  return KINDS.includes(manifest.kind ?? '');
}

/** Fills in what Kubernetes would by default. */
export function readWorkload({ kind, metadata, spec }: WorkloadManifest): Workload {
  const pod = spec?.template;
  const ports = pod?.spec?.containers?.flatMap((container) => container.ports ?? []) ?? [];
  return {
    namespace: metadata?.namespace ?? 'default',
    name: metadata?.name ?? '',
    labels: pod?.metadata?.labels ?? {},
    replicas: kind === 'DaemonSet' ? undefined : (spec?.replicas ?? 1),
    ports: ports.map(({ name = '', containerPort = 0, protocol = 'TCP' }) => ({ name, port: containerPort, protocol })),
    hostNetwork: pod?.spec?.hostNetwork ?? false,
    nodeName: pod?.spec?.nodeSelector?.['kubernetes.io/hostname'],
  };
}

/**
 * Which node the next pod goes to: that of the selector, else the one with the fewest pods of the
 * workload, then with the fewest pods at all, then the first.
 * @param load pods of the workload, and all pods, on each node by name
 */
export function placePod(
  workload: Workload,
  load: ReadonlyMap<string, { readonly own: number; readonly all: number }>,
): string {
  if (workload.nodeName !== undefined) return workload.nodeName;
  const [best] = [...load.entries()].sort(([, a], [, b]) => a.own - b.own || a.all - b.all);
  if (best === undefined) throw new Error(`place a pod of ${workload.name}: the lab has no node`);
  return best[0];
}

/** What an actor serves on the ports of a container: by the usual port names, else an echo. */
export function servedPorts(ports: readonly ContainerPort[]): {
  http: number[];
  tcp: number[];
  udp: number[];
  dns: number[];
} {
  const served = { http: [] as number[], tcp: [] as number[], udp: [] as number[], dns: [] as number[] };
  for (const { name, port, protocol } of ports) {
    if (name.startsWith('dns')) served.dns.push(port);
    else if (protocol === 'UDP') served.udp.push(port);
    else if (/^(http|grpc|web|metrics|admin)/.test(name)) served.http.push(port);
    else served.tcp.push(port);
  }
  return { ...served, dns: [...new Set(served.dns)] };
}
