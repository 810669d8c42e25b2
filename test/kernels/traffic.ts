/** Packets through every path, in the cluster tests' lab: two nodes, two pods each, a client outside. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dial, PROTOCOLS, type Protocol, portOf } from '../support/cluster/dial.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { expectedSource } from '../support/cluster/source.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Agent } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';
import type { Probe } from '../support/traffic/protocol.ts';
import { type Check, PATIENCE_MS } from './check.ts';

export type SocketLb = 'all' | 'host-only';
type ServiceName = 'near' | 'far' | 'none';
type Frontend = 'ClusterIP' | 'NodePort';

/** The number of each Service, from which its addresses follow. */
const SERVICES: Readonly<Record<ServiceName, number>> = { near: 11, far: 12, none: 13 };
const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

interface Path {
  readonly from: 'a pod' | 'the node' | 'outside';
  readonly frontend: Frontend;
  readonly to: ServiceName;
}

/** All through node1: `near` has its backend there, `far` on node2, `none` has none. */
const PATHS: readonly Path[] = [
  { from: 'a pod', frontend: 'ClusterIP', to: 'near' },
  { from: 'a pod', frontend: 'ClusterIP', to: 'far' },
  { from: 'a pod', frontend: 'ClusterIP', to: 'none' },
  { from: 'the node', frontend: 'ClusterIP', to: 'near' },
  { from: 'the node', frontend: 'ClusterIP', to: 'far' },
  { from: 'the node', frontend: 'ClusterIP', to: 'none' },
  { from: 'outside', frontend: 'NodePort', to: 'near' },
  { from: 'outside', frontend: 'NodePort', to: 'far' },
  { from: 'outside', frontend: 'NodePort', to: 'none' },
];

export class Traffic {
  #rig: Rig | undefined;
  #agents: Agent[] = [];

  get rig(): Rig {
    if (this.#rig === undefined) throw new Error('the lab was not laid out');
    return this.#rig;
  }

  async layOut(): Promise<void> {
    this.#rig = await createRig();
    this.writeServices([]);
  }

  /** @param late backends of the Service `none` */
  writeServices(late: readonly Pod[]): void {
    const { lab, manifests } = this.rig;
    const backends = { near: [lab.pod(1, 1)], far: [lab.pod(2, 1)], none: late };
    const names = Object.keys(SERVICES) as ServiceName[];
    manifests.write(
      'services.json',
      names.flatMap((name) => [service(name, SERVICES[name]), ...slices(name, backends[name])]),
    );
  }

  async startAgents(socketLb: SocketLb): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
    this.#agents = [await this.#startAgent(1, socketLb), await this.#startAgent(2, socketLb)];
  }

