/** What a path asks of the maps, and how long its program is: costs that no machine changes. */
import { objInfo } from '../../src/bpf/object.ts';
import { testRun } from '../../src/bpf/test-run.ts';
import { openMapCalls } from '../../test/support/bpf-count/map-calls.ts';
import type { PacketRig } from '../../test/support/packet/rig.ts';
import { subjectOf } from './measure.ts';
import { establish, type Family, type Path, serve } from './paths.ts';

/** Slots of per-CPU arrays: counters and memory, not tables. */
const SLOTS = ['scratches', 'counters', 'table_events'];
/** struct bpf_prog_info as far as the length of the program. */
const PROG_INFO = { size: 24, xlatedBytes: 20 };
const INSTRUCTION_BYTES = 8;

/**
 * The operations on tables of one packet, in order: `?flows` a lookup, `+flows` an update, `-flows` a deletion.
 * @param rig of programs that compileCounting compiled @throws Error when the packet takes another path
 */
export function tableOperations(rig: PacketRig, path: Path, family: Family): string[] {
  serve(rig);
  if (!path.fresh) establish(rig, family);
  const { program, frame: data, context } = subjectOf(rig, path, family);
  const calls = openMapCalls(program);
  try {
    calls.clear();
    const { retval } = testRun(program, { data, context });
    if (retval !== path.verdict)
      throw new Error(`count operations of ${path.program}, ${path.name}: verdict ${retval}, not ${path.verdict}`);
    return calls.read().filter((call) => !SLOTS.includes(call.slice(1)));
  } finally {
    calls.close();
  }
}

/** Instructions of a whole program after verification, functions among them. @throws Error when the kernel does not tell */
export function instructionsOf(program: number): number {
  const info = objInfo(program, PROG_INFO.size);
  if (typeof info === 'number') throw new Error(`read the length of a program: errno ${-info}`);
  return info.readUInt32LE(PROG_INFO.xlatedBytes) / INSTRUCTION_BYTES;
}
