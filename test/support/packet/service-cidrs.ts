/** ServiceCIDRs, as the agent makes them known to the programs. */
import { encode } from '../../../maps-schema/codec.ts';
import { CONTROL_SERVICE_CIDRS4, CONTROL_SERVICE_CIDRS6, cidrKey, mark } from '../../../maps-schema/gen/codecs.ts';
import type { PacketRig } from './rig.ts';

export const BOTH_FAMILIES = CONTROL_SERVICE_CIDRS4 | CONTROL_SERVICE_CIDRS6;

const NETWORKS = [
  { address: '10.96.0.0', prefixlen: 96 + 16 },
  { address: 'fd00:10:96::', prefixlen: 112 },
] as const;

/** Offset of control.flags. */
const CONTROL_FLAGS = 6;

/** 10.96.0.0/16 and fd00:10:96::/112. @param flags the families in which packets are compared with them */
export function knowServiceCidrs({ maps }: PacketRig, flags: number = BOTH_FAMILIES): void {
  for (const key of NETWORKS) maps.serviceCidrs.update(encode(cidrKey, key), encode(mark, { flags: 0 }));
  maps.control.view.writeUInt16LE(flags, CONTROL_FLAGS);
}
