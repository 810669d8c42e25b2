/** What it takes to send frames by hand from a host of the lab. */
import type { Host } from '../lab/host.ts';

/** For `node --import`: the scripts under test/support/traffic are TypeScript. */
export const TSX = import.meta.resolve('tsx');

/** The device towards an address, by its index, and the MAC addresses of a frame that goes there. */
export async function nextHop(host: Host, address: string): Promise<{ device: number; macs: [string, string] }> {
  await host.run(['ping', '-n', '-c', '1', '-W', '5', address]);
  const json = async (...argv: string[]) => JSON.parse(await host.run(['ip', '-j', ...argv]))[0];
  const { dev, gateway = address } = await json('route', 'get', address);
  const { ifindex, address: own } = await json('link', 'show', 'dev', dev);
  const { lladdr } = await json('neigh', 'show', 'to', gateway, 'dev', dev);
  return { device: ifindex, macs: [own, lladdr] };
}
