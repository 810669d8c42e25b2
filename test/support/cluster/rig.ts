/** What most cluster tests start from: two nodes with two pods each that serve, and manifests. */
import type { Agent, AgentOptions } from '../lab/agent.ts';
import type { Cni } from '../lab/cni.ts';
import { createLab, type Lab } from '../lab/lab.ts';
import type { Pod } from '../lab/node.ts';
import type { PodRoutes } from '../lab/underlay.ts';
import { writeConfiguration } from './configuration.ts';
import { createManifests, type Manifests } from './manifests.ts';
import { POD_PORTS } from './objects.ts';

/** Networks of frontends, which the router sends to node1. */
const FRONTEND_NETWORKS = ['10.96.0.0/16', 'fd96::/108', '198.51.100.0/24', 'fd15::/64', '203.0.113.0/24', 'fd13::/64'];

export interface Rig {
  readonly lab: Lab;
  readonly manifests: Manifests;
  /** Path of the configuration that agents get by default. */
  readonly config: string;
  /** Starts an agent on each node; resolves when each has its first sync in force. */
  startAgents(options?: AgentOptions): Promise<Agent[]>;
  startAgent(node: number, options?: AgentOptions): Promise<Agent>;
}

/** Makes a pod serve what `POD_PORTS` says. */
export function serve(pod: Pod): Promise<void> {
  return pod.actor.serve({ http: [POD_PORTS.http], tcp: [POD_PORTS.tcp], udp: [POD_PORTS.udp] });
}

export interface RigOptions {
  /** Default `bridge`. */
  readonly cni?: Cni;
  /** Default 2. */
  readonly nodes?: number;
  /** Default 2. */
  readonly podsPerNode?: number;
  /** Default 1. */
  readonly externalClients?: number;
  /** How nodes reach the pods of others. Default `direct`. */
  readonly podRoutes?: PodRoutes;
}

/** Lays out the lab; `rig.lab.destroy()` removes it. */
export async function createRig(options: RigOptions = {}): Promise<Rig> {
  const { cni, nodes = 2, podsPerNode = 2, externalClients, podRoutes } = options;
  const lab = await createLab({
    nodes,
    podsPerNode,
    ...(cni !== undefined && { cni }),
    ...(externalClients !== undefined && { externalClients }),
    ...(podRoutes !== undefined && { podRoutes }),
  });
  try {
    for (const network of FRONTEND_NETWORKS) await lab.route(network, 'node1');
    await Promise.all(lab.nodes.flatMap((node) => [...node.pods.values()].map(serve)));
  } catch (error) {
    await lab.destroy();
    throw error;
  }
  const manifests = createManifests(lab);
  const config = writeConfiguration(lab);
  const startAgent = (node: number, options: AgentOptions = {}) =>
    lab.startAgent(node, { manifests: manifests.directory, config, ...options });
  return {
    lab,
    manifests,
    config,
    startAgent,
    startAgents: (options) => Promise.all(lab.nodes.map(({ n }) => startAgent(n, options))),
  };
}
