/** Ports that the administrator keeps from being chosen: source NAT spares them as the kernel's own choice does. */
import { closeSync, openSync, readSync } from 'node:fs';
import { type PortRange, parsePortRanges } from '../model/ports.ts';

/** Of the network namespace of whoever reads it. For IPv6 too. */
const SYSCTL = '/proc/sys/net/ipv4/ip_local_reserved_ports';
/** Bytes of the longest list: every other port. */
const LONGEST = 256 * 1024;

/** @returns none when it cannot be read: source NAT goes on without. */
export function readReservedPorts(file = SYSCTL): PortRange[] {
  try {
    const fd = openSync(file, 'r');
    try {
      // In one piece: the kernel gives no second one.
      const buffer = Buffer.alloc(LONGEST);
      return parsePortRanges(buffer.toString('latin1', 0, readSync(fd, buffer)));
    } finally {
      closeSync(fd);
    }
  } catch {
    return [];
  }
}
