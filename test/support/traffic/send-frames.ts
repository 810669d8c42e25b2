/**
 * Sends frames out of a device as they are, and waits for a datagram that answers them, if asked to. A process of
 * its own, in the namespace of the device: reads `FrameOrder` as JSON on standard input, writes what the answer
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
  /** Where the answer comes to; without it none is waited for. */
  readonly answer?: { readonly address: string; readonly port: number; readonly timeoutMs: number };
}

const order = JSON.parse(readFileSync(0, 'utf8')) as FrameOrder;
const sendFrame = loadSender(order.ifindex);
const send = (): void => {
  for (const frame of order.frames) sendFrame(Buffer.from(frame, 'hex'));
};
const end = (answer: unknown): void => {
  process.stdout.write(JSON.stringify(answer));
};

if (order.answer === undefined) {
  send();
  end(null);
} else {
  const { address, port, timeoutMs } = order.answer;
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(port, address);
  await once(socket, 'listening');
  const timer = setTimeout(() => {
    socket.close();
    end(null);
  }, timeoutMs);
  socket.on('message', (message) => {
    clearTimeout(timer);
    socket.close();
    end(JSON.parse(String(message)));
  });
  send();
}
