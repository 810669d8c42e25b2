/** A node under load, its API server, and the objects that chaos changes. */
import { setTimeout as delay } from 'node:timers/promises';
import type { EndpointSlice, Service } from '../../src/model/kubernetes.ts';
import type { Difference } from '../../src/verify/difference.ts';
import { addressesOf, nodePortOf, POD_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { type LabApi, startLabApi } from '../support/lab/api.ts';
import type { Host } from '../support/lab/host.ts';
import type { LabNode, Pod } from '../support/lab/node.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import type { LoadOptions } from '../support/traffic/protocol.ts';

/** Of the Service that the load dials; two of its backends never leave. */
export const WEB = 11;
/** Numbers of Services that come and go. */
export const GUESTS = [21, 22, 23, 24] as const;
/** Services that only are there. */
export const CROWD = 1000;

export interface Stream {
  readonly name: string;
  /** Answers and failures since the last call. */
  take(): Promise<{ readonly ok: number; readonly failed: number; readonly errors: string }>;
}

export interface World {
  readonly rig: Rig;
  readonly api: LabApi;
  readonly node: LabNode;
  readonly streams: readonly Stream[];
  readonly agent: Agent | undefined;
  /** Pods of both nodes that may serve WEB or a guest. */
  readonly pods: readonly Pod[];
  /** Starts an agent; does not wait for its first sync. */
  start(): Promise<void>;
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** Puts a Service and its slices in the place of those there were. */
  put(name: string, n: number, pods: readonly Pod[], spec?: Service['spec']): void;
  remove(name: string): void;
  verify(): Promise<{ readonly code: number; readonly items: readonly Difference[]; readonly text: string }>;
  destroy(): Promise<void>;
}

function crowd(): (Service | EndpointSlice)[] {
  return Array.from({ length: CROWD }, (_, i) => {
    const name = `crowd-${i}`;
    const clusterIP = `10.96.${4 + (i >> 8)}.${i & 255}`;
    const ports = [{ name: 'http', port: 80, protocol: 'TCP' }];
    return [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'crowd' },
        spec: { type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ipFamilies: ['IPv4'], ports },
      },
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-a`, namespace: 'crowd', labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
        endpoints: [{ addresses: [`10.250.${i >> 8}.${i & 255}`], conditions: { ready: true } }],
      },
    ] as (Service | EndpointSlice)[];
  }).flat();
}

export async function createWorld(): Promise<World> {
  const rig = await createRig({ nodes: 2, podsPerNode: 3 });
  let api: LabApi | undefined;
  try {
    api = await startLabApi(rig.lab, { validation: 'off' });
    return await populate(rig, api);
  } catch (error) {
    await api?.close();
    await rig.lab.destroy();
    throw error;
  }
}

async function populate(rig: Rig, api: LabApi): Promise<World> {
  const node = rig.lab.node(1);
  const { store } = api.server;
  for (const each of rig.lab.nodes) store.apply(nodeObject(each));
  for (const object of crowd()) store.apply(object);
  const pods = [rig.lab.pod(1, 1), rig.lab.pod(2, 1), rig.lab.pod(2, 2), rig.lab.pod(2, 3)];
  let agent: Agent | undefined;
  const streams: Stream[] = [];

  const world: World = {
    rig,
    api,
    node,
    streams,
    pods,
    get agent() {
      return agent;
    },
    async start() {
      if (agent !== undefined && agent.exit === undefined) return;
      agent = await rig.lab.startAgent(node.name, {
        kubeconfig: api.kubeconfig,
        config: rig.config,
        waitSynced: false,
      });
    },
    async kill(signal) {
      if (signal === 'SIGKILL') await agent?.kill();
      else await agent?.stop();
      agent = undefined;
    },
    put(name, n, backends, spec) {
      store.apply(service(name, n, spec));
      for (const slice of slices(name, backends)) store.apply(slice);
    },
    remove(name) {
      for (const family of ['ipv4', 'ipv6'])
        if (store.get('EndpointSlice', 'default', `${name}-${family}`))
          store.delete('EndpointSlice', 'default', `${name}-${family}`);
      if (store.get('Service', 'default', name)) store.delete('Service', 'default', name);
    },
    async verify() {
      const command = sluiceCommand('verify', '--bpf-root', node.bpfRoot, '-o', 'json', '--timeout', '10');
      const { code, stdout, stderr } = await node.exec(command, { timeoutMs: 60_000 });
      const items = stdout === '' ? [] : (JSON.parse(stdout) as { items: Difference[] }).items;
      return { code, items, text: stderr };
    },
    async destroy() {
      await world.kill('SIGKILL');
      await rig.lab.destroy();
      await api.close();
    },
  };
  world.put('web', WEB, pods.slice(0, 2));
  await world.start();
  await agent?.waitForLog('the first sync', ({ msg }) => msg === 'synced', 60_000);
  const { clusterIp, balancerIp } = addressesOf(WEB);
  const [pod, client] = [rig.lab.pod(1, 2), rig.lab.client(1)];
  const http = { protocol: 'http', port: 80 } as const;
  const udp = { protocol: 'udp', port: 53 } as const;
  const plans: [string, Host, LoadOptions][] = [
    ['TCP from a pod, by its socket', pod, { ...http, address: clusterIp.IPv4 }],
    ['TCP of one connection from the node', node, { ...http, address: clusterIp.IPv6, keepAlive: true }],
    ['TCP from outside to a load balancer', client, { ...http, address: balancerIp.IPv4 }],
    ['TCP from outside to a NodePort', client, { ...http, address: node.ipv6, port: nodePortOf(WEB) }],
    ['UDP from a pod', pod, { ...udp, address: clusterIp.IPv6 }],
    ['UDP from outside', client, { ...udp, address: balancerIp.IPv4 }],
  ];
  for (const [name, from, options] of plans) streams.push(await stream(name, from, options));
  return world;
}

async function stream(name: string, from: Host, options: LoadOptions): Promise<Stream> {
  const load = await from.actor.load({ rate: 25, concurrency: 2, timeoutMs: 5000, ...options });
  let before = { ok: 0, failed: 0, errors: {} as Readonly<Record<string, number>> };
  return {
    name,
    async take() {
      const now = await load.report();
      const { ok, failed, errors } = before;
      before = now;
      const fresh = Object.entries(now.errors).filter(([errno, count]) => count > (errors[errno] ?? 0));
      return { ok: now.ok - ok, failed: now.failed - failed, errors: fresh.map(([errno]) => errno).join() };
    },
  };
}

/** Ports of a Service that has more frontends than any one may have. */
export const HUGE = Array.from({ length: 3000 }, (_, i) => ({ name: `p${i}`, port: 1000 + i, protocol: 'TCP' }));

export { delay, POD_PORTS };
