/** Part 2: what an established connection costs. */
import { runLoad } from '../load/run.ts';
import { clusterIpOf, targetNumbers } from '../rules/model.ts';
import { withCpu } from '../world/cpu.ts';
import { SERVER_PORT, SINK_PORT } from '../world/world.ts';
import { BULK_PORT, type Context, dialFromPod, installAll, inTurn, recorder, SERVICE_PORT } from './context.ts';

/** The number of Services does not matter to an established connection: one of the sizes is enough. */
export async function runEstablished(context: Context): Promise<void> {
  const world = await context.world();
  const { seconds, sizes } = context.plan;
  const size = middleSize(sizes);
  context.say(`established: ${size} Services`);
  const competitors = await installAll(context, 'established', size, dialFromPod(context, world, size));
  const record = recorder(context, 'established', size);
  const backend = world.endpoints[0]?.address ?? '';
  const virtual = clusterIpOf(targetNumbers(size)[0] ?? 1);
  await inTurn(context, competitors, { part: 'established', metric: 'bulk.rate', size }, async (competitor, round) => {
    const client = world.nodeOf(competitor).pod('client');
    const ping = await runLoad(client, context.tools.load, 'stream', {
      mode: 'ping',
      seconds,
      targets: competitor.direct ? `${backend}:${SERVER_PORT}` : `${virtual}:${SERVICE_PORT}`,
    });
    const { value: bulk, cpuSeconds } = await withCpu(() =>
      runLoad(client, context.tools.load, 'stream', {
        mode: 'bulk',
        seconds,
        targets: competitor.direct ? `${backend}:${SINK_PORT}` : `${virtual}:${BULK_PORT}`,
      }),
    );
    const bytes = bulk.bytes ?? 0;
    record(competitor, round, {
      'stream.p50': ping.p50Us,
      'stream.p99': ping.p99Us,
      'bulk.rate': (bytes * 8) / bulk.seconds / 1e9,
      'bulk.cpu': cpuSeconds / (bytes / 1e9),
    });
  });
}

/** 1,000 where it is among the sizes, else the last that is not more. */
export function middleSize(sizes: readonly number[]): number {
  return sizes.findLast((size) => size <= 1000) ?? sizes[0] ?? 1;
}
