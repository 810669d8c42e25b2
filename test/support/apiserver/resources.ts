/** The resources that the server knows. */

/** Any object, as it came. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: Metadata;
  // biome-ignore lint/suspicious/noExplicitAny: objects of every kind, read by path
  [field: string]: any;
}

export interface Metadata {
  name: string;
  namespace?: string;
  generateName?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { uid?: string; kind?: string; name?: string; apiVersion?: string }[];
  finalizers?: string[];
  managedFields?: unknown;
}

export interface Resource {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** Has a `status` subresource, which plain writes leave alone. */
  readonly status: boolean;
  /** Changes of `spec` raise metadata.generation. */
  readonly generation: boolean;
}

function resource(apiVersion: string, kind: string, plural: string, rest: Partial<Resource> = {}): Resource {
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  return {
    group,
    version,
    plural,
    singular: kind.toLowerCase(),
    kind,
    shortNames: [],
    namespaced: true,
    status: false,
    generation: false,
    ...rest,
  };
}

export const RESOURCES: readonly Resource[] = [
  resource('v1', 'Service', 'services', { shortNames: ['svc'], status: true }),
  resource('v1', 'Node', 'nodes', { shortNames: ['no'], namespaced: false, status: true }),
  resource('v1', 'Namespace', 'namespaces', { shortNames: ['ns'], namespaced: false, status: true }),
  resource('v1', 'Pod', 'pods', { shortNames: ['po'], status: true }),
  resource('v1', 'Endpoints', 'endpoints', { shortNames: ['ep'] }),
  resource('v1', 'Event', 'events', { shortNames: ['ev'] }),
  resource('events.k8s.io/v1', 'Event', 'events', { shortNames: ['ev'] }),
  resource('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices', { generation: true }),
  resource('networking.k8s.io/v1', 'ServiceCIDR', 'servicecidrs', { namespaced: false, status: true }),
  // What the chart and the kustomizations are made of: kept as they come.
  resource('v1', 'ConfigMap', 'configmaps', { shortNames: ['cm'] }),
  resource('v1', 'ServiceAccount', 'serviceaccounts', { shortNames: ['sa'] }),
  resource('apps/v1', 'DaemonSet', 'daemonsets', { shortNames: ['ds'], status: true, generation: true }),
  resource('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles', { namespaced: false }),
  resource('rbac.authorization.k8s.io/v1', 'ClusterRoleBinding', 'clusterrolebindings', { namespaced: false }),
];

/** `v1` or `group/version` */
export function apiVersionOf(resource: Resource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** Names a resource in the store, in counters and in faults: `services`, `events.events.k8s.io`. */
export function resourceName(resource: Resource): string {
  return resource.plural === 'events' && resource.group !== '' ? `events.${resource.group}` : resource.plural;
}

export function findResource(group: string, version: string, plural: string): Resource | undefined {
  return RESOURCES.find((r) => r.group === group && r.version === version && r.plural === plural);
}

export function resourceOfObject(object: { apiVersion?: string; kind?: string }): Resource | undefined {
  return RESOURCES.find((r) => r.kind === object.kind && apiVersionOf(r) === object.apiVersion);
}
