/** What it takes to send frames by hand from a host of the lab, and to see what of them arrives. */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Host } from '../lab/host.ts';
import type { FrameOrder } from '../traffic/send-frames.ts';

/** For `node --import`: the scripts under test/support/traffic are TypeScript. */
export const TSX = import.meta.resolve('tsx');

const script = (name: string) => fileURLToPath(new URL(`../traffic/${name}.ts`, import.meta.url));

/** The device towards an address, by its index, and the MAC addresses of a frame that goes there. */
export async function nextHop(host: Host, address: string): Promise<{ device: number; macs: [string, string] }> {
  const json = async (...argv: string[]) => JSON.parse(await host.run(['ip', '-j', ...argv]))[0];
  const { dev, gateway = address } = await json('route', 'get', address);
  const { ifindex, address: own } = await json('link', 'show', 'dev', dev);
  const neighbour = () => json('neigh', 'show', 'to', gateway, 'dev', dev);
  // Who has talked that way knows it; a gateway need not answer pings.
  if ((await neighbour())?.lladdr === undefined) await host.run(['ping', '-n', '-c', '1', '-W', '5', address]);
  return { device: ifindex, macs: [own, (await neighbour()).lladdr] };
}

/** Sends frames from a host. @returns what the datagram that answers them says; null when there is none, or none is asked for */
export async function sendFrames(
  host: Host,
  ifindex: number,
  frames: readonly Buffer[],
  answer?: FrameOrder['answer'],
): Promise<unknown> {
  const hex = frames.map((frame) => frame.toString('hex'));
  const order: FrameOrder = { ifindex, frames: hex, ...(answer !== undefined && { answer }) };
  return JSON.parse(await host.run(['node', '--import', TSX, script('send-frames')], { input: JSON.stringify(order) }));
}

export interface Sniffer {
  /** `source port > destination port` of each packet so far. */
  readonly tuples: readonly string[];
  stop(): Promise<void>;
}

/** Watches for TCP packets with a payload of so many bytes that come in by a device; resolves when it does. */
export async function sniff(host: Host, ifindex: number, length: number): Promise<Sniffer> {
  const command = ['node', '--import', TSX, script('sniff-frames'), String(ifindex), String(length)];
  const child = host.spawn(command, { stdio: ['pipe', 'pipe', 'inherit'] });
  if (child.stdout === null) throw new Error(`sniff in ${host.name}: it has no output`);
  const tuples: string[] = [];
  const lines = createInterface({ input: child.stdout });
  const gone = once(child, 'exit');
  const early = gone.then(([code]) => {
    throw new Error(`sniff in ${host.name}: it ended with ${code}`);
  });
  await Promise.race([once(lines, 'line'), early]);
  early.catch(() => {});
  lines.on('line', (line) => tuples.push(line));
  return {
    tuples,
    async stop() {
      child.stdin?.end();
      await gone;
    },
  };
}
