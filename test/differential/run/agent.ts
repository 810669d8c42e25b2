/** The agent's own parts, from objects and a configuration to rows in the kernel's maps. */
import { createCompiler } from '../../../src/compile/compiler.ts';
import { parseConfiguration } from '../../../src/config/load.ts';
import { detectLocalImplemented } from '../../../src/host/node.ts';
import { NO_PEERS } from '../../../src/host/peers.ts';
import type { HostAddress, HostState } from '../../../src/host/state.ts';
import type { ServiceHealth } from '../../../src/model/compiled.ts';
import { DEFAULT_FORWARDING } from '../../../src/model/forwarding.ts';
import type { EndpointSlice, Node, Service } from '../../../src/model/kubernetes.ts';
import type { DataPath } from '../../../src/reconcile/datapath.ts';
import { knobsOf } from '../../../src/reconcile/knobs.ts';
import { createReconciler, type Reconciler } from '../../../src/reconcile/reconciler.ts';
import { createReporter } from '../../../src/reconcile/report.ts';
import { createTables, type Tables } from '../../../src/tables/tables.ts';
import type { Case } from '../case.ts';
import { THIS_NODE } from '../world.ts';
import type { Kernel } from './kernel.ts';

export interface Agent {
  setService(key: string, service: Service | undefined): void;
  setSlice(key: string, slice: EndpointSlice | undefined): void;
  setNode(node: Node): void;
  /** Addresses of the node's device besides its own. */
  bind(addresses: readonly string[]): void;
  /** Has the kernel hold what the objects say. @throws when a row could not be written or a row is not what it should be. */
  sync(): Promise<void>;
  /** Forgets everything but the objects, as a new process would, and takes the maps over. */
  restart(): void;
  /** What the health check server of a Service would answer. */
  health(key: string): ServiceHealth | undefined;
  /** Rows of each map that the agent writes for Services. */
  rows(): Readonly<Record<string, number>>;
}

function hostWith(host: HostState, bound: readonly string[]): HostState {
  const more = bound.map(
    (address): HostAddress => ({
      address,
      prefix: address.includes(':') ? 128 : 32,
      scope: 'global',
      secondary: true,
      deprecated: true,
      unusable: false,
      temporary: false,
    }),
  );
  const devices = host.devices.map((device) =>
    device.name === 'node0' ? { ...device, addresses: [...device.addresses, ...more] } : device,
  );
  return { ...host, devices };
}

/** The agent's data path, with nothing to attach to: what is not here does nothing. */
function unattached(kernel: Kernel): DataPath {
  const { view } = kernel.maps.control;
  const parts: Partial<DataPath> = {
    maps: kernel.maps,
    attach: () => [],
    attachXdp: () => [],
    raiseNexthopGeneration: () => view.writeUInt32LE((view.readUInt32LE(0) + 1) >>> 0, 0),
  };
  const nothing = () => undefined;
  return new Proxy(parts, { get: (target, name) => Reflect.get(target, name) ?? nothing }) as DataPath;
}

export function createAgent(kernel: Kernel, { configuration: file, socketLb }: Case): Agent {
  const document = { apiVersion: 'kubeproxy.config.k8s.io/v1alpha1', kind: 'KubeProxyConfiguration', ...file };
  const { configuration } = parseConfiguration(JSON.stringify(document), 'case');
  const services = new Map<string, Service>();
  const slices = new Map<string, EndpointSlice>();
  const health = new Map<string, ServiceHealth>();
  let node: Node | undefined;
  let host = kernel.host;
  let compiler = newCompiler();
  let tables: Tables | undefined;
  let reconciler: Reconciler | undefined;
  const told: string[] = [];

  function newCompiler() {
    return createCompiler({
      nodeName: THIS_NODE,
      detectLocal: { IPv4: false, IPv6: false },
      families: ['IPv4', 'IPv6'],
    });
  }

  function start(): Reconciler {
    tables = createTables(kernel.maps, { graceMs: 0 });
    return createReconciler(
      {
        dataPath: unattached(kernel),
        tables,
        compiler,
        report: createReporter({ tell: () => {}, quiet: () => {} }),
        view: {
          nodeName: THIS_NODE,
          configuration,
          devices: ['node0'],
          podDevices: 'pod0',
          forwarding: DEFAULT_FORWARDING,
          xdp: 'off',
        },
        inform: () => {},
      },
      { host, node, peers: NO_PEERS, serviceCidrs: [], socketOptOuts: [] },
    );
  }

  return {
    setService(key, service) {
      if (service === undefined) services.delete(key);
      else services.set(key, service);
      compiler.setService(key, service);
    },
    setSlice(key, slice) {
      if (slice === undefined) slices.delete(key);
      else slices.set(key, slice);
      compiler.setSlice(key, slice);
    },
    setNode(next) {
      node = next;
      reconciler?.setNode(next);
    },
    bind(addresses) {
      host = hostWith(kernel.host, addresses);
      reconciler?.setHost(host);
    },
    async sync() {
      await kernel.use(
        knobsOf({
          configuration,
          socketLbPods: socketLb === 'all',
          socketOptOuts: false,
          bindProtection: false,
          meshPorts: [],
          netnsCookie: kernel.machine.hostNetnsCookie,
          jiffiesPerSecond: kernel.machine.jiffiesPerSecond,
          haveSetRetval: kernel.machine.haveSetRetval === 1,
          detectLocal: detectLocalImplemented(configuration, node),
          xdpMtu: 0,
          respectNetfilter: false,
          selectSeed: 1,
          forwarding: DEFAULT_FORWARDING,
          ownAddresses: {},
        }),
      );
      reconciler ??= start();
      const result = await reconciler.sync(false);
      for (const key of result.removed) health.delete(key);
      for (const { namespace, name, health: now } of result.changed) {
        if (now === undefined) health.delete(`${namespace}/${name}`);
        else health.set(`${namespace}/${name}`, now);
      }
      if (!result.ok) throw new Error(`the sync failed: ${JSON.stringify(result.applied.failed)} ${told.join('; ')}`);
      const drift = tables?.compare() ?? [];
      if (drift.length > 0) throw new Error(`rows differ from what was written: ${JSON.stringify(drift)}`);
    },
    restart() {
      compiler = newCompiler();
      health.clear();
      for (const [key, service] of services) compiler.setService(key, service);
      for (const [key, slice] of slices) compiler.setSlice(key, slice);
      reconciler = undefined;
    },
    health: (key) => health.get(key),
    rows() {
      const { frontends, serviceAddresses, affinityMembers, sourceRanges } = kernel.maps;
      const count = (map: { entries(): Iterable<unknown> }) => [...map.entries()].length;
      return {
        frontends: count(frontends),
        serviceAddresses: count(serviceAddresses),
        affinityMembers: count(affinityMembers),
        sourceRanges: count(sourceRanges),
        backendStates: tables?.occupancy().backendStates ?? 0,
        backendSlots: tables?.occupancy().backendSlots ?? 0,
      };
    },
  };
}
