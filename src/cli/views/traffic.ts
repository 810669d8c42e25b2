/** What flows carry, by ServicePort: one walk over the tables, and the difference between two. */
import {
  FLOW_CLOSING_NO,
  FLOW_FOREIGN,
  FLOW_OUTPUT,
  FLOW_REPLY,
  HOOK_INGRESS,
} from '../../../maps-schema/gen/codecs.ts';
import type { KernelFlowTable, KernelHash } from '../../bpf/kernel-map.ts';

export interface TrafficMaps {
  readonly flows: Pick<KernelFlowTable, 'entries'>;
  readonly halfOpenFlows: Pick<KernelFlowTable, 'entries'>;
  readonly sockPeers: Pick<KernelHash, 'entries'>;
}

/** Of one ServicePort. Bytes and packets are those since the walk before; of the first walk, since the flows began. */
export interface ServiceTraffic {
  /** Flows both of whose sides have spoken, and that are not closing. */
  open: number;
  halfOpen: number;
  /** Sockets that the socket hook pointed at a backend: their packets are not seen. */
  sockets: number;
  packetsIn: number;
  bytesIn: number;
  packetsOut: number;
  bytesOut: number;
}

/** Offsets in struct flow_key, struct flow and struct sock_flow: half a million rows are read. */
const KEY = { saddr: 0, hook: 37 } as const;
const FLOW = { saddr: 0, flags: 36, closing: 39, packets: 48, bytes: 56, created: 68, servicePortId: 72 } as const;
const SOCK_FLOW = { servicePortId: 20 } as const;
const ADDRESS = 16;

const none = (): ServiceTraffic => ({
  open: 0,
  halfOpen: 0,
  sockets: 0,
  packetsIn: 0,
  bytesIn: 0,
  packetsOut: 0,
  bytesOut: 0,
});

/** @returns a function that walks once, and says by service_port_id what there is and what came since it was called last. */
export function createTrafficReader(maps: TrafficMaps): () => Map<number, ServiceTraffic> {
  /** Packets and bytes by flow and the moment it began. */
  let before = new Map<string, readonly [packets: number, bytes: number]>();
  return () => {
    const traffic = new Map<number, ServiceTraffic>();
    const now = new Map<string, readonly [packets: number, bytes: number]>();
    const of = (id: number) => {
      const known = traffic.get(id) ?? none();
      traffic.set(id, known);
      return known;
    };
    for (const table of ['flows', 'halfOpenFlows'] as const) {
      for (const { key, value } of maps[table].entries()) {
        const flags = value.readUInt16LE(FLOW.flags);
        if ((flags & FLOW_FOREIGN) !== 0) continue;
        const answers = (flags & FLOW_REPLY) !== 0;
        const first = !answers && (key[KEY.hook] === HOOK_INGRESS || (flags & FLOW_OUTPUT) !== 0);
        // Through the stack with source NAT, both ways go by a second entry: its packets were counted by the first.
        if (!first && !(answers && !sameSource(key, value))) continue;
        const service = of(value.readUInt32LE(FLOW.servicePortId));
        const packets = Number(value.readBigUInt64LE(FLOW.packets));
        const bytes = Number(value.readBigUInt64LE(FLOW.bytes));
        const name = key.toString('latin1') + value.toString('latin1', FLOW.created, FLOW.created + 4);
        now.set(name, [packets, bytes]);
        const [packetsBefore, bytesBefore] = before.get(name) ?? [0, 0];
        if (first) {
          if (table === 'halfOpenFlows') service.halfOpen++;
          else if (value[FLOW.closing] === FLOW_CLOSING_NO) service.open++;
          service.packetsIn += Math.max(0, packets - packetsBefore);
          service.bytesIn += Math.max(0, bytes - bytesBefore);
        } else {
          service.packetsOut += Math.max(0, packets - packetsBefore);
          service.bytesOut += Math.max(0, bytes - bytesBefore);
        }
      }
    }
    for (const { value } of maps.sockPeers.entries()) of(value.readUInt32LE(SOCK_FLOW.servicePortId)).sockets++;
    before = now;
    return traffic;
  };
}

/** The source as it came is the source as it leaves: the entry translates the destination of an answer. */
function sameSource(key: Buffer, value: Buffer): boolean {
  return key.compare(value, FLOW.saddr, FLOW.saddr + ADDRESS, KEY.saddr, KEY.saddr + ADDRESS) === 0;
}
