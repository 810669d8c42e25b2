/**
 * One lab for all competitors: each has a node of its own, laid out the same, with a client pod and a pod
 * that serves; the backends of the Services are pods of one more node. So they can be measured in turn,
 * a second each, with nothing to switch in between. Who works on the backends' node too has one to itself, the
 * same but for that, behind a NodePort that all know and nobody else is dialled by.
 */

import { createLab, type Lab } from '../../test/support/lab/lab.ts';
import type { LabNode, Pod } from '../../test/support/lab/node.ts';
import type { Competitor } from '../competitors/competitor.ts';
import type { LoadTools } from '../load/build.ts';
import { startServer } from '../load/run.ts';
import { HTTP, type ModelEndpoint, type ModelPort, type ModelService, NAMESPACE } from '../rules/model.ts';
import { type BenchApi, startBenchApi } from './api.ts';

const BACKENDS = 3;
/** What `load serve` listens on. */
export const SERVER_PORT = 8080;
export const SINK_PORT = 8081;
/** NodePorts to the backends elsewhere, and to the pod on the same node (policy Local). */
const REMOTE_NODE_PORT = 30080;
export const LOCAL_NODE_PORT = 30081;
/** The first of those to backends that one competitor has to itself. */
const OWN_NODE_PORT = 30082;

/** A cluster address that leads to the sinks of the backends; NodePorts for all but that. */
export const PORTS: readonly ModelPort[] = [
  HTTP,
  { name: 'dns', protocol: 'UDP', port: 80, targetPort: SERVER_PORT },
  { name: 'bulk', protocol: 'TCP', port: 81, targetPort: SINK_PORT },
];

/** Backends elsewhere, and the NodePort that leads to them. */
export interface Remote {
  readonly node: LabNode;
  readonly endpoints: readonly ModelEndpoint[];
  readonly nodePort: number;
}

export interface World {
  readonly lab: Lab;
  readonly api: BenchApi;
  readonly tools: LoadTools;
  /** The node of the backends, and what a Service's endpoints are. */
  readonly backends: LabNode;
  readonly endpoints: readonly ModelEndpoint[];
  /** Services with NodePorts, beside the others. */
  readonly exposed: readonly ModelService[];
  nodeOf(competitor: Competitor): LabNode;
  /** What its NodePort for backends elsewhere leads to: `backends`, or a node of its own. */
  remoteOf(competitor: Competitor): Remote;
  close(): Promise<void>;
}

function exposedService(
  name: string,
  clusterIp: string,
  nodePort: number,
  endpoints: readonly ModelEndpoint[],
  external?: 'Local',
): ModelService {
  const ports: ModelPort[] = [
    { ...HTTP, nodePort },
    { name: 'dns', protocol: 'UDP', port: 80, targetPort: SERVER_PORT, nodePort },
  ];
  return { namespace: NAMESPACE, name, clusterIp, ports, endpoints, ...(external ? { external } : {}) };
}

/** Three pods that serve. */
async function createRemote(node: LabNode, nodePort: number, tools: LoadTools): Promise<Remote> {
  const pods = await node.addPods(Array.from({ length: BACKENDS }, (_, k) => `backend${k + 1}`));
  await Promise.all(pods.map((pod) => serve(pod, tools)));
  return { node, nodePort, endpoints: pods.map((pod) => ({ address: pod.ipv4, nodeName: node.name })) };
}

function serve(pod: Pod, tools: LoadTools): Promise<void> {
  return startServer(pod, tools.load, { name: pod.podName, tcp: SERVER_PORT, udp: SERVER_PORT, sink: SINK_PORT });
}

/** Needs root. Everything it makes is gone after close(). */
export async function createWorld(competitors: readonly Competitor[], tools: LoadTools): Promise<World> {
  const owners = competitors.filter(({ ownBackends }) => ownBackends);
  const lab = await createLab({ nodes: competitors.length + 1 + owners.length, families: ['IPv4'] });
  try {
    const nodes = lab.nodes.slice(0, competitors.length);
    const [shared, ...own] = (await Promise.all(
      lab.nodes
        .slice(competitors.length)
        .map((node, k) => createRemote(node, k === 0 ? REMOTE_NODE_PORT : OWN_NODE_PORT + k - 1, tools)),
    )) as [Remote, ...Remote[]];
    const locals = await Promise.all(nodes.map(async (node) => (await node.addPods(['local', 'client']))[0]!));
    await Promise.all(locals.map((pod) => serve(pod, tools)));
    // Answers to the packet generator's addresses end at the router.
    await lab.net.run(['ip', 'route', 'add', 'blackhole', '198.18.0.0/15']);
    const here = locals.map((pod) => ({ address: pod.ipv4, nodeName: pod.node.name }));
    const api = await startBenchApi(lab);
    return {
      lab,
      api,
      tools,
      backends: shared.node,
      endpoints: shared.endpoints,
      exposed: [
        exposedService('remote', '10.96.255.1', REMOTE_NODE_PORT, shared.endpoints),
        exposedService('local', '10.96.255.2', LOCAL_NODE_PORT, here, 'Local'),
        ...own.map(({ nodePort, endpoints }, k) =>
          exposedService(`own-${k + 1}`, `10.96.255.${3 + k}`, nodePort, endpoints),
        ),
      ],
      nodeOf: (competitor) => nodes[competitors.indexOf(competitor)] as LabNode,
      remoteOf: (competitor) => own[owners.indexOf(competitor)] ?? shared,
      async close() {
        await api.close();
        await lab.destroy();
      },
    };
  } catch (error) {
    await lab.destroy();
    throw error;
  }
}
