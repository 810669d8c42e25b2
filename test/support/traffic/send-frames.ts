/**
 * Sends frames out of a device as they are, and waits for a datagram that answers them. A process of its
 * own, in the client's namespace: reads `FrameOrder` as JSON on standard input, writes what the answer
 * said, or null.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { loadSender } from './sender.ts';

export interface FrameOrder {
  readonly ifindex: number;
  /** Hexadecimal. */
  readonly frames: readonly string[];
  /** Where the answer comes to. */
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

const order = JSON.parse(readFileSync(0, 'utf8')) as FrameOrder;
const socket = createSocket(order.address.includes(':') ? 'udp6' : 'udp4');
socket.bind(order.port, order.address);
await once(socket, 'listening');
const send = loadSender(order.ifindex);
const timer = setTimeout(() => end(null), order.timeoutMs);
socket.on('message', (message) => end(JSON.parse(String(message))));
for (const frame of order.frames) send(Buffer.from(frame, 'hex'));

function end(answer: unknown): void {
  clearTimeout(timer);
  socket.close();
  process.stdout.write(JSON.stringify(answer));
}
