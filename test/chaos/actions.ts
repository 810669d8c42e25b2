/** What may happen to an agent, its API server and its kernel. Each draws what it needs from the seed before it begins. */
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openMaps } from '../../src/bpf/open-maps.ts';
import { pinDirectoryOf } from '../../src/bpf/paths.ts';
import { haveTcx } from '../../src/bpf/tcx.ts';
import { linkPins } from '../support/cluster/kernel.ts';
import { attempt, ipBatch, run } from '../support/lab/command.ts';
import type { Random } from '../support/packet/random.ts';
import { delay, GUESTS, HUGE, WEB, type World } from './world.ts';

export interface Action {
  readonly name: string;
  /** Packets may be lost until the agent has put it right: nobody else can serve them. */
  readonly disrupts?: true;
  /** Draws at once; what it returns runs later. */
  readonly draw: (random: Random) => (world: World) => Promise<void>;
}

const EMPTY = (kind: string, apiVersion: string) =>
  JSON.stringify({ kind: `${kind}List`, apiVersion, metadata: { resourceVersion: '1' }, items: [] });

function changesOf(random: Random): (world: World) => void {
  const guest = random.pick(GUESTS);
  const what = random.below(4);
  const [web, own] = [2 + random.below(3), random.below(4)];
  return (world) => {
    const name = `guest-${guest}`;
    const backends = world.pods.slice(0, own);
    if (what === 0) world.put('web', WEB, world.pods.slice(0, web));
    else if (what === 1)
      world.put(name, guest, backends, { sessionAffinity: 'ClientIP', loadBalancerSourceRanges: ['192.0.2.0/24'] });
    else if (what === 2) world.put(name, guest, backends, { externalTrafficPolicy: 'Local' });
    else world.remove(name);
  };
}

const pause = (random: Random, most: number) => 20 + random.below(most);

