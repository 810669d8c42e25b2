/** Objects as rows, for `kubectl get`. */
import type { KubeObject, Resource } from './resources.ts';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description: string;
  /** 0: always shown; 1: with -o wide. */
  readonly priority: number;
  readonly value: (object: KubeObject) => string | number;
}

function column(name: string, value: Column['value'], priority = 0): Column {
  return { name, type: 'string', description: name, priority, value };
}

const NAME: Column = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name',
  priority: 0,
  value: (o) => o.metadata.name,
};
const AGE = column('Age', (o) => age(o.metadata.creationTimestamp));

const join = (items: (string | number)[]) => (items.length === 0 ? '<none>' : items.join(','));

/** As kubectl shortens lists: the first three, then how many more. */
function shorten(items: (string | number)[]): string {
  return items.length > 3
    ? `${items.slice(0, 3).join(',')} + ${items.length - 3} more...`
    : items.length === 0
      ? '<unset>'
      : items.join(',');
}

const list = (value: unknown): KubeObject[] =>
  Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : [];

const servicePort = (port: KubeObject) =>
  `${port.port}${port.nodePort ? `:${port.nodePort}` : ''}/${port.protocol ?? 'TCP'}`;

function externalIP(service: KubeObject): string {
  const { spec, status } = service;
  if (spec?.type === 'ExternalName') return spec.externalName ?? '<none>';
  const ingress = list(status?.loadBalancer?.ingress).map((i) => i.ip ?? i.hostname);
  const all = [
    ...(spec?.type === 'LoadBalancer' ? ingress : []),
    ...(Array.isArray(spec?.externalIPs) ? spec.externalIPs : []),
  ];
  return all.length === 0 && spec?.type === 'LoadBalancer' ? '<pending>' : join(all);
}

const selector = (map: unknown) =>
  join(Object.entries((map as Record<string, string>) ?? {}).map(([key, value]) => `${key}=${value}`));
const address = (node: KubeObject, type: string) =>
  list(node.status?.addresses).find((a) => a.type === type)?.address ?? '<none>';

function roles(node: KubeObject): string {
  const prefix = 'node-role.kubernetes.io/';
  return join(
    Object.keys(node.metadata.labels ?? {}).flatMap((key) =>
      key.startsWith(prefix) ? [key.slice(prefix.length)] : [],
    ),
  );
}

function nodeStatus(node: KubeObject): string {
  const ready = list(node.status?.conditions).find((condition) => condition.type === 'Ready')?.status;
  return ready === 'True' ? 'Ready' : ready === undefined ? 'Unknown' : 'NotReady';
}

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  Service: [
    NAME,
    column('Type', (o) => o.spec?.type ?? 'ClusterIP'),
    column('Cluster-IP', (o) => o.spec?.clusterIP || '<none>'),
    column('External-IP', externalIP),
    column('Port(s)', (o) => join(list(o.spec?.ports).map(servicePort))),
    AGE,
    column('Selector', (o) => selector(o.spec?.selector), 1),
  ],
  EndpointSlice: [
    NAME,
    column('AddressType', (o) => o.addressType ?? '<unset>'),
    column('Ports', (o) => shorten(list(o.ports).map((port) => port.port ?? '*'))),
    column('Endpoints', (o) =>
      shorten(list(o.endpoints).flatMap((e) => (Array.isArray(e.addresses) ? e.addresses : []))),
    ),
    AGE,
  ],
  Node: [
    NAME,
    column('Status', nodeStatus),
    column('Roles', roles),
    AGE,
    column('Version', (o) => o.status?.nodeInfo?.kubeletVersion ?? ''),
    column('Internal-IP', (o) => address(o, 'InternalIP'), 1),
    column('External-IP', (o) => address(o, 'ExternalIP'), 1),
  ],
  Namespace: [NAME, column('Status', (o) => o.status?.phase ?? 'Active'), AGE],
  Pod: [
    NAME,
    column(
      'Ready',
      (o) => `${list(o.status?.containerStatuses).filter((c) => c.ready).length}/${list(o.spec?.containers).length}`,
    ),
    column('Status', (o) => o.status?.phase ?? 'Unknown'),
    AGE,
    column('IP', (o) => o.status?.podIP ?? '<none>', 1),
    column('Node', (o) => o.spec?.nodeName ?? '<none>', 1),
  ],
  Event: [
    column('Last Seen', (o) => age(o.lastTimestamp ?? o.eventTime ?? o.metadata.creationTimestamp)),
    column('Type', (o) => o.type ?? ''),
    column('Reason', (o) => o.reason ?? ''),
    column(
      'Object',
      (o) =>
        `${(o.involvedObject ?? o.regarding)?.kind?.toLowerCase() ?? ''}/${(o.involvedObject ?? o.regarding)?.name ?? ''}`,
    ),
    column('Message', (o) => o.message ?? o.note ?? ''),
  ],
  ServiceCIDR: [NAME, column('CIDRs', (o) => join(o.spec?.cidrs ?? [])), AGE],
};

/** `41s`, `5m`, `3h`, `12d` */
function age(timestamp: string | undefined, now = Date.now()): string {
  const seconds = Math.floor((now - Date.parse(timestamp ?? '')) / 1000);
  if (Number.isNaN(seconds)) return '<unknown>';
  if (seconds < 120) return `${Math.max(seconds, 0)}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** @param include what each row carries of its object: `Object`, `Metadata` (the default) or `None` */
export function toTable(
  resource: Resource,
  objects: readonly KubeObject[],
  include: string,
  metadata: Record<string, unknown>,
): KubeObject {
  const columns = COLUMNS[resource.kind] ?? [NAME, AGE];
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: metadata as unknown as KubeObject['metadata'],
    columnDefinitions: columns.map(({ value: _value, format = '', ...definition }) => ({ ...definition, format })),
    rows: objects.map((object) => ({
      cells: columns.map(({ value }) => value(object)),
      object: rowObject(object, include),
    })),
  };
}

function rowObject(object: KubeObject, include: string): unknown {
  if (include === 'None') return undefined;
  if (include === 'Object') return object;
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

/** @returns true when the client asked for a Table first. */
export function wantsTable(accept: string | undefined): boolean {
  return /as=Table/.test(accept?.split(',')[0] ?? '');
}
