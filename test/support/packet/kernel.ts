/** What packet tests need that an older kernel lacks: the test at hand is skipped then, with the reason. */
import { getCurrentTest, type Test } from '@vitest/runner';
import { EACCES } from '../../../src/bpf/errno.ts';
import { callHelper, exit, loadInstructions, setRegister } from '../../../src/bpf/instructions.ts';
import { close } from '../../../src/bpf/syscall.ts';
import { testRun } from '../../../src/bpf/test-run.ts';

/** BPF_F_TEST_SKB_CHECKSUM_COMPLETE: as from a device that has summed the packet; a wrong sum fails the run. */
export const CHECKSUM_COMPLETE = 4;
/** Offsets of `mark`, `ingress_ifindex` and `ifindex` in struct __sk_buff, and its size. */
export const SKB = { mark: 8, ingressIfindex: 36, ifindex: 40, size: 192 } as const;
/** Offsets of `data_end` and `ingress_ifindex` in struct xdp_md, and its size. */
export const XDP_MD = { dataEnd: 4, ingressIfindex: 12, size: 24 } as const;

const PROG_TYPE_SCHED_CLS = 3;
const PROG_TYPE_XDP = 6;
const HELPER_CHECK_MTU = 163;
const XDP_PASS = 2;
/** No kernel has it: one that takes it looks at no flags. */
const UNKNOWN_FLAG = 1 << 30;
/** Broadcast, of no protocol: long enough for every kernel. */
const FRAME = Buffer.alloc(64, 0xff);
/** Every network namespace has its loopback device at this index. */
const LOOPBACK = 1;

/** Runs a program that lets everything pass. @returns whether the kernel takes such a run. */
function runs(type: number, verdict: number, context: Buffer, flags = 0): boolean {
  const program = loadInstructions(type, [setRegister(0, verdict), exit()]);
  if (program < 0) throw new Error(`load a program that lets packets pass: errno ${-program}`);
  try {
    testRun(program, { data: FRAME, context, flags });
    return true;
  } catch {
    return false;
  } finally {
    close(program);
  }
}

/** Ends the test as skipped when it needs what the kernel lacks. @param probe asked once */
function need(what: string, kernel: string, probe: () => boolean): () => void {
  let present: boolean | undefined;
  return () => {
    present ??= probe();
    if (present) return;
    const reason = `needs kernel ${kernel}: ${what}`;
    const test = getCurrentTest<Test | undefined>();
    if (test === undefined) throw new Error(reason);
    test.context.skip(reason);
  };
}

export const needsChecksumComplete = need('test runs with a packet that the device has summed', '6.11', () => {
  const takes = (flag: number) => runs(PROG_TYPE_SCHED_CLS, 0, Buffer.alloc(SKB.size), flag);
  return takes(CHECKSUM_COMPLETE) && !takes(UNKNOWN_FLAG);
});

export const needsXdpContext = need('test runs of XDP with a device', '5.15', () => {
  const context = Buffer.alloc(XDP_MD.size);
  context.writeUInt32LE(FRAME.length, XDP_MD.dataEnd);
  return runs(PROG_TYPE_XDP, XDP_PASS, context);
});

export const needsIngressDevice = need('test runs with the device that a forwarded packet came in by', '5.16', () => {
  const context = Buffer.alloc(SKB.size);
  context.writeUInt32LE(LOOPBACK, SKB.ifindex);
  context.writeUInt32LE(LOOPBACK, SKB.ingressIfindex);
  return runs(PROG_TYPE_SCHED_CLS, 0, context);
});

/** bpf_check_mtu came with it: a kernel that knows the helper complains about its arguments instead. */
export const needsRouteMtu = need('what a route takes, when its device takes more', '5.12', () => {
  const program = loadInstructions(PROG_TYPE_SCHED_CLS, [callHelper(HELPER_CHECK_MTU), exit()]);
  if (program >= 0) close(program);
  return program === -EACCES;
});