export const ACTIONS: readonly Action[] = [
  {
    name: 'objects change',
    draw(random) {
      const changes = Array.from({ length: 1 + random.below(8) }, () => ({
        change: changesOf(random),
        ms: random.below(60),
      }));
      return async (world) => {
        for (const { change, ms } of changes) {
          change(world);
          await delay(ms);
        }
      };
    },
  },
  {
    name: 'SIGKILL, and a start',
    draw(random) {
      const ms = random.below(1500);
      return async (world) => {
        await world.kill('SIGKILL');
        await delay(ms);
        await world.start();
      };
    },
  },
  {
    name: 'SIGKILL again and again while it starts',
    draw(random) {
      const times = Array.from({ length: 2 + random.below(2) }, () => 100 + random.below(2000));
      return async (world) => {
        for (const ms of times) {
          await world.kill('SIGKILL');
          await world.start();
          await delay(ms);
        }
      };
    },
  },
  {
    name: 'SIGTERM, and a start',
    draw: () => async (world) => {
      await world.kill('SIGTERM');
      await world.start();
    },
  },
  {
    name: 'SIGSTOP for a while, objects change',
    draw(random) {
      const [ms, change] = [pause(random, 3000), changesOf(random)];
      return async ({ agent, ...world }) => {
        if (agent === undefined || agent.exit !== undefined) return;
        process.kill(agent.pid, 'SIGSTOP');
        change(world as World);
        await delay(ms);
        process.kill(agent.pid, 'SIGCONT');
      };
    },
  },
  {
    name: 'the API server is silent, objects change',
    draw(random) {
      const [ms, change] = [pause(random, 3000), changesOf(random)];
      return async (world) => {
        world.api.server.faults.freeze();
        change(world);
        await delay(ms);
        world.api.server.faults.thaw();
        // A real one is gone then, and its connections with it.
        world.api.server.faults.resetWatches();
      };
    },
  },
  {
    name: 'watches are cut in the middle of an object',
    draw:
      () =>
      async ({ api }) => {
        api.server.faults.writeWatches(
          '{"type":"DELETED","object":{"kind":"Service","metadata":{"name":"web","namespa',
        );
        api.server.faults.resetWatches();
      },
  },
  {
    name: 'watches end, expire or fail',
    draw(random) {
      const [what, change] = [random.below(4), changesOf(random)];
      return async (world) => {
        const { faults } = world.api.server;
        if (what === 0) faults.closeWatches();
        else if (what === 1) faults.expireWatches();
        else if (what === 2) faults.failWatches(500);
        else {
          faults.compact();
          faults.resetWatches();
        }
        change(world);
      };
    },
  },
  {
    name: 'requests are refused',
    draw(random) {
      const [status, count, change] = [random.pick([401, 410, 429, 500, 503]), 1 + random.below(6), changesOf(random)];
      return async (world) => {
        const { faults } = world.api.server;
        faults.failRequests(count, { status, ...(status === 429 && { retryAfterSeconds: 1 }) });
        faults.resetWatches();
        change(world);
      };
    },
  },
  {
    name: 'a list is truncated, or empty where there were a thousand',
    draw(random) {
      const empty = random.oneIn(2);
      const body = empty ? EMPTY('Service', 'v1') : '{"kind":"ServiceList","apiVersion":"v1","items":[{"metadata":{"na';
      const slices = empty ? EMPTY('EndpointSlice', 'discovery.k8s.io/v1') : '{"items":';
      return async ({ api }) => {
        const { faults } = api.server;
        faults.failRequests(1, { status: 200, verb: 'list', resource: 'services', body });
        faults.failRequests(1, { status: 200, verb: 'list', resource: 'endpointslices', body: slices });
        faults.expireWatches();
      };
    },
  },
  {
    name: 'answers come in small pieces',
    draw(random) {
      const [bytes, change] = [1 + random.below(40), changesOf(random)];
      return async (world) => {
        world.api.server.faults.splitWrites(bytes);
        change(world);
        await delay(300);
        world.api.server.faults.splitWrites(undefined);
      };
    },
  },
  {
    name: 'Services are deleted while no agent runs',
    draw(random) {
      const guest = random.pick(GUESTS);
      return async (world) => {
        world.put(`guest-${guest}`, guest, world.pods.slice(0, 2));
        await delay(300);
        await world.kill('SIGKILL');
        world.remove(`guest-${guest}`);
        await world.start();
      };
    },
  },
  {
    name: 'a Service wants more than it may have',
    draw: () => async (world) => {
      const ips = Array.from({ length: 6 }, (_, i) => `198.51.100.${200 + i}`);
      world.put('huge', 99, world.pods.slice(0, 1), { ports: HUGE, externalIPs: ips });
      await delay(500);
      world.remove('huge');
    },
  },
  {
    name: 'somebody fills a map, objects change',
    draw(random) {
      const changes = [changesOf(random), changesOf(random)];
      return async (world) => {
        const maps = openMaps(pinDirectoryOf(world.node.bpfRoot));
        try {
          const { keySize, valueSize, maxEntries } = maps.affinityMembers.shape;
          const keys = Buffer.alloc(keySize * maxEntries, 0xee);
          for (let i = 0; i < maxEntries; i++) keys.writeUInt32LE(i, i * keySize + 4);
          maps.affinityMembers.updateBatch(keys, Buffer.alloc(valueSize * maxEntries), maxEntries);
        } catch (error) {
          const { code } = error as { code?: string };
          if (code !== 'MAP_FULL' && code !== 'NOT_RUNNING') throw error;
        } finally {
          maps.close();
        }
        for (const change of changes) change(world);
        await delay(200);
      };
    },
  },
  {
    // Seen: while a clsact qdisc goes, some packets pass by the tcx programs.
    name: 'somebody makes a qdisc and removes it',
    disrupts: true,
    draw: () => async (world) => {
      await world.node.run(['tc', 'qdisc', 'replace', 'dev', 'eth0', 'clsact']);
      await delay(100);
      // Before tcx our own filters are in it.
      if (haveTcx()) await world.node.run(['tc', 'qdisc', 'del', 'dev', 'eth0', 'clsact']);
    },
  },
  {
    name: 'pods and devices come, go, flap and change their names',
    draw(random) {
      const name = `flap${random.below(3)}`;
      return async ({ node }) => {
        const [pod] = await node.addPods([name]);
        const device = pod?.device ?? '';
        await ipBatch(node.netns, [`link set ${device} down`, `link set ${device} name other0`, 'link set other0 up']);
        await ipBatch(node.netns, [
          'link add odd0 type veth peer name odd1',
          'link set odd0 up',
          'address add 192.0.2.77/32 dev odd0',
        ]);
        await ipBatch(node.netns, ['link set other0 down', `link set other0 name ${device}`, `link set ${device} up`]);
        await ipBatch(node.netns, ['link del odd0']);
        await node.removePod(name);
      };
    },
  },
  {
    name: 'pins are removed',
    draw(random) {
      const every = 1 + random.below(4);
      return async ({ node, agent }) => {
        // Without an agent the kernel forgets what nobody holds: that is no fault of anybody's.
        if (agent?.logs.some(({ msg }) => msg === 'synced') !== true || agent.exit !== undefined) return;
        const directory = pinDirectoryOf(node.bpfRoot);
        for (const part of ['maps', 'links', 'progs'])
          for (const [i, pin] of readdirSync(join(directory, part)).entries())
            if (i % every === 0) rmSync(join(directory, part, pin), { force: true });
        await delay(2500);
      };
    },
  },
  {
    name: 'the bpffs is unmounted for a while',
    draw(random) {
      const ms = pause(random, 2000);
      return async ({ node, agent }) => {
        if (agent?.logs.some(({ msg }) => msg === 'synced') !== true || agent.exit !== undefined) return;
        const mount = dirname(node.bpfRoot);
        await run('umount', ['-l', mount]);
        await delay(ms);
        await run('mount', ['-t', 'bpf', 'bpf', mount]);
        await delay(2500);
      };
    },
  },
  {
    name: 'links are detached',
    disrupts: true,
    draw(random) {
      const every = 1 + random.below(3);
      return async ({ node }) => {
        const pins = Object.values(linkPins(node)).filter((_, i) => i % every === 0);
        for (const pin of pins) await attempt('bpftool', ['link', 'detach', 'pinned', pin]);
      };
    },
  },
  {
    name: 'rows are deleted, made up and overwritten',
    disrupts: true,
    draw(random) {
      const skip = random.below(5);
      return async ({ node }) => {
        const maps = openMaps(pinDirectoryOf(node.bpfRoot));
        try {
          const tables = [maps.frontends, maps.serviceAddresses, maps.servicePorts, maps.devices, maps.nodeAddresses];
          for (const map of [...tables, maps.sourceRanges, maps.affinityMembers]) {
            const rows = [...map.entries()].slice(skip, skip + 4);
            for (const [i, { key, value }] of rows.entries())
              if (i % 2 === 0) map.delete(key);
              else map.update(key, Buffer.alloc(value.length, i));
          }
          maps.peers.update(Buffer.alloc(maps.peers.shape.keySize, 9), Buffer.alloc(maps.peers.shape.valueSize));
          maps.control.view.fill(0, 4, 7);
          maps.knownAddresses.view.fill(0, 0, 1 << 16);
          maps.backendSlots.view.fill(7, 24 * (1 + skip), 24 * (4 + skip));
          maps.backendStates.view.fill(0, 8 * (1 + skip), 8 * (4 + skip));
        } catch (error) {
          if ((error as Error).message.includes('nothing is pinned')) return;
          throw error;
        } finally {
          maps.close();
        }
      };
    },
  },
];
