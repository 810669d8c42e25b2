/**
 * The network between the nodes and the clients outside: one namespace that is the nodes' switch,
 * the clients' switch and the router between them.
 *
 *   node1 ── eth0 ┐                                       ┌ eth0 ── client1
 *   node2 ── eth0 ┼─ bridge "nodes" (router) "clients" ───┼ eth0 ── client2
 *   node3 ── eth0 ┘   172.30.0.254           172.31.0.254 └
 */
import {
  type Addresses,
  clientAddresses,
  eachFamily,
  type IpFamily,
  nodeAddresses,
  podNetworks,
  routerAddresses,
  SUBNET_BITS,
} from './addressing.ts';
import { ipBatch, setSysctls } from './command.ts';
import { netnsName } from './names.ts';

/** How nodes reach the pods of others: by a route to their node, or through a VXLAN device. */
export type PodRoutes = 'direct' | 'vxlan';

export interface UnderlaySpec {
  readonly id: string;
  readonly nodes: number;
  readonly clients: number;
  readonly families: readonly IpFamily[];
  /** net.ipv4.conf.*.rp_filter of the nodes: 0 off, 1 strict, 2 loose (what Debian and Ubuntu set). */
  readonly rpFilter: 0 | 1 | 2;
  readonly podRoutes: PodRoutes;
}

/** Addresses are usable at once: nobody else could have them. */
const QUICK_IPV6 = {
  'net/ipv6/conf/all/accept_dad': 0,
  'net/ipv6/conf/default/accept_dad': 0,
  'net/ipv6/conf/all/accept_ra': 0,
  'net/ipv6/conf/default/accept_ra': 0,
};

const FORWARDING = {
  'net/ipv4/ip_forward': 1,
  'net/ipv6/conf/all/forwarding': 1,
  'net/ipv6/conf/default/forwarding': 1,
};

/** Makes a namespace that has only `lo` up. Devices made in it later follow the sysctls. */
export async function makeNamespaces(names: readonly string[]): Promise<void> {
  await ipBatch(
    undefined,
    names.map((name) => `netns add ${name}`),
  );
  await Promise.all(names.map((name) => setSysctls(name, QUICK_IPV6).then(() => ipBatch(name, ['link set lo up']))));
}

/** `addr add` for each family. @param bits prefix length by family */
export function addressLines(device: string, addresses: Addresses, bits: Record<IpFamily, number>): string[] {
  return eachFamily(addresses).map(
    ([family, address]) => `addr add ${address}/${bits[family]} dev ${device}${family === 'IPv6' ? ' nodad' : ''}`,
  );
}

/** `ip` in batch files needs the family for IPv6 defaults: `-6 route` is not allowed there, `::/0` is. */
export function defaultRouteLines(device: string, gateways: Addresses): string[] {
  const any: Record<IpFamily, string> = { IPv4: '0.0.0.0/0', IPv6: '::/0' };
  return eachFamily(gateways).map(([family, gateway]) => `route replace ${any[family]} via ${gateway} dev ${device}`);
}

/** No rules of a host firewall on its switches; with several next hops each connection takes one. */
const ROUTER_SYSCTLS = {
  ...FORWARDING,
  'net/bridge/bridge-nf-call-iptables': 0,
  'net/bridge/bridge-nf-call-ip6tables': 0,
  'net/ipv4/fib_multipath_hash_policy': 1,
  'net/ipv6/fib_multipath_hash_policy': 1,
};

function nodeSysctls(rpFilter: number): Record<string, number> {
  return {
    ...FORWARDING,
    'net/ipv4/conf/all/rp_filter': rpFilter,
    'net/ipv4/conf/default/rp_filter': rpFilter,
    'net/bridge/bridge-nf-call-iptables': 1,
    'net/bridge/bridge-nf-call-ip6tables': 1,
  };
}

function routerLines(spec: UnderlaySpec): string[] {
  const switches = [
    { name: 'nodes', port: 'node', hosts: spec.nodes },
    { name: 'clients', port: 'client', hosts: spec.clients },
  ] as const;
  return switches.flatMap(({ name, port, hosts }) => [
    `link add ${name} type bridge mcast_snooping 0`,
    ...addressLines(name, routerAddresses(name, spec.families), SUBNET_BITS),
    `link set ${name} up`,
    ...Array.from({ length: hosts }, (_, i) => i + 1).flatMap((n) => [
      `link add ${port}${n} type veth peer name eth0 netns ${netnsName(spec.id, `${port}${n}`)}`,
      `link set ${port}${n} master ${name} up`,
    ]),
  ]);
}

function nodeLines(spec: UnderlaySpec, n: number): string[] {
  const others = Array.from({ length: spec.nodes }, (_, i) => i + 1).filter((other) => other !== n);
  const routes = others.flatMap((other) => {
    const via = nodeAddresses(other, spec.families);
    return eachFamily(podNetworks(other, spec.families)).map(
      ([family, network]) => `route add ${network}/${SUBNET_BITS[family]} via ${via[family]} dev eth0`,
    );
  });
  return [
    ...addressLines('eth0', nodeAddresses(n, spec.families), SUBNET_BITS),
    'link set eth0 up',
    ...defaultRouteLines('eth0', routerAddresses('nodes', spec.families)),
    ...(spec.podRoutes === 'direct' ? routes : []),
  ];
}

function clientLines(spec: UnderlaySpec, n: number): string[] {
  return [
    ...addressLines('eth0', clientAddresses(n, spec.families), SUBNET_BITS),
    'link set eth0 up',
    ...defaultRouteLines('eth0', routerAddresses('clients', spec.families)),
  ];
}

/** Makes the namespaces `net`, `node<n>` and `client<n>`, connected and routed. */
export async function makeUnderlay(spec: UnderlaySpec): Promise<void> {
  const name = (rest: string) => netnsName(spec.id, rest);
  const nodes = Array.from({ length: spec.nodes }, (_, i) => i + 1);
  const clients = Array.from({ length: spec.clients }, (_, i) => i + 1);
  await makeNamespaces([name('net'), ...nodes.map((n) => name(`node${n}`)), ...clients.map((n) => name(`client${n}`))]);
  await Promise.all([
    setSysctls(name('net'), ROUTER_SYSCTLS),
    ...nodes.map((n) => setSysctls(name(`node${n}`), nodeSysctls(spec.rpFilter))),
  ]);
  await ipBatch(name('net'), routerLines(spec));
  await Promise.all([
    ...nodes.map((n) => ipBatch(name(`node${n}`), nodeLines(spec, n))),
    ...clients.map((n) => ipBatch(name(`client${n}`), clientLines(spec, n))),
  ]);
}
