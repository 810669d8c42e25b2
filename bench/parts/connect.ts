/** Part 1: new connections from a pod to a cluster address, at growing numbers of Services. */
import type { Competitor } from '../competitors/competitor.ts';
import { type LoadReport, runLoad } from '../load/run.ts';
import { clusterIpOf, targetNumbers } from '../rules/model.ts';
import { withCpu } from '../world/cpu.ts';
import { SERVER_PORT } from '../world/world.ts';
import { addressList, type Context, dialFromPod, installAll, inTurn, recorder, SERVICE_PORT } from './context.ts';

export async function runConnect(context: Context): Promise<void> {
  const world = await context.world();
  const { seconds } = context.plan;
  for (const size of context.plan.sizes) {
    context.say(`connect: ${size} Services`);
    const competitors = await installAll(context, 'connect', size, dialFromPod(context, world, size));
    const record = recorder(context, 'connect', size);
    const backends = world.endpoints.map(({ address }) => address);
    const virtual = targetNumbers(size).map(clusterIpOf);

    const run = (competitor: Competitor, command: string, values: Record<string, string | number>) => {
      const targets = competitor.direct ? addressList(backends, SERVER_PORT) : addressList(virtual, SERVICE_PORT);
      const client = world.nodeOf(competitor).pod('client');
      return withCpu(() => runLoad(client, context.tools.load, command, { targets, ...values }));
    };

    for (const competitor of competitors) await run(competitor, 'connect', { seconds: 0.2 }); // neighbours, caches
    await inTurn(context, competitors, { part: 'connect', metric: 'connect.rate', size }, async (competitor, round) => {
      const { value, cpuSeconds } = await run(competitor, 'connect', { seconds });
      check(competitor, 'connect', value);
      record(competitor, round, {
        'connect.rate': value.perSecond,
        'connect.p50': value.p50Us,
        'connect.p99': value.p99Us,
        'connect.cpu': (cpuSeconds * 1e6) / value.count,
      });
    });
    await inTurn(context, competitors, { part: 'connect', metric: 'http.rate', size }, async (competitor, round) => {
      const http = (await run(competitor, 'connect', { seconds: seconds / 2, request: 'http' })).value;
      const fresh = (await run(competitor, 'datagram', { seconds: seconds / 2, socket: 'fresh' })).value;
      const kept = (await run(competitor, 'datagram', { seconds: seconds / 2, socket: 'kept' })).value;
      check(competitor, 'request', http);
      record(competitor, round, {
        'http.rate': http.perSecond,
        'http.p99': http.p99Us,
        'udp.rate': fresh.perSecond,
        'udp-kept.rate': kept.perSecond,
      });
    });
  }
}

/** @throws Error when what was measured was errors */
export function check(competitor: Competitor, what: string, { count, errors }: LoadReport): void {
  if (count === 0 || errors > count / 100)
    throw new Error(`${what} by ${competitor.name}: ${errors} errors beside ${count}; nothing is measured so`);
}
