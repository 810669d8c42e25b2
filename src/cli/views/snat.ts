/** Backends towards which source ports run short, worst first. */
import {
  FLOW_REPLY,
  FLOW_SNAT,
  flow as flowCodec,
  flowKey,
  HOOK_INGRESS,
  snatBackend,
  snatBackendKey,
} from '../../../maps-schema/gen/codecs.ts';
import type { KernelFlowTable, KernelHash } from '../../bpf/kernel-map.ts';
import { type PortRange, sourceNatPorts } from '../../model/ports.ts';
import { endpoint, protocolName } from '../format.ts';
import { decodeRows } from './rows.ts';

export interface SnatMaps {
  readonly snatBackends: Pick<KernelHash, 'entries'>;
  readonly flows: Pick<KernelFlowTable, 'entries'>;
  readonly halfOpenFlows: Pick<KernelFlowTable, 'entries'>;
}

export interface SnatRow {
  /** address:port */
  readonly backend: string;
  readonly protocol: string;
  /** Source ports in use towards it, over all source addresses of this node. */
  readonly ports: number;
  /** Ports that were tried and taken, since the map was made. */
  readonly collisions: number;
  /** Connections that found no port, and were dropped. */
  readonly exhausted: number;
  /** So many ports are in use that new connections will soon find none. */
  readonly nearlyExhausted: boolean;
}

/** The part of its ports from which on one connection in some hundreds finds no free one in the tries that it has. */
const NEARLY_EXHAUSTED = 0.7;

/**
 * Empty, without a look at the flows, as long as no port was ever taken.
 * @param reserved ports that source NAT leaves alone, beside the NodePort range
 */
export function readSnat(maps: SnatMaps, reserved: readonly PortRange[] = []): SnatRow[] {
  const rows = [...decodeRows(maps.snatBackends.entries(), snatBackendKey, snatBackend)];
  if (rows.length === 0) return [];
  const used = countPorts(maps);
  const many = NEARLY_EXHAUSTED * sourceNatPorts(reserved);
  return rows
    .map(([{ address, port, proto }, { collisions, exhausted }]) => {
      const backend = endpoint(address, port);
      const protocol = protocolName(proto);
      const ports = used.get(`${protocol} ${backend}`) ?? 0;
      return {
        backend,
        protocol,
        ports,
        collisions: Number(collisions),
        exhausted: Number(exhausted),
        nearlyExhausted: ports >= many,
      };
    })
    .sort((a, b) => b.ports - a.ports || b.exhausted - a.exhausted || b.collisions - a.collisions);
}

/** Entries that hold a port of ours: those that answers of a backend meet first. */
function countPorts(maps: SnatMaps): Map<string, number> {
  const used = new Map<string, number>();
  for (const table of [maps.flows, maps.halfOpenFlows]) {
    for (const row of table.entries()) {
      const key = flowKey.read(row.key, 0);
      const wanted = FLOW_REPLY | FLOW_SNAT;
      if (key.hook !== HOOK_INGRESS || (flowCodec.read(row.value, 0).flags & wanted) !== wanted) continue;
      const backend = `${protocolName(key.proto)} ${endpoint(key.saddr, key.sport)}`;
      used.set(backend, (used.get(backend) ?? 0) + 1);
    }
  }
  return used;
}
