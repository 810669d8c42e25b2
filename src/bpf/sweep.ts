/** Runs the program `sweep`, which walks the flow tables in the kernel. */
import { type Sweep, sweep } from '../../maps-schema/gen/codecs.ts';
import { SluiceError } from '../model/errors.ts';
import { bpfInBackground, Command, newAttr, putPointer } from './syscall.ts';

/**
 * On a thread of its own: a walk over half a million flows takes tens of milliseconds.
 * @param programFd of the program `sweep`
 * @throws SluiceError LOAD_FAILED when the kernel does not run it.
 */
export async function runSweep(programFd: number): Promise<Sweep> {
  const attr = newAttr();
  const context = Buffer.alloc(sweep.size);
  attr.writeInt32LE(programFd, 0);
  attr.writeUInt32LE(context.length, 40);
  putPointer(attr, 48, context);
  if ((await bpfInBackground(Command.PROG_TEST_RUN, attr)) < 0)
    throw new SluiceError('LOAD_FAILED', 'walk the flow tables: the kernel does not run the program "sweep"');
  return sweep.read(context, 0);
}
