/** Sends frames out of a device as they are: the kernel's test run hands them to a program that sends copies. */
import { callHelper, exit, loadInstructions, setRegister } from '../../../src/bpf/instructions.ts';
import { testRun } from '../../../src/bpf/test-run.ts';

const PROG_TYPE_SCHED_CLS = 3;
const CLONE_REDIRECT = 13;

/** @param ifindex of a device in the namespace of this process */
export function loadSender(ifindex: number): (frame: Buffer) => void {
  const program = loadInstructions(PROG_TYPE_SCHED_CLS, [
    setRegister(2, ifindex),
    setRegister(3, 0),
    callHelper(CLONE_REDIRECT),
    exit(),
  ]);
  if (program < 0) throw new Error(`load a program that sends frames: errno ${-program}`);
  return (data) => {
    testRun(program, { data });
  };
}
