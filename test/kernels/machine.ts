/** A node that is the guest itself: an agent in the initial network namespace, where a node's agent runs. */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Status } from '../../src/cli/commands/status.ts';
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import { type Agent, sluiceCommand, startAgent } from '../support/lab/agent.ts';
import { run } from '../support/lab/command.ts';
import { LabNode } from '../support/lab/node.ts';
import type { Probe } from '../support/traffic/protocol.ts';
import { PATIENCE_MS } from './check.ts';

const DEVICE = 'node0';
const NETNS = 'machine';
const DIRECTORY = '/tmp/machine';
const CGROUP = '/sys/fs/cgroup/machine';
const BPF_ROOT = '/sys/fs/bpf/machine';
const ADDRESSES = { IPv4: '192.0.2.1', IPv6: 'fd02::1' } as const;
/** Numbers of the Services: one with a process of the node as its backend, one with none. */
const SERVED = 21;
const UNSERVED = 22;

export class Machine {
  #node: LabNode | undefined;
  #agent: Agent | undefined;

  get node(): LabNode {
    if (this.#node === undefined) throw new Error('the device of the machine was not made');
    return this.#node;
  }

  /** A device to attach to, a process that serves, an agent: pods are served per packet, the node by its sockets. */
  async start(): Promise<void> {
    await run('ip', ['netns', 'attach', NETNS, '1']);
    const lines = [
      `link add ${DEVICE} type dummy`,
      `addr add ${ADDRESSES.IPv4}/24 dev ${DEVICE}`,
      `addr add ${ADDRESSES.IPv6}/64 dev ${DEVICE} nodad`,
      `link set ${DEVICE} up`,
    ];
    await run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
    const manifests = `${DIRECTORY}/manifests`;
    for (const directory of [manifests, BPF_ROOT]) mkdirSync(directory, { recursive: true });
    this.#node = new LabNode(
      'machine',
      { cni: 'routed', n: 1, netns: NETNS, families: ['IPv4', 'IPv6'] },
      { cgroupRoot: CGROUP, bpfRoot: BPF_ROOT },
      { name: 'machine', netns: NETNS, cgroup: `${CGROUP}/host`, addresses: ADDRESSES },
    );
    const [server] = await this.#node.addPods(['server'], { hostNetwork: true });
    if (server === undefined) throw new Error('the node made no pod');
    await server.actor.serve({ http: [POD_PORTS.http], udp: [POD_PORTS.udp] });
    const items = [
      service('served', SERVED),
      ...slices('served', [server]),
      service('unserved', UNSERVED),
      ...slices('unserved', []),
    ];
    writeFileSync(`${manifests}/services.json`, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    const options = { manifests, socketLb: 'host-only', devices: DEVICE, timeoutMs: PATIENCE_MS } as const;
    this.#agent = await startAgent(this.#node, DIRECTORY, options);
  }

  /** `sluice status`, as data. */
  async status(): Promise<Status> {
    const command = sluiceCommand('status', '-o', 'json', '--bpf-root', BPF_ROOT);
    return JSON.parse(await this.node.run(command, { timeoutMs: PATIENCE_MS }));
  }

  /** A process of the node dials the served Service's cluster IP. */
  dial(protocol: 'http' | 'udp', family: IpFamily): Promise<Probe> {
    const address = addressesOf(SERVED).clusterIp[family];
    return this.node.actor[protocol](address, SERVICE_PORTS[protocol], { timeoutMs: PATIENCE_MS });
  }

  dialUnserved(family: IpFamily): Promise<Probe> {
    const address = addressesOf(UNSERVED).clusterIp[family];
    return this.node.actor.http(address, SERVICE_PORTS.http, { timeoutMs: PATIENCE_MS });
  }

  dialLocalhost(): Promise<Probe> {
    return this.node.actor.http('127.0.0.1', nodePortOf(SERVED), { timeoutMs: PATIENCE_MS });
  }

  /** A process of the node binds a NodePort. @returns the error that it got, or undefined */
  async bindNodePort(): Promise<string | undefined> {
    try {
      await this.node.actor.serve({ tcp: [nodePortOf(SERVED)], addresses: ['0.0.0.0'] });
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** @returns what is still attached to the device after the clean-up */
  async cleanUp(): Promise<string> {
    await this.#agent?.stop();
    await this.node.run(sluiceCommand('agent', '--cleanup', '--bpf-root', BPF_ROOT), { timeoutMs: PATIENCE_MS });
    const qdiscs = await run('tc', ['qdisc', 'show', 'dev', DEVICE, 'clsact']);
    const links = await run('ip', ['-d', 'link', 'show', 'dev', DEVICE]);
    for (const pod of this.node.pods.values()) await pod.actor.close();
    await this.node.actor.close();
    await run('ip', ['link', 'del', DEVICE]);
    await run('ip', ['netns', 'del', NETNS]);
    return [...qdiscs.split('\n'), ...links.split('\n').filter((line) => line.includes('xdp'))]
      .filter((line) => line.trim() !== '')
      .join('\n');
  }
}
