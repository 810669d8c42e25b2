/** tcx: attaching to a device by a link (kernel 6.6). */

import type { Direction } from './clsact.ts';
import { EINVAL } from './errno.ts';
import { bpf, Command, newAttr, putPointer } from './syscall.ts';

/** enum bpf_attach_type. */
export const TCX_ATTACH_TYPES: Readonly<Record<Direction, number>> = { ingress: 46, egress: 47 };
const NO_DEVICE = 0x7fffffff;
const MAX_LINKS = 64;

/** BPF_PROG_QUERY of a device. @returns the ids of the links on it in the order they run, or -errno. */
export function queryTcx(ifindex: number, direction: Direction): number[] | number {
  const programs = Buffer.alloc(4 * MAX_LINKS);
  const links = Buffer.alloc(4 * MAX_LINKS);
  const attr = newAttr();
  attr.writeUInt32LE(ifindex, 0);
  attr.writeUInt32LE(TCX_ATTACH_TYPES[direction], 4);
  putPointer(attr, 16, programs);
  attr.writeUInt32LE(MAX_LINKS, 24);
  putPointer(attr, 40, links);
  const result = bpf(Command.PROG_QUERY, attr);
  if (result < 0) return result;
  return Array.from({ length: attr.readUInt32LE(24) }, (_, i) => links.readUInt32LE(4 * i));
}

let present: boolean | undefined;

/** Asks for the programs of a device that cannot exist: a kernel without tcx does not know the question. */
export function haveTcx(): boolean {
  present ??= queryTcx(NO_DEVICE, 'ingress') !== -EINVAL;
  return present;
}
