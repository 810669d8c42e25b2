/** The packet generator, aimed at one competitor's node. */

import type { Host } from '../../test/support/lab/host.ts';
import { netnsPath } from '../../test/support/lab/names.ts';
import type { Competitor } from '../competitors/competitor.ts';
import { runLoad } from '../load/run.ts';
import type { World } from '../world/world.ts';
import { outsideTargets } from './northsouth.ts';

export interface FloodReport {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly seconds: number;
  readonly perSecond: number;
}

export interface Flood {
  /** Makes the flows known: each is sent three times, and answered. */
  warm(): Promise<void>;
  run(seconds: number): Promise<FloodReport>;
}

const FLOWS = 4096;

async function macOf(host: Host, device: string): Promise<string> {
  const [link] = JSON.parse(await host.run(['ip', '-j', 'link', 'show', 'dev', device])) as { address: string }[];
  return link?.address ?? '';
}

/**
 * Frames leave the router by the node's port as if they came from a client. What the node sends on to
 * a backend elsewhere comes back by the same port, and is taken off there; what it delivers to its own pod is
 * taken off at the pod's device.
 */
export function createFlood(world: World, competitor: Competitor, where: 'remote' | 'local'): Flood {
  const node = world.nodeOf(competitor);
  const port = `node${node.n}`;
  const sink =
    where === 'remote'
      ? { netns: world.lab.net.netns, device: port }
      : { netns: node.pod('local').netns, device: 'eth0' };

  async function values(seconds: number, sinkDevice: string) {
    return {
      object: world.tools.flood,
      out: port,
      mac: await macOf(node, 'eth0'),
      from: await macOf(world.lab.net, 'nodes'),
      source: '198.18.0.1',
      target: outsideTargets(world, competitor, where).split(',')[0],
      receiver: `${netnsPath(node.netns)}:eth0`,
      sink: sinkDevice,
      'sink-netns': netnsPath(sink.netns),
      flows: FLOWS,
      seconds,
    };
  }

  return {
    async warm() {
      await runLoad(world.lab.net, world.tools.load, 'flood', await values(0, ''));
    },
    async run(seconds) {
      const load = await values(seconds, sink.device);
      return runLoad<FloodReport>(world.lab.net, world.tools.load, 'flood', load, { nice: 19 });
    },
  };
}
