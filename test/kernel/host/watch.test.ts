import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { selectNodeDevices, selectPodDevices } from '../../../src/host/select-devices.ts';
import type { HostDevice, HostState } from '../../../src/host/state.ts';
import { poll } from '../../support/lab/poll.ts';
import { newRunId } from '../../support/run-id.ts';

interface Line {
  host?: HostState;
  problem?: string;
  ended?: boolean;
}

const NEVER = '100000000';

let namespace: string;
let podNamespace: string;
let children: ChildProcess[];

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const inNode = (command: string) => ip('-n', namespace, ...command.split(' '));

beforeEach(() => {
  const id = newRunId();
  namespace = `sl-${id}-node`;
  podNamespace = `sl-${id}-pod`;
  children = [];
  ip('netns', 'add', namespace);
  ip('netns', 'add', podNamespace);
  inNode('link set lo up');
  inNode(`link add eth0 type veth peer name wire netns ${podNamespace}`);
  inNode('addr add 192.0.2.10/24 dev eth0');
  inNode('link set eth0 up');
  inNode('route add default via 192.0.2.1');
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
  for (const name of [namespace, podNamespace]) ip('netns', 'del', name);
});

/** Starts the watcher in the namespace; `next` resolves with the first new line that satisfies the condition. */
function watcher(rescan: string, path = process.env.PATH) {
  const script = join(import.meta.dirname, 'watcher.ts');
  const child = spawn(
    'ip',
    ['netns', 'exec', namespace, 'env', `PATH=${path}`, process.execPath, '--import', 'tsx', script, rescan],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (matches: (line: Line) => boolean): Promise<Line> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error('the watcher ended');
      const line = JSON.parse(value) as Line;
      if (matches(line)) return line;
    }
  };
  return { child, next };
}

const named = (line: Line, name: string): HostDevice | undefined =>
  line.host?.devices.find((device) => device.name === name);
const names = (devices: readonly HostDevice[]) => devices.map(({ name }) => name);

/** Processes of the namespace other than the watcher. */
const helpers = (child: ChildProcess) =>
  ip('netns', 'pids', namespace)
    .split('\n')
    .filter((pid) => pid !== '' && pid !== String(child.pid));

describe('watchHost in a network namespace', () => {
  test('sees devices, addresses and routes come and go', async () => {
    const { next } = watcher(NEVER);
    const first = await next((line) => named(line, 'eth0') !== undefined);
    const host = first.host as HostState;
    expect(named(first, 'eth0')).toMatchObject({ kind: 'veth', up: true, mtu: 1500, hasEthernet: true });
    expect(named(first, 'eth0')?.addresses[0]).toMatchObject({ address: '192.0.2.10', prefix: 24, scope: 'global' });
    expect(host.defaultRoutes).toEqual([{ family: 'IPv4', device: 'eth0', gateway: '192.0.2.1' }]);
    expect(names(selectNodeDevices(host, undefined))).toEqual(['eth0']);

    inNode('link add cni0 type bridge');
    inNode(`link add vetha type veth peer name eth0 netns ${podNamespace}`);
    inNode('link set vetha master cni0');
    const pod = await next((line) => named(line, 'vetha')?.master === 'cni0');
    expect(names(selectPodDevices(pod.host as HostState, selectNodeDevices(pod.host as HostState, undefined)))).toEqual(
      ['vetha'],
    );

    inNode('link add flannel.1 type vxlan id 1 dstport 8472 local 192.0.2.10 dev eth0');
    inNode('addr add 10.244.1.0/32 dev flannel.1');
    const overlay = await next((line) => (named(line, 'flannel.1')?.addresses.length ?? 0) > 0);
    expect(names(selectNodeDevices(overlay.host as HostState, undefined))).toEqual(['eth0', 'flannel.1']);

    inNode('addr add 192.0.2.20/24 dev eth0');
    const more = await next((line) => (named(line, 'eth0')?.addresses.length ?? 0) > 1);
    expect(named(more, 'eth0')?.addresses[1]).toMatchObject({ address: '192.0.2.20', secondary: true });

    inNode('link del vetha');
    await next((line) => line.host !== undefined && named(line, 'vetha') === undefined);
    inNode('route del default');
    await next((line) => line.host?.defaultRoutes.length === 0);
  });

  test('reports a burst once settled, and a route that is no part of the state', async () => {
    const { next } = watcher(NEVER);
    await next((line) => line.host !== undefined);
    for (let i = 1; i <= 20; i++) inNode(`addr add 198.51.100.${i}/24 dev eth0`);
    const full = await next((line) => named(line, 'eth0')?.addresses.length === 21);
    inNode('route add 203.0.113.0/24 via 192.0.2.1');
    expect(await next((line) => line.host !== undefined)).toEqual(full);
  });

  test('sees ports that are reserved, and no longer', async () => {
    const reserve = (ports: string) =>
      ip('netns', 'exec', namespace, 'sh', '-c', `echo "${ports}" >/proc/sys/net/ipv4/ip_local_reserved_ports`);
    const { next } = watcher('100');
    expect((await next((line) => line.host !== undefined)).host?.reservedPorts).toEqual([]);
    const many = Array.from({ length: 4000 }, (_, i) => 10_000 + 2 * i).join();
    reserve(`8080,9000-9100,${many}`);
    const { host } = await next((line) => (line.host?.reservedPorts.length ?? 0) > 0);
    expect(host?.reservedPorts).toHaveLength(4002);
    expect(host?.reservedPorts.slice(0, 2)).toEqual([
      { first: 8080, last: 8080 },
      { first: 9000, last: 9100 },
    ]);
    expect(host?.reservedPorts.at(-1)).toEqual({ first: 17_998, last: 17_998 });
    reserve('');
    await next((line) => line.host?.reservedPorts.length === 0);
  });

  test('goes on when the monitor dies, and sees what changed meanwhile', async () => {
    const { child, next } = watcher(NEVER);
    await next((line) => line.host !== undefined);
    await poll('see the monitor', () => helpers(child).length === 1);
    const isMonitor = (pid: string) => execFileSync('cat', [`/proc/${pid}/comm`], { encoding: 'utf8' }).trim() === 'ip';
    const [monitor] = helpers(child).filter(isMonitor);
    process.kill(Number(monitor), 'SIGKILL');
    await next((line) => line.problem?.includes('ip monitor ended') === true);
    inNode('addr add 192.0.2.30/24 dev eth0');
    await next((line) => (named(line, 'eth0')?.addresses.length ?? 0) > 1);
    inNode('addr add 192.0.2.31/24 dev eth0');
    await next((line) => (named(line, 'eth0')?.addresses.length ?? 0) > 2);
  });

  test('ends on abort, with its monitor', async () => {
    const { child, next } = watcher(NEVER);
    await next((line) => line.host !== undefined);
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await next((line) => line.ended === true);
    expect(await ended).toEqual([0, null]);
    expect(helpers(child)).toEqual([]);
  });

  test('leaves no monitor behind when the agent is killed', async () => {
    const { child, next } = watcher(NEVER);
    await next((line) => line.host !== undefined);
    await poll('see the monitor', () => helpers(child).length === 1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await poll('see no process', () => helpers(child).length === 0);
  });

  test('says so when the program ip is missing', async () => {
    const { child, next } = watcher(NEVER, '/nonexistent');
    const { problem } = await next((line) => line.problem?.includes('read') === true);
    expect(problem).toBe('read network devices: the program ip is missing; install iproute2');
    child.kill('SIGTERM');
    await next((line) => line.ended === true);
  });
});
