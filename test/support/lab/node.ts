/** A node of the lab: its own processes, and pods that come and go. */
import { join } from 'node:path';
import { eachFamily, type IpFamily, podAddresses, podNetworks, SUBNET_BITS } from './addressing.ts';
import { destroyCgroup } from './cgroup.ts';
import { addPodLinks, type NodeNetwork, podDevice } from './cni.ts';
import { ipBatch } from './command.ts';
import { Host, type HostInit } from './host.ts';
import { netnsName } from './names.ts';

export interface PodOptions {
  /** In the node's network namespace, with the node's addresses, yet in a cgroup of its own. */
  readonly hostNetwork?: boolean;
}

export class Pod extends Host {
  readonly node: LabNode;
  /** `pod1`: unique on its node. */
  readonly podName: string;
  /** The host's side of its device; undefined with hostNetwork. */
  readonly device: string | undefined;

  constructor(node: LabNode, podName: string, device: string | undefined, init: HostInit) {
    super(init);
    this.node = node;
    this.podName = podName;
    this.device = device;
  }
}

export class LabNode extends Host {
  /** 1 for node1 */
  readonly n: number;
  readonly pods = new Map<string, Pod>();
  /** The subtree for --cgroup-root: the node's processes and those of its pods. */
  readonly cgroupRoot: string;
  /** The directory for --bpf-root, on a bpffs of the lab's own. */
  readonly bpfRoot: string;
  readonly network: NodeNetwork;
  readonly #labId: string;
  #nextHost = 2;

  constructor(
    labId: string,
    network: NodeNetwork,
    directories: { cgroupRoot: string; bpfRoot: string },
    init: HostInit,
  ) {
    super(init);
    this.#labId = labId;
    this.n = network.n;
    this.network = network;
    this.cgroupRoot = directories.cgroupRoot;
    this.bpfRoot = directories.bpfRoot;
  }

  /** Its pod networks with their lengths, as in spec.podCIDRs. */
  get podCidrs(): Record<IpFamily, string> {
    const cidrs = eachFamily(podNetworks(this.n, this.network.families));
    return Object.fromEntries(cidrs.map(([family, network]) => [family, `${network}/${SUBNET_BITS[family]}`])) as never;
  }

  /** @throws Error when there is no such pod. */
  pod(podName: string): Pod {
    const pod = this.pods.get(podName);
    if (pod === undefined)
      throw new Error(`find pod ${podName} on ${this.name}: it has ${[...this.pods.keys()].join(', ') || 'none'}`);
    return pod;
  }

  /** Makes pods: together, since that is much faster than one after another. */
  async addPods(names: readonly string[], { hostNetwork = false }: PodOptions = {}): Promise<Pod[]> {
    const taken = names.find((name) => this.pods.has(name));
    if (taken !== undefined) throw new Error(`add pod ${taken} to ${this.name}: it exists`);
    const pods = names.map((name) => (hostNetwork ? this.#hostPod(name) : this.#newPod(name)));
    for (const pod of pods) this.pods.set(pod.podName, pod);
    const links = pods.flatMap(({ device, netns, addresses }) =>
      device === undefined ? [] : [{ device, netns, addresses }],
    );
    await addPodLinks(this.network, links);
    return pods;
  }

  /** Ends the pod's processes and takes its address away. */
  async removePod(podName: string): Promise<void> {
    const pod = this.pod(podName);
    this.pods.delete(podName);
    await pod.actor.close();
    await destroyCgroup(pod.cgroup);
    if (pod.device === undefined) return;
    await ipBatch(this.netns, [`link del ${pod.device}`]); // at once; with the namespace alone it would go a moment later
    await ipBatch(undefined, [`netns del ${pod.netns}`]);
  }

  #init(podName: string): Pick<HostInit, 'name' | 'cgroup'> {
    return { name: `${this.name}-${podName}`, cgroup: join(this.cgroupRoot, podName) };
  }

  #hostPod(podName: string): Pod {
    return new Pod(this, podName, undefined, { ...this.#init(podName), netns: this.netns, addresses: this.addresses });
  }

  #newPod(podName: string): Pod {
    const host = this.#allocate();
    return new Pod(this, podName, podDevice(this.network.cni, this.n, host), {
      ...this.#init(podName),
      netns: netnsName(this.#labId, `${this.name}-${podName}`),
      addresses: podAddresses(this.n, host, this.network.families),
    });
  }

  /** The next address, as host-local IPAM does: one that was given back is reused late. */
  #allocate(): number {
    const used = new Set([...this.pods.values()].map((pod) => pod.device));
    for (let tries = 0; tries < 253; tries++) {
      const host = this.#nextHost;
      this.#nextHost = host === 254 ? 2 : host + 1;
      if (!used.has(podDevice(this.network.cni, this.n, host))) return host;
    }
    throw new Error(`address a pod of ${this.name}: all 253 addresses are taken`);
  }
}
