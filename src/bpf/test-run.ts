/** BPF_PROG_TEST_RUN: runs a loaded program on a packet, without a device. */
import { kernelError } from './errno.ts';
import { bpf, Command, newAttr, putPointer } from './syscall.ts';

export interface TestRun {
  /** A whole frame: at least an Ethernet header for tc and XDP programs. */
  readonly data: Buffer;
  /** struct __sk_buff or xdp_md to start with; its length is what the kernel is told. */
  readonly context?: Buffer;
  /** The context is not wanted back: then it may be shorter than the kernel's. */
  readonly discardContext?: true;
  /** Default 1. */
  readonly repeat?: number;
  /** BPF_F_TEST_*; default 0. */
  readonly flags?: number;
}

export interface TestRunResult {
  /** What the program returned, unsigned. */
  readonly retval: number;
  /** The frame afterwards. */
  readonly data: Buffer;
  /** The context afterwards; empty when none was given, or it is not wanted. */
  readonly context: Buffer;
  /** Nanoseconds a run, the mean of `repeat`. */
  readonly duration: number;
}

/** Room for a program that lengthens the packet. */
const HEADROOM = 4096;

/** @throws SluiceError LOAD_FAILED; cgroup programs cannot be run so (ENOTSUPP). */
export function testRun(programFd: number, run: TestRun): TestRunResult {
  const attr = newAttr();
  const data = Buffer.alloc(run.data.length + HEADROOM);
  const wanted = run.discardContext === undefined && run.context !== undefined;
  const context = Buffer.alloc(wanted ? run.context.length : 0);
  attr.writeInt32LE(programFd, 0);
  attr.writeUInt32LE(run.data.length, 8);
  attr.writeUInt32LE(data.length, 12);
  putPointer(attr, 16, run.data);
  putPointer(attr, 24, data);
  attr.writeUInt32LE(run.repeat ?? 1, 32);
  if (run.context !== undefined) {
    attr.writeUInt32LE(run.context.length, 40);
    putPointer(attr, 48, run.context);
  }
  if (wanted) {
    attr.writeUInt32LE(context.length, 44);
    putPointer(attr, 56, context);
  }
  attr.writeUInt32LE(run.flags ?? 0, 64);
  const result = bpf(Command.PROG_TEST_RUN, attr);
  if (result < 0) throw kernelError('LOAD_FAILED', 'test run of a program', 'BPF_PROG_TEST_RUN', -result);
  return {
    retval: attr.readUInt32LE(4),
    data: data.subarray(0, attr.readUInt32LE(12)),
    context: context.subarray(0, wanted ? attr.readUInt32LE(44) : 0),
    duration: attr.readUInt32LE(36),
  };
}
