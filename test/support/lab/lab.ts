/** A small cluster of network namespaces: nodes with pods, a router, clients outside. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkRunId, newRunId } from '../run-id.ts';
import { clientAddresses, type IpFamily, nodeAddresses, OVERLAY_MTU, routerAddresses } from './addressing.ts';
import { type Agent, type AgentOptions, startAgent } from './agent.ts';
import { type Cni, type NodeNetwork, prepareNode } from './cni.ts';
import { ipBatch, run } from './command.ts';
import { enterScript } from './enter.ts';
import { forward } from './forward.ts';
import { Host } from './host.ts';
import { cleanLeftovers, destroyLab } from './leftovers.ts';
import { cgroupDirectory, netnsName, runDirectory } from './names.ts';
import { LabNode, type Pod } from './node.ts';
import { makeOverlay } from './overlay.ts';
import { hasOwner, writeOwner } from './owner.ts';
import { makeUnderlay, type PodRoutes } from './underlay.ts';

export interface LabOptions {
  /** Default: a random one. */
  readonly id?: string;
  /** Default 3. */
  readonly nodes?: number;
  /** Pods made at the start on each node, `pod1` and up. Default 0. */
  readonly podsPerNode?: number;
  /** Default both. */
  readonly families?: readonly IpFamily[];
  /** Default `bridge`. */
  readonly cni?: Cni;
  /** Clients behind the router. Default 1. */
  readonly externalClients?: number;
  /** rp_filter of the nodes: 0 off, 1 strict, 2 loose. Default 2. */
  readonly rpFilter?: 0 | 1 | 2;
  /** How nodes reach the pods of others. Default `direct`. */
  readonly podRoutes?: PodRoutes;
}

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

export class Lab {
  readonly id: string;
  /** State of the lab: logs/, bpf/, sockets. */
  readonly directory: string;
  readonly families: readonly IpFamily[];
  readonly nodes: readonly LabNode[];
  readonly clients: readonly Host[];
  /** The namespace of the router and the API server's address. */
  readonly net: Host;
  readonly #agents = new Set<Agent>();

  /** Use createLab. */
  constructor(id: string, families: readonly IpFamily[], parts: { nodes: LabNode[]; clients: Host[]; net: Host }) {
    this.id = id;
    this.directory = runDirectory(id);
    this.families = families;
    this.nodes = parts.nodes;
    this.clients = parts.clients;
    this.net = parts.net;
  }

  /** @param which 1 or `node1` */
  node(which: number | string): LabNode {
    const node = this.nodes.find((candidate) => candidate.n === which || candidate.name === which);
    if (node === undefined) throw new Error(`find node ${which}: the lab has ${this.nodes.length}`);
    return node;
  }

  /** @param node 1 or `node1` @param podName 1 or `pod1` */
  pod(node: number | string, podName: number | string): Pod {
    return this.node(node).pod(typeof podName === 'number' ? `pod${podName}` : podName);
  }

  /** A client outside the cluster, from 1. */
  client(n = 1): Host {
    const client = this.clients[n - 1];
    if (client === undefined) throw new Error(`find client ${n}: the lab has ${this.clients.length}`);
    return client;
  }

  /**
   * Routes a network (load-balancer or external addresses, a pod CIDR) to nodes, on the router; with
   * several nodes each connection takes one of them, as with ECMP.
   * @param via `node1` or several
   */
  async route(cidr: string, via: string | readonly string[]): Promise<void> {
    const family: IpFamily = cidr.includes(':') ? 'IPv6' : 'IPv4';
    const hops = [via].flat().map((name) => {
      const host = this.node(name);
      return `nexthop via ${family === 'IPv6' ? host.ipv6 : host.ipv4} dev nodes`;
    });
    await ipBatch(this.net.netns, [`route replace ${cidr} ${hops.join(' ')}`]);
  }

