/**
 * Sends SYNs from sources at random (11.0.0.0/8, any port) out of a device, as fast as it goes. A process of
 * its own, in the namespace of who floods: reads `FloodOrder` as JSON on standard input, and writes how many
 * were sent.
 */
import { readFileSync } from 'node:fs';
import { packet } from '../packet/builder.ts';
import { randomFrom } from '../packet/random.ts';
import { loadSender } from './sender.ts';

export interface FloodOrder {
  readonly ifindex: number;
  readonly macs: readonly [string, string];
  readonly to: string;
  readonly ports: readonly number[];
  readonly count: number;
  readonly seed: number;
}

const order = JSON.parse(readFileSync(0, 'utf8')) as FloodOrder;
const send = loadSender(order.ifindex);
const random = randomFrom(order.seed);
for (let n = 0; n < order.count; n++) {
  const [a = 0, b = 0, c = 0] = random.bytes(3);
  const port = order.ports[n % order.ports.length] ?? 0;
  const source = packet(`11.${a}.${b}.${c}`, order.to).macs(...order.macs);
  send(source.tcp(1024 + (n % 60_000), port, 'S').build());
}
process.stdout.write(JSON.stringify(order.count));
