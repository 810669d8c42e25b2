/** Part 3: from outside through a NodePort, to a backend on another node and to one on the same. */
import type { Competitor } from '../competitors/competitor.ts';
import { runLoad } from '../load/run.ts';
import { withCpu } from '../world/cpu.ts';
import { LOCAL_NODE_PORT, SERVER_PORT, type World } from '../world/world.ts';
import { check } from './connect.ts';
import { addressList, type Context, installAll, inTurn, recorder } from './context.ts';
import { middleSize } from './established.ts';
import { createFlood } from './flood.ts';

type Where = 'remote' | 'local';

/** What the client dials. Without a balancer: the pods, which the router reaches by way of the competitor's node. */
export function outsideTargets(world: World, competitor: Competitor, where: Where): string {
  const node = world.nodeOf(competitor);
  const remote = world.remoteOf(competitor);
  if (!competitor.direct) return `${node.ipv4}:${where === 'remote' ? remote.nodePort : LOCAL_NODE_PORT}`;
  const pods = where === 'remote' ? remote.endpoints.map(({ address }) => address) : [node.pod('local').ipv4];
  return addressList(pods, SERVER_PORT);
}

async function routeDirect(world: World, competitor: Competitor): Promise<void> {
  const node = world.nodeOf(competitor);
  await world.lab.route(node.podCidrs.IPv4, node.name);
  await world.lab.route(world.backends.podCidrs.IPv4, node.name);
}

export async function runNorthSouth(context: Context): Promise<void> {
  const world = await context.world();
  const { seconds, sizes } = context.plan;
  const size = middleSize(sizes);
  context.say(`northsouth: ${size} Services`);
  const dial = async (competitor: Competitor, where: Where, values: Record<string, number>) => {
    if (competitor.direct) await routeDirect(world, competitor);
    const targets = outsideTargets(world, competitor, where);
    return await runLoad(world.lab.client(), context.tools.load, 'connect', { targets, ...values });
  };
  const competitors = await installAll(context, 'northsouth', size, (competitor) =>
    dial(competitor, 'remote', { count: 5, seconds: 5 }),
  );
  const record = recorder(context, 'northsouth', size);

  for (const where of ['remote', 'local'] as const) {
    await inTurn(
      context,
      competitors,
      { part: 'northsouth', metric: `${where}.rate`, size },
      async (competitor, round) => {
        const report = await dial(competitor, where, { seconds });
        check(competitor, `connect to a ${where} backend`, report);
        record(competitor, round, {
          [`${where}.rate`]: report.perSecond,
          [`${where}.p99`]: report.p99Us,
          ...(where === 'remote' ? { 'remote.p50': report.p50Us } : {}),
        });
      },
    );
    context.say(`  packets to a ${where} backend`);
    for (const competitor of competitors) await createFlood(world, competitor, where).warm();
    await inTurn(
      context,
      competitors,
      { part: 'northsouth', metric: `${where}.packets`, size },
      async (competitor, round) => {
        const { value, cpuSeconds } = await withCpu(() => createFlood(world, competitor, where).run(seconds));
        if (value.received === 0) throw new Error(`flood ${competitor.name}: no packet of ${value.sent} arrived`);
        record(competitor, round, {
          [`${where}.packets`]: value.perSecond,
          [`${where}.packet-cpu`]: (cpuSeconds * 1e9) / value.received,
        });
      },
    );
  }
}
