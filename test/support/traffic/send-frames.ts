/**
 * Sends frames out of a device as they are, and waits for a datagram that answers them. A process of its
 * own, in the client's namespace: reads `FrameOrder` as JSON on standard input, writes what the answer
 * said, or null. The kernel's test run hands a frame to a program that sends a copy out.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { callHelper, exit, loadInstructions, setRegister } from '../../../src/bpf/instructions.ts';
import { testRun } from '../../../src/bpf/test-run.ts';

export interface FrameOrder {
  readonly ifindex: number;
  /** Hexadecimal. */
  readonly frames: readonly string[];
  /** Where the answer comes to. */
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

const PROG_TYPE_SCHED_CLS = 3;
const CLONE_REDIRECT = 13;

const order = JSON.parse(readFileSync(0, 'utf8')) as FrameOrder;
const socket = createSocket(order.address.includes(':') ? 'udp6' : 'udp4');
socket.bind(order.port, order.address);
await once(socket, 'listening');
const program = loadInstructions(PROG_TYPE_SCHED_CLS, [
  setRegister(2, order.ifindex),
  setRegister(3, 0),
  callHelper(CLONE_REDIRECT),
  exit(),
]);
if (program < 0) throw new Error(`load a program that sends frames: errno ${-program}`);
const timer = setTimeout(() => end(null), order.timeoutMs);
socket.on('message', (message) => end(JSON.parse(String(message))));
for (const frame of order.frames) testRun(program, { data: Buffer.from(frame, 'hex') });

function end(answer: unknown): void {
  clearTimeout(timer);
  socket.close();
  process.stdout.write(JSON.stringify(answer));
}
