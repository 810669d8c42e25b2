/** Compiled Services for the tests, and the maps read back as text without ids and extents. */
import {
  affinityMemberKey,
  BACKEND_LOCAL,
  BACKEND_STATE_SERVING,
  BACKEND_TERMINATING,
  backendSlot,
  backendState,
  FRONTEND_CLUSTER_IP,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_SOURCE_RANGES,
  frontend,
  frontendKey,
  SERVICE_ADDRESS_CLUSTER_IP,
  SERVICE_ADDRESS_PING,
  serviceAddressKey,
  servicePort,
  sourceRangeKey,
} from '../../../maps-schema/gen/codecs.ts';
import {
  type Backend,
  type CompiledFrontend,
  type CompiledService,
  type CompiledServicePort,
  PROTOCOL_NUMBERS,
} from '../../../src/model/compiled.ts';
import type { Tables } from '../../../src/tables/tables.ts';
import type { MemoryMaps } from '../../support/memory-map.ts';

export function backend(address: string, port = 8080, more: Partial<Backend> = {}): Backend {
  return { address, port, local: false, terminating: false, ...more };
}

export function frontendOf(address: string, port = 80, more: Partial<CompiledFrontend> = {}): CompiledFrontend {
  return { address, port, flags: FRONTEND_CLUSTER_IP, internal: 'cluster', external: 'cluster', ...more };
}

export interface PortSpec extends Partial<Omit<CompiledServicePort, 'lists'>> {
  readonly cluster?: readonly Backend[];
  readonly local?: readonly Backend[];
}

export function service(name: string, specs: readonly PortSpec[], created = 0): CompiledService {
  return {
    namespace: 'default',
    name,
    created,
    ports: specs.map(({ cluster = [], local = [], ...spec }) => ({
      namespace: 'default',
      service: name,
      portName: '',
      protocol: 'TCP',
      family: 'IPv4',
      frontends: [],
      lists: { cluster, local },
      serving: [...new Map([...cluster, ...local].map((b) => [`${b.address} ${b.port}`, b])).values()],
      affinitySeconds: 0,
      sourceRanges: [],
      ...spec,
    })),
    problems: [],
    health: undefined,
    noLocalEndpoints: { IPv4: { internal: 0, external: 0 }, IPv6: { internal: 0, external: 0 } },
    lastChangeTrigger: undefined,
  };
}

/** Address, port and flags of a backend. */
export function backendText({ address, port, local, terminating }: Backend): string {
  return `${address}:${port}/${(local ? BACKEND_LOCAL : 0) | (terminating ? BACKEND_TERMINATING : 0)}`;
}

/** What a frontend leads to. */
export interface FrontendText {
  readonly port: string;
  readonly flags: number;
  readonly affinitySeconds: number;
  readonly internal: readonly string[];
  readonly external: readonly string[];
}

export function keyText(address: string, port: number, proto: number): string {
  return `${address} ${port}/${proto}`;
}

/** What the frontends of these Services must lead to, each Service alone on its addresses. */
export function wanted(services: Iterable<CompiledService>): Map<string, FrontendText> {
  const rows = new Map<string, FrontendText>();
  for (const { ports } of services) {
    for (const port of ports) {
      for (const { address, port: number, flags, internal, external } of port.frontends) {
        rows.set(keyText(address, number, PROTOCOL_NUMBERS[port.protocol]), {
          port: `${port.namespace}/${port.service}:${port.portName}/${PROTOCOL_NUMBERS[port.protocol]}/${port.family === 'IPv4' ? 4 : 6}`,
          flags,
          affinitySeconds: port.affinitySeconds,
          internal: port.lists[internal].map(backendText),
          external: port.lists[external].map(backendText),
        });
      }
    }
  }
  return rows;
}

/** What service_addresses must say when these Services are all there are; contested frontends are the last one's. */
export function wantedAddresses(services: Iterable<CompiledService>): Map<string, number> {
  const byFrontend = new Map<string, { address: string; flags: number }>();
  for (const { ports } of services) {
    for (const { frontends, lists, protocol } of ports) {
      const backed = lists.cluster.length + lists.local.length > 0;
      for (const { address, port, flags } of frontends) {
        const clusterIp = flags & FRONTEND_CLUSTER_IP ? SERVICE_ADDRESS_CLUSTER_IP : 0;
        const ping = backed && flags & (FRONTEND_CLUSTER_IP | FRONTEND_LOAD_BALANCER) ? SERVICE_ADDRESS_PING : 0;
        byFrontend.set(keyText(address, port, PROTOCOL_NUMBERS[protocol]), { address, flags: clusterIp | ping });
      }
    }
  }
  const rows = new Map<string, number>();
  for (const { address, flags } of byFrontend.values()) {
    if (address !== '0.0.0.0' && address !== '::') rows.set(address, (rows.get(address) ?? 0) | flags);
  }
  return rows;
}

/** Reads service_addresses back: flags by address. */
export function readAddresses(maps: MemoryMaps): Map<string, number> {
  return new Map(
    [...maps.serviceAddresses.entries()].map(({ key, value }) => [
      serviceAddressKey.read(key, 0).address,
      value.readUInt32LE(0),
    ]),
  );
}

