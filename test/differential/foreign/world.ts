/**
 * The network of the foreign traffic: a node with pods that netfilter masquerades, hosts outside, another node, and
 * a host behind a second card of the node. All but the node are raw: their stacks answer nothing.
 *
 *   outside1, outside2 ── router ──┬── eth0 node1 eth1 ── inner
 *                          node2 ──┘    └── pod1, pod2
 */
import { ipBatch, setSysctls } from '../../support/lab/command.ts';
import { Host } from '../../support/lab/host.ts';
import { createLab, type Lab } from '../../support/lab/lab.ts';
import { cgroupDirectory, netnsName } from '../../support/lab/names.ts';
import { Port, Stack } from './wire.ts';

export type FamilyNumber = 4 | 6;
export const FAMILIES: readonly FamilyNumber[] = [4, 6];
/** Hosts that send and receive frames by hand. */
export const RAW_HOSTS = ['outside1', 'outside2', 'node2', 'pod1', 'pod2', 'inner'] as const;
export type RawHost = (typeof RAW_HOSTS)[number];
export type HostName = RawHost | 'node1';
export const isPod = (name: HostName): boolean => name === 'pod1' || name === 'pod2';

type Both = Readonly<Record<FamilyNumber, string>>;

const INNER: Both = { 4: '172.29.0.2', 6: 'fd29::2' };
/** node1's own on the second card. */
const SECOND: Both = { 4: '172.29.0.1', 6: 'fd29::1' };
const INNER_NETWORK: Both = { 4: '172.29.0.0/24', 6: 'fd29::/64' };

/** Every pair whose packets node1 sees. Answers go the other way. */
export const PAIRS: readonly (readonly [RawHost, HostName])[] = [
  ['outside1', 'inner'],
  ['inner', 'outside1'],
  ['inner', 'outside2'],
  ['outside1', 'pod1'],
  ['outside2', 'pod2'],
  ['pod1', 'outside1'],
  ['pod2', 'outside1'],
  ['pod1', 'outside2'],
  ['pod1', 'node2'],
  ['node2', 'pod1'],
  ['node2', 'inner'],
  ['inner', 'node2'],
  ['pod1', 'inner'],
  ['inner', 'pod2'],
  ['pod1', 'pod2'],
  ['outside1', 'node1'],
  ['node2', 'node1'],
  ['pod1', 'node1'],
  ['inner', 'node1'],
];

/** As CNI plugins write it; a source port that is free is kept. */
const MASQUERADE = `
table ip cni { chain postrouting { type nat hook postrouting priority 100;
  ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade; }; }
table ip6 cni { chain postrouting { type nat hook postrouting priority 100;
  ip6 saddr fd44::/48 ip6 daddr != fd44::/48 masquerade; }; }
`;
/** A host whose stack hears nothing but its neighbours. */
const DEAF = `
table inet deaf { chain input { type filter hook input priority -400;
  meta l4proto icmpv6 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept;
  iifname "eth0" drop; }; }
`;
/** Errors without a limit, so that none is missing by chance; nobody is told of better ways; no connection is forgotten. */
const TALKATIVE = {
  'net/netfilter/nf_conntrack_tcp_timeout_close': 600,
  'net/netfilter/nf_conntrack_udp_timeout': 600,
  'net/netfilter/nf_conntrack_icmp_timeout': 600,
  'net/ipv4/icmp_ratelimit': 0,
  'net/ipv4/icmp_msgs_per_sec': 1_000_000,
  'net/ipv4/icmp_msgs_burst': 1_000_000,
  'net/ipv6/icmp/ratelimit': 0,
  'net/ipv4/conf/all/send_redirects': 0,
  'net/ipv4/conf/default/send_redirects': 0,
  'net/ipv4/conf/eth0/send_redirects': 0,
};

export interface World {
  readonly lab: Lab;
  readonly ports: Readonly<Record<RawHost, Port>>;
  /** What node1 delivers to itself. */
  readonly stack: Stack;
  address(host: HostName, family: FamilyNumber): string;
  /** The address of a host that others see: a pod's is masqueraded where it leaves the pods' network. */
  seen(host: HostName, by: HostName, family: FamilyNumber): string;
  /** MAC addresses of a frame from a host to another: its own, and its next hop's. */
  macs(from: RawHost, to: HostName): readonly [string, string];
  /** Addresses of the stacks that answer by themselves: node1's, and the router's. */
  readonly ownAddresses: ReadonlySet<string>;
  destroy(): Promise<void>;
}