  /**
   * Makes a Unix socket of this machine reachable inside the lab: on a port of the router's address.
   * @returns the address that nodes and pods dial, e.g. `172.30.0.254:6443`
   */
  async expose(socket: string, port: number): Promise<string> {
    await forward(this.net, port, socket);
    const { IPv4, IPv6 } = routerAddresses('nodes', this.families);
    return IPv4 === undefined ? `[${IPv6}]:${port}` : `${IPv4}:${port}`;
  }

  /** Starts `sluice agent` on a node; resolves when its first sync is in force. */
  async startAgent(node: number | string, options: AgentOptions): Promise<Agent> {
    const agent = await startAgent(this.node(node), join(this.directory, 'logs'), options);
    this.#agents.add(agent);
    return agent;
  }

  /** Ends everything and removes it. May be called twice. */
  async destroy(): Promise<void> {
    const hosts: Host[] = [
      this.net,
      ...this.nodes,
      ...this.clients,
      ...this.nodes.flatMap((node) => [...node.pods.values()]),
    ];
    await Promise.all([...hosts.map((host) => host.actor.close()), ...[...this.#agents].map((agent) => agent.kill())]);
    await destroyLab(this.id);
  }
}

/**
 * Lays out a lab; removes what dead runs have left first. Needs root. Nothing outside the lab's own
 * namespaces, cgroups and directory is touched.
 */
export async function createLab(options: LabOptions = {}): Promise<Lab> {
  const { id = newRunId(), nodes = 3, podsPerNode = 0, families = ['IPv4', 'IPv6'] } = options;
  const { cni = 'bridge', externalClients = 1, rpFilter = 2, podRoutes = 'direct' } = options;
  if (process.getuid?.() !== 0) throw new Error('make a lab: namespaces need root; run it as root');
  await cleanLeftovers();
  claim(checkRunId(id));
  try {
    await run('mount', ['-t', 'bpf', 'bpf', join(runDirectory(id), 'bpf')]);
    await makeUnderlay({ id, nodes, clients: externalClients, families, rpFilter, podRoutes });
    if (podRoutes === 'vxlan')
      await Promise.all(count(nodes).map((n) => makeOverlay(netnsName(id, `node${n}`), n, nodes, families)));
    const lab = new Lab(id, families, {
      net: outsider(id, 'net', routerAddresses('nodes', families)),
      clients: count(externalClients).map((n) => outsider(id, `client${n}`, clientAddresses(n, families))),
      nodes: count(nodes).map((n) =>
        makeNode(id, n, { cni, families, mtu: podRoutes === 'vxlan' ? OVERLAY_MTU : undefined }),
      ),
    });
    await Promise.all(lab.nodes.map((node) => prepareNode(node.network)));
    await Promise.all(lab.nodes.map((node) => node.addPods(count(podsPerNode).map((n) => `pod${n}`))));
    return lab;
  } catch (error) {
    await destroyLab(id);
    throw error;
  }
}

function claim(id: string): void {
  if (hasOwner(id)) throw new Error(`make lab ${id}: there is one of that name, and its owner is alive`);
  for (const part of ['bpf', 'logs']) mkdirSync(join(runDirectory(id), part), { recursive: true });
  writeOwner(id);
  writeFileSync(join(runDirectory(id), 'enter'), enterScript(id), { mode: 0o755 });
}

function outsider(id: string, name: string, addresses: Host['addresses']): Host {
  return new Host({ name, netns: netnsName(id, name), cgroup: join(cgroupDirectory(id), name), addresses });
}

function makeNode(id: string, n: number, network: Pick<NodeNetwork, 'cni' | 'families' | 'mtu'>): LabNode {
  const name = `node${n}`;
  const netns = netnsName(id, name);
  const cgroupRoot = join(cgroupDirectory(id), name);
  const bpfRoot = join(runDirectory(id), 'bpf', name);
  mkdirSync(bpfRoot);
  const init = { name, netns, cgroup: join(cgroupRoot, 'host'), addresses: nodeAddresses(n, network.families) };
  return new LabNode(id, { ...network, n, netns }, { cgroupRoot, bpfRoot }, init);
}
