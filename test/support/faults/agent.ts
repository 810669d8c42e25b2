/** The parts of an agent that meet the kernel, in this process, with objects by hand: as src/agent.ts puts them together. */

import type { Knobs } from '../../../maps-schema/gen/codecs.ts';
import { netnsCookie } from '../../../src/bpf/netns.ts';
import { pinDirectoryOf } from '../../../src/bpf/paths.ts';
import { runSweep } from '../../../src/bpf/sweep.ts';
import { createCompiler } from '../../../src/compile/compiler.ts';
import { loadSources } from '../../../src/config/sources.ts';
import { readHost } from '../../../src/host/read.ts';
import type { HostState } from '../../../src/host/state.ts';
import { DEFAULT_BUDGETS } from '../../../src/model/budgets.ts';
import type { CompiledService, Problem } from '../../../src/model/compiled.ts';
import { DEFAULT_FORWARDING } from '../../../src/model/forwarding.ts';
import type { EndpointSlice, Service } from '../../../src/model/kubernetes.ts';
import { createDataPath, type DataPath } from '../../../src/reconcile/datapath.ts';
import { knobsOf } from '../../../src/reconcile/knobs.ts';
import { viewNode } from '../../../src/reconcile/node-view.ts';
import { createReconciler, type Reconciler } from '../../../src/reconcile/reconciler.ts';
import { createTables, type Tables } from '../../../src/tables/tables.ts';
import { compareAttachments } from '../../../src/verify/attachments.ts';
import { type Finding, textOf } from '../../../src/verify/difference.ts';
import { compareRows, xdpChoices } from '../../../src/verify/rows.ts';

export interface Place {
  readonly bpfRoot: string;
  readonly cgroupRoot: string;
  readonly objectDirectory: string;
}

export interface Objects {
  readonly services: Map<string, Service>;
  readonly slices: Map<string, EndpointSlice>;
  readonly serviceCidrs: string[];
}

const NODE = 'node1';

export class PartialAgent {
  readonly dataPath: DataPath;
  readonly tables: Tables;
  readonly reconciler: Reconciler;
  /** What is wrong now. */
  readonly problems = new Map<string, readonly Problem[]>();
  readonly #compiler;
  readonly #place: Place;
  readonly #objects: Objects;
  #host: HostState;

  private constructor(place: Place, objects: Objects, dataPath: DataPath, host: HostState) {
    this.#place = place;
    this.#objects = objects;
    this.#host = host;
    this.dataPath = dataPath;
    this.#compiler = newCompiler();
    for (const [key, object] of objects.services) this.#compiler.setService(key, object);
    for (const [key, object] of objects.slices) this.#compiler.setSlice(key, object);
    // A name may be used again at once: what has gone is removed by the next sync.
    this.tables = createTables(dataPath.maps, { graceMs: 0, budgets: DEFAULT_BUDGETS });
    dataPath.tellForwarding(DEFAULT_FORWARDING);
    this.reconciler = createReconciler(
      {
        dataPath,
        tables: this.tables,
        compiler: this.#compiler,
        view: viewOptions(),
        report: { set: (owner, list) => void this.problems.set(owner, list), count: 0, list: () => [], changes: 0 },
        inform: () => {},
      },
      { host, node: undefined, peers: undefined, serviceCidrs: objects.serviceCidrs, socketOptOuts: [] },
    );
  }

  /** @throws what a start throws; nothing is held then */
  static async start(place: Place, objects: Objects): Promise<PartialAgent> {
    const host = await readHost();
    const dataPath = createDataPath({ ...place, log: () => {} });
    try {
      await dataPath.load(knobs(), new AbortController().signal);
      return new PartialAgent(place, objects, dataPath, host);
    } catch (error) {
      dataPath.close();
      throw error;
    }
  }

  set(service: Service | undefined, slices: readonly EndpointSlice[], name: string): void {
    const key = `default/${name}`;
    this.#compiler.setService(key, service);
    put(this.#objects.services, key, service);
    for (const family of ['ipv4', 'ipv6']) {
      const slice = slices.find(({ metadata }) => metadata?.name === `${name}-${family}`);
      this.#compiler.setSlice(`${key}-${family}`, slice);
      put(this.#objects.slices, `${key}-${family}`, slice);
    }
  }

  setCidrs(networks: readonly string[]): void {
    this.#objects.serviceCidrs.splice(0, Infinity, ...networks);
    this.reconciler.setServiceCidrs(networks);
  }

  async readHost(): Promise<void> {
    this.#host = await readHost();
    this.reconciler.setHost(this.#host);
  }

  async sweep(): Promise<void> {
    const [flows, halfOpenFlows] = [this.dataPath.program('sweep_flows'), this.dataPath.program('sweep_half_open')];
    if (flows !== undefined && halfOpenFlows !== undefined)
      await runSweep({ flows, halfOpenFlows }, this.dataPath.maps);
  }

  /** What differs between the kernel and what is wanted: rows of the maps and attachments. */
  differences(): string[] {
    const compiler = newCompiler();
    for (const [key, object] of this.#objects.services) compiler.setService(key, object);
    for (const [key, object] of this.#objects.slices) compiler.setSlice(key, object);
    const view = viewNode(this.#host, undefined, undefined, this.#objects.serviceCidrs, viewOptions());
    compiler.setContext(view.context);
    const services: readonly CompiledService[] = compiler.take().changed;
    const { maps } = this.dataPath;
    const xdpChoice = xdpChoices(maps);
    const common = { node: NODE, view, detached: false, xdpChoice };
    const rows = compareRows({
      ...common,
      maps,
      services,
      optOuts: [],
      budgets: DEFAULT_BUDGETS,
      forwarding: DEFAULT_FORWARDING,
    });
    const { cgroupRoot, bpfRoot } = this.#place;
    const attached = compareAttachments({ ...common, pinDirectory: pinDirectoryOf(bpfRoot), cgroupRoot });
    return [...rows.findings, ...attached.findings].map((finding: Finding) => textOf(finding).replaceAll('\n', ' | '));
  }

  close(): void {
    this.dataPath.close();
  }
}

function put<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

function newCompiler() {
  return createCompiler({
    nodeName: NODE,
    detectLocal: { IPv4: false, IPv6: false },
    routerIpMode: configuration.routerIpMode,
    families: ['IPv4', 'IPv6'],
  });
}

const { configuration } = loadSources({ kubeProxyFlags: {}, strictConfig: false });

function viewOptions() {
  return { nodeName: NODE, configuration, podDevices: 'veth*', forwarding: DEFAULT_FORWARDING, xdp: 'off' as const };
}

function knobs(): Knobs {
  return knobsOf({
    configuration,
    socketLbPods: true,
    socketOptOuts: false,
    bindProtection: true,
    meshPorts: [],
    netnsCookie: netnsCookie(),
    jiffiesPerSecond: 250,
    haveSetRetval: true,
    detectLocal: { IPv4: false, IPv6: false },
    xdpMtu: 0,
    respectNetfilter: false,
    forwarding: DEFAULT_FORWARDING,
    ownAddresses: {},
    selectSeed: 7,
  });
}
