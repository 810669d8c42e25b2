/** A lab whose agents are started in place with one configuration after another, and whose objects change live. */
import type { KubernetesObject, Service } from '../../../src/model/kubernetes.ts';
import type { Agent, AgentOptions } from '../lab/agent.ts';
import type { Host } from '../lab/host.ts';
import type { Lab } from '../lab/lab.ts';
import type { LabNode, Pod } from '../lab/node.ts';
import { nodeObject } from '../lab/nodes.ts';
import { poll } from '../lab/poll.ts';
import { writeConfiguration } from './configuration.ts';
import { createRig, type Rig, type RigOptions } from './rig.ts';

export interface StageOptions extends AgentOptions {
  /** Keys of the configuration that are added or replaced. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Which nodes run an agent; default all. The others only send and receive. */
  readonly nodes?: readonly number[];
}

const FILE = 'objects.json';

export class Stage {
  readonly #rig: Rig;
  #agents: readonly Agent[] = [];
  #revision = 0;

  private constructor(rig: Rig) {
    this.#rig = rig;
  }

  /** Lays out the lab. No agent runs yet. */
  static async create(options: RigOptions = {}): Promise<Stage> {
    return new Stage(await createRig(options));
  }

  get lab(): Lab {
    return this.#rig.lab;
  }

  pod(node: number, n: number): Pod {
    return this.lab.pod(node, n);
  }

  node(n: number): LabNode {
    return this.lab.node(n);
  }

  client(n = 1): Host {
    return this.lab.client(n);
  }

  /** The Node objects of the lab, as manifests carry them. */
  get nodeObjects(): KubernetesObject[] {
    return this.lab.nodes.map(nodeObject);
  }

  /** Ends the agents that run, and starts those that are asked for. What the kernel holds is taken over. */
  async run({ settings, nodes, ...options }: StageOptions = {}): Promise<void> {
    await this.stop();
    const { lab } = this;
    const config = settings === undefined ? this.#rig.config : writeConfiguration(lab, settings, 'staged');
    const wanted = nodes ?? lab.nodes.map(({ n }) => n);
    const extraArgs = ['--log-level', 'debug', ...(options.extraArgs ?? [])];
    this.#agents = await Promise.all(wanted.map((n) => this.#rig.startAgent(n, { config, ...options, extraArgs })));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent.stop()));
    this.#agents = [];
  }

  /** Puts the objects in place of those before. Resolves when every agent that runs has them in force. */
  async apply(objects: readonly KubernetesObject[]): Promise<void> {
    const seen = this.#agents.map(({ logs }) => logs.length);
    this.#rig.manifests.write(FILE, [...objects, revisionMarker(++this.#revision)]);
    await Promise.all(this.#agents.map((agent, i) => inForce(agent, seen[i] ?? 0)));
  }

  async destroy(): Promise<void> {
    await this.lab.destroy();
  }
}

/** One write of manifests is one sync: nothing else changes a Service of a stage. */
function inForce(agent: Agent, seen: number): Promise<boolean> {
  const what = `see the agent on ${agent.node.name} put objects in force`;
  const isSync = ({ msg, changed }: Agent['logs'][number]) => msg === 'applied' && Number(changed) > 0;
  return poll(what, () => agent.logs.slice(seen).some(isSync), { timeoutMs: 20_000 });
}

/** A Service that differs each time, so that each write is a change to every agent. */
function revisionMarker(revision: number): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'revision', namespace: 'stage' },
    spec: { clusterIP: '10.96.255.255', ports: [{ port: revision }] },
  };
}
