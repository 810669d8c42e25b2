/** Workloads brought to life: pods of the lab with an actor that serves the container's ports. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Addresses } from './addressing.ts';
import type { Lab } from './lab.ts';
import type { LabNode, Pod } from './node.ts';
import { poll } from './poll.ts';
import type { PodPhase, PodView } from './slices.ts';
import { placePod, servedPorts, type Workload } from './workload.ts';

/** Milliseconds that a pod's network outlives its endpoints. */
const TEARDOWN_MS = 1000;

export interface RunningPod extends PodView {
  readonly workload: Workload;
  readonly pod: Pod;
  phase: PodPhase;
}

export class Pods {
  readonly #lab: Lab;
  readonly #pods = new Set<RunningPod>();
  /** Where each pod is, from before it runs. */
  readonly #placed: { readonly nodeName: string; readonly workload: string }[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #onChange: () => void;

  /** @param onChange called after a pod has come, gone or changed its phase */
  constructor(lab: Lab, onChange: () => void) {
    this.#lab = lab;
    this.#onChange = onChange;
  }

  get all(): readonly RunningPod[] {
    return [...this.#pods];
  }

  /** The pods of a workload that are not terminating, the oldest first. */
  of(workload: string): RunningPod[] {
    return this.all.filter((pod) => pod.workload.name === workload && pod.phase !== 'terminating');
  }

  /** Starts pods until there are so many, or ends the youngest. @see stop for how a pod ends */
  async scale(workload: Workload, replicas: number): Promise<void> {
    const running = this.of(workload.name);
    const missing = Array.from({ length: replicas - running.length }, () => this.#place(workload));
    const byNode = groupByNode(missing);
    await Promise.all(
      [...byNode].map(([node, pods]) =>
        this.#start(
          workload,
          node,
          pods.map((pod) => pod.name),
        ),
      ),
    );
    await Promise.all(running.slice(replicas).map((pod) => this.stop(pod)));
  }

  /** One pod on each node, or the manifest's number of replicas. */
  start(workload: Workload): Promise<void> {
    return this.scale(workload, workload.replicas ?? this.#lab.nodes.length);
  }

  /**
   * As kubelet ends a pod: it is terminating, goes on serving for a while and until its connections
   * are over, and is gone then.
   * @param quietMs how long it serves at the least, for proxies to hear of it, as a preStop hook does; default 3,000
   */
  async stop(pod: RunningPod, { quietMs = 3000, drainMs = 10_000 } = {}): Promise<void> {
    pod.phase = 'terminating';
    this.#onChange();
    await pod.pod.actor.drain();
    const since = performance.now();
    const drained = async () => performance.now() - since > quietMs && (await pod.pod.actor.openConnections()) === 0;
    await poll(`drain ${pod.name}`, drained, { timeoutMs: drainMs, everyMs: 50 }).catch(() => {}); // its grace period is over
    this.#leave(pod);
    this.#onChange();
    // A UDP flow stays with a backend while slices say that it serves: proxies hear first, then it is gone.
    await delay(TEARDOWN_MS);
    await pod.pod.node.removePod(pod.name);
  }

  #place(workload: Workload): { node: LabNode; name: string } {
    const load = this.#lab.nodes.map(({ name }): [string, { own: number; all: number }] => {
      const here = this.#placed.filter((place) => place.nodeName === name);
      return [name, { own: here.filter((place) => place.workload === workload.name).length, all: here.length }];
    });
    const nodeName = placePod(workload, new Map(load));
    this.#placed.push({ nodeName, workload: workload.name });
    const number = (this.#numbers.get(workload.name) ?? 0) + 1;
    this.#numbers.set(workload.name, number);
    return { node: this.#lab.node(nodeName), name: `${workload.name}-${number}` };
  }

  #leave(pod: RunningPod): void {
    this.#pods.delete(pod);
    const place = this.#placed.findIndex(
      ({ nodeName, workload }) => nodeName === pod.nodeName && workload === pod.workload.name,
    );
    this.#placed.splice(place, 1);
  }

  async #start(workload: Workload, node: LabNode, names: readonly string[]): Promise<void> {
    const made = await node.addPods(names, { hostNetwork: workload.hostNetwork });
    const pods = made.map((pod) => view(workload, node, pod));
    for (const pod of pods) this.#pods.add(pod);
    await Promise.all(
      pods.map(async (pod) => {
        await pod.pod.actor.serve({ ...servedPorts(workload.ports), who: pod.name });
        pod.phase = 'running';
      }),
    );
    this.#onChange();
  }
}

function groupByNode<T extends { node: LabNode }>(pods: readonly T[]): Map<LabNode, T[]> {
  const groups = new Map<LabNode, T[]>();
  for (const pod of pods) groups.set(pod.node, [...(groups.get(pod.node) ?? []), pod]);
  return groups;
}

function view(workload: Workload, node: LabNode, pod: Pod): RunningPod {
  const { namespace, labels, ports } = workload;
  const addresses: Addresses = pod.addresses;
  return {
    workload,
    pod,
    namespace,
    name: pod.podName,
    labels,
    nodeName: node.name,
    addresses,
    ports,
    phase: 'starting',
  };
}