/** Reads frontends back. @throws when one names what is not there: a dead backend, a missing member, no range. */
export function readFrontends(maps: MemoryMaps): Map<string, FrontendText> {
  const rows = new Map<string, FrontendText>();
  for (const { key, value } of maps.frontends.entries()) {
    const { address, port, proto } = frontendKey.read(key, 0);
    const row = frontend.read(value, 0);
    const id = Buffer.alloc(4);
    id.writeUInt32LE(row.servicePortId);
    const name = maps.servicePorts.lookup(id);
    if (name === undefined)
      throw new Error(`${address}:${port} names service_port ${row.servicePortId}, which is missing`);
    const { namespace, service: owner, portName, proto: ownerProto, family } = servicePort.read(name, 0);
    if ((row.flags & FRONTEND_SOURCE_RANGES) !== 0 && rangesOf(maps, row.servicePortId) === 0) {
      throw new Error(`${address}:${port} asks for source ranges, and there are none`);
    }
    rows.set(keyText(address, port, proto), {
      port: `${namespace}/${owner}:${portName}/${ownerProto}/${family}`,
      flags: row.flags,
      affinitySeconds: row.affinitySeconds,
      internal: readExtent(maps, row.internalBase, row.internalCount, row.affinitySeconds > 0),
      external: readExtent(maps, row.externalBase, row.externalCount, row.affinitySeconds > 0),
    });
  }
  return rows;
}

function readExtent(maps: MemoryMaps, base: number, count: number, affinity: boolean): string[] {
  return Array.from({ length: count }, (_, offset) => {
    const slot = backendSlot.read(maps.backendSlots.view, (base + offset) * backendSlot.size);
    const state = backendState.read(maps.backendStates.view, slot.backendId * backendState.size);
    if (slot.backendId === 0 || (state.flags & BACKEND_STATE_SERVING) === 0) {
      throw new Error(`slot ${base + offset} names backend ${slot.backendId}, which does not serve`);
    }
    if (affinity) {
      const key = Buffer.alloc(affinityMemberKey.size);
      affinityMemberKey.write(key, 0, { base, backendId: slot.backendId });
      if (maps.affinityMembers.lookup(key)?.readUInt32LE(0) !== offset)
        throw new Error(`slot ${base + offset} is no member`);
    }
    return `${slot.address}:${slot.port}/${slot.flags}`;
  });
}

function rangesOf(maps: MemoryMaps, id: number): number {
  let count = 0;
  for (const { key } of maps.sourceRanges.entries()) if (sourceRangeKey.read(key, 0).servicePortId === id) count++;
  return count;
}

/** Rows of every map that a Service leaves something in. */
export function counts(maps: MemoryMaps): Record<string, number> {
  const { frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts } = maps;
  return {
    frontends: frontends.rows.size,
    serviceAddresses: serviceAddresses.rows.size,
    affinityMembers: affinityMembers.rows.size,
    sourceRanges: sourceRanges.rows.size,
    servicePorts: servicePorts.rows.size,
    serving: servingIds(maps).length,
  };
}

/** Ids whose SERVING flag is set. */
export function servingIds(maps: MemoryMaps): number[] {
  const { view } = maps.backendStates;
  const ids: number[] = [];
  for (let id = 0; id * backendState.size < view.length; id++) {
    if ((backendState.read(view, id * backendState.size).flags & BACKEND_STATE_SERVING) !== 0) ids.push(id);
  }
  return ids;
}

/** Id and state of the backend at an address and port among the slots that frontends name. */
export function stateOf(
  maps: MemoryMaps,
  address: string,
): { id: number; generation: number; serving: boolean } | undefined {
  for (const { value } of maps.frontends.entries()) {
    const { internalBase, internalCount } = frontend.read(value, 0);
    for (let slot = internalBase; slot < internalBase + internalCount; slot++) {
      const { address: found, backendId } = backendSlot.read(maps.backendSlots.view, slot * backendSlot.size);
      if (found === address) return stateById(maps, backendId);
    }
  }
  return undefined;
}

export function stateById(maps: MemoryMaps, id: number): { id: number; generation: number; serving: boolean } {
  const { generation, flags } = backendState.read(maps.backendStates.view, id * backendState.size);
  return { id, generation, serving: (flags & BACKEND_STATE_SERVING) !== 0 };
}

/** Everything in the maps, to see whether a byte has changed. */
export function snapshot(maps: MemoryMaps): string {
  const { frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts, nodeAddresses } = maps;
  const hashes = [frontends, serviceAddresses, affinityMembers, sourceRanges, servicePorts, nodeAddresses];
  const rows = hashes.map(({ rows: r }) =>
    [...r].map(([k, v]) => `${Buffer.from(k, 'latin1').toString('hex')}=${v.toString('hex')}`).sort(),
  );
  return JSON.stringify([rows, maps.backendSlots.view.toString('base64'), maps.backendStates.view.toString('base64')]);
}

/** A repair from its first step to its last. @returns how many rows it put right */
export function repairAll(tables: Tables): number {
  return [...tables.repair()].reduce((sum, rows) => sum + rows, 0);
}