  /** One after the other: that takes no longer here. */
  async #startAgent(node: number, socketLb: SocketLb): Promise<Agent> {
    try {
      return await this.rig.startAgent(node, { socketLb, timeoutMs: PATIENCE_MS });
    } catch (error) {
      const log = readFileSync(join(this.rig.lab.directory, 'logs', `agent-node${node}.log`), 'utf8');
      throw new Error(`${error}\n${log.trim().split('\n').slice(-12).join('\n')}`);
    }
  }

  async killAgent(): Promise<void> {
    await this.#agents[0]?.kill();
  }

  async restartAgent(socketLb: SocketLb): Promise<void> {
    this.#agents[0] = await this.#startAgent(1, socketLb);
  }

  clientOf(from: Path['from']): Host {
    const { lab } = this.rig;
    return from === 'a pod' ? lab.pod(1, 2) : from === 'the node' ? lab.node(1) : lab.client();
  }

  addressOf(frontend: Frontend, to: ServiceName, family: IpFamily): string {
    const node = this.rig.lab.node(1);
    if (frontend === 'ClusterIP') return addressesOf(SERVICES[to]).clusterIp[family];
    return family === 'IPv4' ? node.ipv4 : node.ipv6;
  }

  dial({ from, frontend, to }: Path, protocol: Protocol, family: IpFamily): Promise<Probe> {
    const port = portOf(protocol, frontend === 'NodePort', SERVICES[to]);
    return dial(this.clientOf(from), protocol, this.addressOf(frontend, to, family), port, PATIENCE_MS);
  }

  /** @returns what is wrong with an answer, or undefined. */
  #judge(path: Path, probe: Probe, family: IpFamily, socketLb: SocketLb): string | undefined {
    if (path.to === 'none')
      return probe.errno === 'ECONNREFUSED' ? undefined : (probe.errno ?? `answer of ${probe.who}`);
    if (!probe.ok) return probe.errno;
    const { lab } = this.rig;
    const backend = path.to === 'near' ? lab.pod(1, 1) : lab.pod(2, 1);
    const client = this.clientOf(path.from);
    const source = expectedSource(
      {
        client,
        entry: lab.node(1),
        frontend: path.frontend,
        servedAtHome: path.from !== 'outside',
        externalLocal: false,
        socketLb,
        cni: 'bridge',
        family,
      },
      backend,
    );
    const peer = this.addressOf(path.frontend, path.to, family);
    if (probe.who !== backend.name) return `answer of ${probe.who}, not of ${backend.name}`;
    if (probe.seenSource !== source) return `the backend saw ${probe.seenSource}, not ${source}`;
    return probe.peerAddress === peer ? undefined : `the client saw ${probe.peerAddress}, not ${peer}`;
  }

  /** Dials by every protocol in both families. @throws Error that lists what went wrong */
  async follow(path: Path, socketLb: SocketLb): Promise<string> {
    // An unconnected UDP socket hears of no refusal by ICMP.
    const protocols = path.to === 'none' ? PROTOCOLS.filter((protocol) => protocol !== 'sendto') : PROTOCOLS;
    const dials = protocols.flatMap((protocol) => FAMILIES.map((family) => ({ protocol, family })));
    const wrong: string[] = [];
    for (const { protocol, family } of dials) {
      const reason = this.#judge(path, await this.dial(path, protocol, family), family, socketLb);
      if (reason !== undefined) wrong.push(`${protocol} over ${family}: ${reason}`);
    }
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
    return `${dials.length} dials`;
  }

  /** The agent dies: what it set up goes on. Another takes over: connections stay, changes take effect. */
  async survive(socketLb: SocketLb): Promise<string> {
    const { lab } = this.rig;
    const path: Path = { from: 'outside', frontend: 'NodePort', to: 'far' };
    const port = portOf('http', true, SERVICES.far) + 100;
    const open = await lab.client().actor.open('tcp', lab.node(1).ipv4, port, { timeoutMs: PATIENCE_MS });
    const goesOn = async (when: string) => {
      const { ok, errno } = await open.exchange({ timeoutMs: PATIENCE_MS });
      if (!ok) throw new Error(`the open connection, ${when}: ${errno}`);
      await this.follow(path, socketLb);
    };
    await this.killAgent();
    await goesOn('without an agent');
    this.writeServices([lab.pod(2, 2)]);
    await this.restartAgent(socketLb);
    await goesOn('with the new agent');
    const { who, errno } = await this.dial({ ...path, to: 'none' }, 'http', 'IPv6');
    if (who !== lab.pod(2, 2).name) throw new Error(`what changed meanwhile: ${who ?? errno}`);
    await open.close();
    return 'an open connection, new ones, what changed meanwhile';
  }

  async end(): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
    await this.#rig?.lab.destroy();
  }
}

export function trafficChecks(): Check[] {
  const traffic = new Traffic();
  const name = ({ from, frontend, to }: Path) => {
    const backend = { near: 'backend here', far: 'backend elsewhere', none: 'no backend' }[to];
    return `${from} to a ${frontend}, ${backend}`;
  };
  const modes: readonly SocketLb[] = ['all', 'host-only'];
  return [
    { name: 'a lab of two nodes', vital: true, run: () => traffic.layOut() },
    ...modes.flatMap((mode): Check[] => [
      { name: `--socket-lb ${mode}: agents on both nodes`, vital: true, run: () => traffic.startAgents(mode) },
      ...PATHS.map((path) => ({ name: `--socket-lb ${mode}: ${name(path)}`, run: () => traffic.follow(path, mode) })),
    ]),
    { name: 'the agent is killed, and started again', run: () => traffic.survive('host-only') },
    { name: 'the lab is gone without a trace', run: () => traffic.end() },
  ];
}
