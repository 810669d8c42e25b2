/**
 * Who serves the node: control.flags, whose high byte `sluice migrate` writes, and the agent when it starts to stand by.
 * Two bits make three states: `standby` and `detached` before a takeover and after it was handed back, `standby` alone
 * while flows are carried to their end, neither while Sluice serves.
 */
import { CONTROL_ATTACHED, CONTROL_DETACHED, CONTROL_STANDBY } from '../../maps-schema/gen/codecs.ts';
import type { KernelArray } from './kernel-map.ts';
import { listLinks } from './links.ts';
import { listPins } from './paths.ts';

/** Offsets of the bytes of control.flags. */
const LOW_BYTE = 6;
/** What `sluice migrate` writes, and no agent puts right. */
export const HANDOVER_BYTE = 7;

export interface Handover {
  /** Nothing new begins. */
  readonly standby: boolean;
  /** Nothing is to be attached. */
  readonly detached: boolean;
}

type Control = Pick<KernelArray, 'view'>;

export function readHandover({ view }: Control): Handover {
  const flags = view.readUInt8(HANDOVER_BYTE) << 8;
  return { standby: (flags & CONTROL_STANDBY) !== 0, detached: (flags & CONTROL_DETACHED) !== 0 };
}

export function writeHandover({ view }: Control, { standby, detached }: Handover): void {
  view.writeUInt8(((standby ? CONTROL_STANDBY : 0) | (detached ? CONTROL_DETACHED : 0)) >> 8, HANDOVER_BYTE);
}

/** Does the agent say that every program is where it belongs? */
export const isAttached = ({ view }: Control): boolean => (view.readUInt8(LOW_BYTE) & CONTROL_ATTACHED) !== 0;

export const isAskedToDetach = (control: Control): boolean => readHandover(control).detached;

export function askToDetach(control: Control): void {
  writeHandover(control, { standby: true, detached: true });
}

/** Is a program of any run attached under a pin directory? */
export function isAnythingAttached(pinDirectory: string): boolean {
  return listLinks(pinDirectory).some(({ attached }) => attached) || listPins(`${pinDirectory}/clsact`).length > 0;
}
