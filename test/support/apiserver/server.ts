/** An API server in this process: Kubernetes' list and watch over HTTPS, with trouble on request. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createAddressPool, createPortPool } from './addresses.ts';
import { createAdmission } from './admission.ts';
import { makeUser, type Rule, type User } from './auth.ts';
import { type Counters, createCounters } from './counters.ts';
import { notFound } from './errors.ts';
import { createFaults, type Faults } from './faults.ts';
import { handle } from './handler.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { createLists } from './lists.ts';
import { createObjects } from './objects.ts';
import { type KubeObject, RESOURCES, type Resource } from './resources.ts';
import { createStore } from './store.ts';
import { makeCertificates } from './tls.ts';

export interface ApiServerOptions {
  /** Default: any free one. */
  readonly port?: number;
  /** Address to listen on. Default: 127.0.0.1. `::` listens on every address of both families. */
  readonly host?: string;
  /** Names and addresses that clients use, for the certificate; the first is the one in the kubeconfig. Default: the host. */
  readonly addresses?: readonly string[];
  /** At most one a family; the first is the primary family. Default: 10.96.0.0/16 and fd96::/108. */
  readonly serviceCidrs?: readonly string[];
  /** Load balancers get addresses of these. Default: none, they stay pending. */
  readonly loadBalancerCidrs?: readonly string[];
  /** `off` stores any object as it comes, without defaults and addresses. */
  readonly validation?: 'on' | 'off';
  /** Users beside `admin`, with what they may. */
  readonly authorize?: Readonly<Record<string, readonly Rule[]>>;
  /** Token of the user admin. Default: a random one. */
  readonly adminToken?: string;
  /** Time between bookmarks in ms. Default: 60 s. */
  readonly bookmarkMs?: number;
  /** Changes of a resource that watches can go back. Default: 10,000. */
  readonly historyLimit?: number;
}

export interface ApiServer {
  readonly url: string;
  /** PEM of the authority that signed the server's certificate. */
  readonly ca: string;
  /** @param user `admin` or a key of `authorize`. @throws for an unknown user */
  token(user?: string): string;
  /** Revokes the token of a user. @returns the new one */
  renewToken(user: string): string;
  /** @param options.server another URL of the server, e.g. of another address */
  writeKubeconfig(path: string, options?: { user?: string; server?: string }): Promise<void>;
  readonly store: {
    /** Creates or replaces, with its status; creates its namespace. @throws ApiError */
    apply(object: object): KubeObject;
    /** @param namespace undefined for objects without one. @throws ApiError 404 */
    delete(kind: string, namespace: string | undefined, name: string): void;
    get(kind: string, namespace: string | undefined, name: string): KubeObject | undefined;
    list(kind: string): readonly KubeObject[];
    /** The version of the last change. */
    readonly version: number;
  };
  readonly faults: Faults;
  readonly requests: Counters;
  /** Cuts every connection. */
  close(): Promise<void>;
}

/** `Service` of v1 before `Event` of any group: the first resource of a kind. */
/** @param kind `Service`, or with its group where two have the kind: `Event.events.k8s.io` */
function resourceOfKind(kind: string): Resource {
  const resource = RESOURCES.find((r) => r.kind === kind || `${r.kind}.${r.group}` === kind);
  if (!resource) throw notFound('kinds', kind);
  return resource;
}

const DEFAULT_CIDRS = ['10.96.0.0/16', 'fd96::/108'];
const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

const urlHost = (address: string) => (address.includes(':') ? `[${address}]` : address);

/** @throws when openssl is missing, a network is none, or the port is taken */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const host = options.host ?? '127.0.0.1';
  const addresses = options.addresses?.length ? options.addresses : [host];
  const certificates = await makeCertificates(addresses);
  const cidrs = options.serviceCidrs ?? DEFAULT_CIDRS;
  const pools = {
    // As in a real server, what is asked for by number is at the start, what is given out comes after.
    clusterIPs: cidrs.map((cidr) => createAddressPool(cidr, 256)),
    loadBalancerIPs: (options.loadBalancerCidrs ?? []).map((cidr) => createAddressPool(cidr)),
    ports: createPortPool(30000, 32767, 86),
  };
  const store = createStore(options.historyLimit ?? 10_000);
  const objects = createObjects(store, createAdmission(pools, options.validation ?? 'on'));
  const lists = createLists(store);
  const faults = createFaults(() => {
    store.compact();
    lists.forget();
  });
  const counters = createCounters();
  const users: User[] = [
    { ...makeUser('admin'), ...(options.adminToken ? { token: options.adminToken } : {}) },
    ...Object.entries(options.authorize ?? {}).map(([name, rules]) => makeUser(name, rules)),
  ];
  const state = { store, objects, lists, faults, counters, users, bookmarkMs: options.bookmarkMs ?? 60_000 };

  for (const name of NAMESPACES) objects.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  objects.apply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'ServiceCIDR',
    metadata: { name: 'kubernetes' },
    spec: { cidrs },
  });

  const server = createServer({ cert: certificates.cert, key: certificates.key }, (request, response) => {
    void handle(state, request, response);
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Without a host node falls back to IPv4 where there is no IPv6.
    server.listen({ port: options.port ?? 0, ...(host === '::' ? {} : { host }) }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const url = `https://${urlHost(addresses[0] ?? host)}:${port}`;
  const userOf = (name: string): User => {
    const user = users.find((u) => u.name === name);
    if (!user) throw new Error(`no user ${name}: give its rules in authorize`);
    return user;
  };

  return {
    url,
    ca: certificates.ca,
    token: (user = 'admin') => userOf(user).token,
    renewToken(name) {
      const renewed = { ...userOf(name), token: makeUser(name).token };
      users[users.findIndex((user) => user.name === name)] = renewed;
      return renewed.token;
    },
    writeKubeconfig: (path, { user = 'admin', server: other = url } = {}) =>
      writeKubeconfig(path, { server: other, ca: certificates.ca, user, token: userOf(user).token }),
    store: {
      apply: (object) => objects.apply(object as KubeObject),
      delete(kind, namespace, name) {
        objects.remove(resourceOfKind(kind), namespace, name);
      },
      get: (kind, namespace, name) => store.get(resourceOfKind(kind), namespace, name),
      list: (kind) => store.list(resourceOfKind(kind)),
      get version() {
        return store.version;
      },
    },
    faults,
    requests: counters,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