async function makeInner(lab: Lab): Promise<Host> {
  const netns = netnsName(lab.id, 'inner');
  await ipBatch(undefined, [`netns add ${netns}`]);
  await setSysctls(netns, { 'net/ipv6/conf/all/accept_dad': 0, 'net/ipv6/conf/default/accept_dad': 0 });
  const node = lab.node(1).netns;
  await ipBatch(node, [
    `link add eth1 type veth peer name eth0 netns ${netns}`,
    `addr add ${SECOND[4]}/24 dev eth1`,
    `addr add ${SECOND[6]}/64 dev eth1 nodad`,
    'link set eth1 up',
  ]);
  await ipBatch(netns, [
    'link set lo up',
    `addr add ${INNER[4]}/24 dev eth0`,
    `addr add ${INNER[6]}/64 dev eth0 nodad`,
    'link set eth0 up',
    `route replace 0.0.0.0/0 via ${SECOND[4]} dev eth0`,
    `route replace ::/0 via ${SECOND[6]} dev eth0`,
  ]);
  const other = lab.node(2);
  const via = lab.node(1);
  await ipBatch(other.netns, [
    `route add ${INNER_NETWORK[4]} via ${via.ipv4} dev eth0`,
    `route add ${INNER_NETWORK[6]} via ${via.ipv6} dev eth0`,
  ]);
  await lab.route(INNER_NETWORK[4], 'node1');
  await lab.route(INNER_NETWORK[6], 'node1');
  const addresses = { IPv4: INNER[4], IPv6: INNER[6] };
  return new Host({ name: 'inner', netns, cgroup: `${cgroupDirectory(lab.id)}/inner`, addresses });
}

interface Link {
  readonly ifindex: number;
  readonly address: string;
}

async function linkOf(host: Host, device: string): Promise<Link> {
  const [link] = JSON.parse(await host.run(['ip', '-j', 'link', 'show', 'dev', device])) as Link[];
  if (link === undefined) throw new Error(`look at ${device} of ${host.name}: it is not there`);
  return link;
}

/** Lays out the network; `destroy` removes it. Hosts client3 and pod3 have stacks like any other. */
export async function createWorld(): Promise<World> {
  const lab = await createLab({ nodes: 2, podsPerNode: 3, externalClients: 3 });
  try {
    return await build(lab);
  } catch (error) {
    await lab.destroy();
    throw error;
  }
}

async function build(lab: Lab): Promise<World> {
  const node = lab.node(1);
  const hosts: Readonly<Record<HostName, Host>> = {
    outside1: lab.client(1),
    outside2: lab.client(2),
    node1: node,
    node2: lab.node(2),
    pod1: lab.pod(1, 1),
    pod2: lab.pod(1, 2),
    inner: await makeInner(lab),
  };
  for (const cidr of Object.values(node.podCidrs)) await lab.route(cidr, 'node1');
  await node.run(['nft', '-f', '-'], { input: MASQUERADE });
  await Promise.all([node, lab.net].map(({ netns }) => setSysctls(netns, TALKATIVE)));
  await Promise.all(RAW_HOSTS.map((name) => hosts[name].run(['nft', '-f', '-'], { input: DEAF })));

  const links = new Map<RawHost, Link>();
  for (const name of RAW_HOSTS) links.set(name, await linkOf(hosts[name], 'eth0'));
  const [nodes, clients] = [await linkOf(lab.net, 'nodes'), await linkOf(lab.net, 'clients')];
  const [eth0, eth1, bridge] = [await linkOf(node, 'eth0'), await linkOf(node, 'eth1'), await linkOf(node, 'cni0')];
  const macOf = (name: RawHost) => links.get(name)?.address ?? '';
  const nextHop: Readonly<Record<RawHost, string>> = {
    outside1: clients.address,
    outside2: clients.address,
    node2: eth0.address,
    pod1: bridge.address,
    pod2: bridge.address,
    inner: eth1.address,
  };
  const address = (name: HostName, family: FamilyNumber) => (family === 4 ? hosts[name].ipv4 : hosts[name].ipv6);
  const masquerade = (by: HostName, family: FamilyNumber) =>
    by === 'inner' ? SECOND[family] : address('node1', family);
  const own = JSON.parse(await node.run(['ip', '-j', 'address', 'show'])) as { addr_info: { local: string }[] }[];
  const router = JSON.parse(await lab.net.run(['ip', '-j', 'address', 'show'])) as typeof own;
  const ports = Object.fromEntries(
    RAW_HOSTS.map((name) => [name, new Port(hosts[name].netns, links.get(name)?.ifindex ?? 0)]),
  ) as Record<RawHost, Port>;
  const stack = new Stack(node.netns, { 4: [1, 6, 17, 132], 6: [6, 17, 58, 132] });
  if (nodes.address === clients.address) throw new Error('tell the router’s sides apart: one MAC address for both');
  return {
    lab,
    ports,
    stack,
    address,
    seen: (host, by, family) =>
      isPod(host) && !isPod(by) && by !== 'node1' ? masquerade(by, family) : address(host, family),
    macs: (from, to) => [macOf(from), isPod(from) && isPod(to) ? macOf(to as RawHost) : nextHop[from]],
    ownAddresses: new Set([...own, ...router].flatMap(({ addr_info }) => addr_info.map(({ local }) => local))),
    async destroy() {
      for (const port of Object.values(ports)) port.close();
      stack.close();
      await lab.destroy();
    },
  };
}
