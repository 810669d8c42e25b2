/** A lab with a control plane: API server, the lab's controllers, workloads from manifests, an agent a node. */
import type { EndpointSlice, KubernetesObject, Service } from '../../../src/model/kubernetes.ts';
import type { Agent, AgentOptions } from './agent.ts';
import { type LabApi, startLabApi } from './api.ts';
import { ServiceController } from './controller.ts';
import { createLab, type Lab, type LabOptions } from './lab.ts';
import { nodeObject } from './nodes.ts';
import { Pods, type RunningPod } from './pods.ts';
import type { SelectingService } from './slices.ts';
import { isWorkload, readWorkload, type Workload } from './workload.ts';
import { dnsZone } from './zone.ts';

export class Cluster {
  readonly lab: Lab;
  readonly api: LabApi;
  readonly pods: Pods;
  readonly #controller: ServiceController;
  readonly #workloads = new Map<string, Workload>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  /** Use startCluster. */
  constructor(lab: Lab, api: LabApi) {
    this.lab = lab;
    this.api = api;
    this.pods = new Pods(lab, () => this.#controller.poke());
    this.#controller = new ServiceController(api.client, () => this.pods.all);
    this.#running = this.#controller.run(this.#stop.signal);
    this.#running.catch(() => {}); // reported by settled() and destroy()
  }

  /** Applies objects; workloads become pods. Resolves when Services, pods and slices are all written. */
  async apply(objects: readonly KubernetesObject[]): Promise<void> {
    const workloads = objects.filter(isWorkload).map(readWorkload);
    const others = objects.filter((object) => !isWorkload(object));
    for (const object of others) {
      const written = await this.api.client.apply(object); // in order: a namespace before what is in it
      if (written.kind === 'Service') this.#controller.observe(written);
    }
    for (const workload of workloads) this.#workloads.set(workload.name, workload);
    await Promise.all(workloads.map((workload) => this.pods.start(workload)));
    await this.settled();
  }

  /** Starts or ends pods of a workload. Resolves when the last one has gone. */
  async scale(name: string, replicas: number): Promise<void> {
    const workload = this.#workloads.get(name);
    if (workload === undefined) throw new Error(`scale ${name}: there is no such workload`);
    await this.pods.scale(workload, replicas);
    await this.settled();
  }

  /** The oldest pod of a workload. */
  podOf(workload: string): RunningPod {
    const [pod] = this.pods.of(workload);
    if (pod === undefined) throw new Error(`find a pod of ${workload}: none runs`);
    return pod;
  }

  /** As the API server has it now. */
  service(namespace: string, name: string): Promise<SelectingService> {
    return this.api.client.get<Service>({ kind: 'Service', metadata: { namespace, name } });
  }

  /** Every Service, as the API server has it now. */
  async services(): Promise<SelectingService[]> {
    return (await this.api.client.list<SelectingService>('Service')).items;
  }

  /** Every EndpointSlice, as the API server has it now. */
  async slices(): Promise<EndpointSlice[]> {
    return (await this.api.client.list<EndpointSlice>('EndpointSlice')).items;
  }

  /** Tells the pods that serve DNS what the Services are called. */
  async publishNames(dnsWorkload: string): Promise<void> {
    const zone = dnsZone(await this.services(), this.pods.all);
    await Promise.all(this.pods.of(dnsWorkload).map(({ pod }) => pod.actor.setZone(zone)));
  }

  /** Resolves when slices and statuses of all that was known at the call are written. */
  async settled(): Promise<void> {
    await this.#controller.settled();
  }

  /** Starts an agent on every node; resolves when each has its first sync in force. */
  startAgents(options: AgentOptions = {}): Promise<Agent[]> {
    const { kubeconfig } = this.api;
    return Promise.all(this.lab.nodes.map((node) => this.lab.startAgent(node.name, { kubeconfig, ...options })));
  }

  /** Ends everything and removes it. */
  async destroy(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.lab.destroy();
    await this.api.close();
  }
}

/** Lays out a lab with an API server that knows its nodes. Agents are not started. */
export async function startCluster(options: LabOptions = {}): Promise<Cluster> {
  const lab = await createLab(options);
  try {
    const api = await startLabApi(lab);
    for (const node of lab.nodes) await api.client.apply(nodeObject(node));
    return new Cluster(lab, api);
  } catch (error) {
    await lab.destroy();
    throw error;
  }
}
