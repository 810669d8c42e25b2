/** Ports that source NAT leaves alone: those that the host reserves, and NodePorts outside the default range. */
import type { KernelArray } from '../../bpf/kernel-map.ts';
import { formatPortRanges, type PortRange, rangesOfBits } from '../../model/ports.ts';

export interface ReservedPortMaps {
  readonly reservedPorts: Pick<KernelArray, 'view'>;
}

/** Ranges that a line shows. */
const SHOWN = 8;

export function readReservedPorts({ reservedPorts: { view } }: ReservedPortMaps): PortRange[] {
  return rangesOfBits(new Uint32Array(view.buffer, view.byteOffset, view.byteLength / 4));
}

export function reservedPortsText(ranges: readonly PortRange[]): string {
  const more = ranges.length - SHOWN;
  return `spares ${formatPortRanges(ranges.slice(0, SHOWN))}${more > 0 ? ` and ${more} more` : ''}`;
}
