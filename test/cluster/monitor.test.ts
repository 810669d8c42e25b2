/** `sluice monitor` on a live node: what sockets and packets do, who did it and why; one at a time; and no cost after a kill. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { isMonitored } from '../../src/bpf/monitor.ts';
import { type Maps, openMaps } from '../../src/bpf/open-maps.ts';
import { pinDirectoryOf } from '../../src/bpf/paths.ts';
import type { MonitorRow } from '../../src/cli/views/monitor.ts';
import { portOf } from '../support/cluster/dial.ts';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { sluiceCommand } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { poll } from '../support/lab/poll.ts';

const CIDRS = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'ServiceCIDR',
  metadata: { name: 'kubernetes' },
  spec: { cidrs: ['10.96.0.0/16', 'fd96::/108'] },
};
const [WEB, EMPTY, FAR, CLOSED] = [11, 12, 13, 14];

let rig: Rig;
let maps: Maps;
const node = () => rig.lab.node(1);
const client = () => rig.lab.client();
const clusterIp = (n: number) => addressesOf(n).clusterIp.IPv4;

interface Monitor {
  readonly child: ChildProcess;
  readonly rows: MonitorRow[];
  readonly errors: () => string;
  /** The first event that is so. */
  seen(what: Partial<MonitorRow>): Promise<MonitorRow>;
}

const running = new Set<ChildProcess>();

/** Starts one, and waits until packets tell it what happens. */
async function start(...words: string[]): Promise<Monitor> {
  const command = sluiceCommand('monitor', '--bpf-root', node().bpfRoot, '-o', 'json', ...words);
  const child = node().spawn(command, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const rows: MonitorRow[] = [];
  let [text, errors] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (more: string) => {
    const lines = (text + more).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) rows.push(JSON.parse(line) as MonitorRow);
  });
  child.stderr?.setEncoding('utf8').on('data', (more: string) => {
    errors += more;
  });
  await poll('see the monitor begin', () => isMonitored(maps.control, process.hrtime.bigint()));
  const is = (row: MonitorRow, what: Partial<MonitorRow>) =>
    (Object.keys(what) as (keyof MonitorRow)[]).every((key) => row[key] === what[key]);
  return {
    child,
    rows,
    errors: () => errors,
    seen: (what) =>
      poll(`be told of ${JSON.stringify(what)} (told: ${rows.map(({ reason }) => reason)})`, () =>
        rows.find((row) => is(row, what)),
      ) as Promise<MonitorRow>,
  };
}

async function end({ child }: Monitor, signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal);
  const [code] = await exited;
  running.delete(child);
  return code as number | null;
}

beforeAll(async () => {
  rig = await createRig({ nodes: 2 });
  const [here, there] = [rig.lab.pod(1, 1), rig.lab.pod(2, 1)];
  const [first, second] = rig.lab.nodes.map(nodeObject);
  rig.manifests.write('nodes.json', [...(first ? [first] : []), ...(second ? [second] : []), CIDRS]);
  rig.manifests.write('services.json', [
    service('web', WEB),
    ...slices('web', [here]),
    service('empty', EMPTY),
    ...slices('empty', []),
    service('far', FAR, { externalTrafficPolicy: 'Local' }),
    ...slices('far', [there]),
    service('closed', CLOSED, { loadBalancerSourceRanges: ['203.0.113.0/24'] }),
    ...slices('closed', [here]),
  ]);
  await rig.startAgent(1, { timeoutMs: 60_000 });
  maps = openMaps(pinDirectoryOf(node().bpfRoot));
  const ask = () => node().actor.http(clusterIp(WEB), 80);
  await poll('reach the Service', async () => (await ask()).who !== undefined);
});
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
});
afterAll(async () => {
  maps?.close();
  await rig?.lab.destroy();
});

const dial = (from: Host, address: string, port: number) => from.actor.http(address, port);

it('a process that connects: which one, to which backend; and one that is refused', async () => {
  const monitor = await start();
  await dial(node(), clusterIp(WEB), 80);
  expect(await monitor.seen({ reason: 'SOCKET_CONNECT', name: 'web' })).toMatchObject({
    event: 'new',
    protocol: 'TCP',
    frontend: `${clusterIp(WEB)}:80`,
    backend: expect.stringMatching(`^${rig.lab.pod(1, 1).ipv4}:`),
    client: expect.stringMatching(/^\S+ \(\d+\)$/),
  });
  await node().actor.udp(clusterIp(WEB), portOf('udp', false, WEB));
  await monitor.seen({ event: 'new', protocol: 'UDP', name: 'web' });
  await dial(node(), clusterIp(EMPTY), 80);
  expect(await monitor.seen({ reason: 'REJECT_NO_BACKEND' })).toMatchObject({
    event: 'refused',
    name: 'empty',
    backend: '',
    meaning: 'refused: the service has no usable endpoint',
  });
  await node()
    .actor.serve({ http: [nodePortOf(WEB)], udp: [], addresses: [node().ipv4] })
    .catch(() => undefined);
  expect(await monitor.seen({ reason: 'SOCKET_BIND_REFUSED' })).toMatchObject({
    event: 'refused',
    frontend: `*:${nodePortOf(WEB)}`,
    name: 'web',
  });
  expect(await end(monitor)).toBe(0);
  expect(monitor.errors()).toBe('');
});

it('packets from outside, each with its reason, Service, client and backend', async () => {
  const monitor = await start();
  const from = expect.stringMatching(`^${client().ipv4}:\\d+$`);
  await dial(client(), node().ipv4, nodePortOf(WEB));
  expect(await monitor.seen({ reason: 'NEW_FLOW', name: 'web' })).toMatchObject({
    event: 'new',
    client: from,
    frontend: `${node().ipv4}:${nodePortOf(WEB)}`,
    backend: expect.stringMatching(`^${rig.lab.pod(1, 1).ipv4}:`),
  });
  await dial(client(), node().ipv4, nodePortOf(EMPTY));
  expect(await monitor.seen({ reason: 'REJECT_NO_BACKEND', name: 'empty' })).toMatchObject({ client: from });
  const lost = dial(client(), node().ipv4, nodePortOf(FAR));
  expect(await monitor.seen({ reason: 'DROP_NO_LOCAL_BACKEND', name: 'far' })).toMatchObject({
    event: 'dropped',
    client: from,
  });
  const closed = dial(client(), addressesOf(CLOSED).balancerIp.IPv4, 80);
  expect(await monitor.seen({ reason: 'DROP_SOURCE_RANGE', name: 'closed' })).toMatchObject({ event: 'dropped' });
  await Promise.all([lost, closed]);
  await end(monitor);
});

it('filters by Service, client and reason, and ends after so many', async () => {
  const monitor = await start('--service', 'far', '--reason', 'dropped', '--client', client().ipv4, '--count', '2');
  const exited = once(monitor.child, 'exit');
  await dial(client(), node().ipv4, nodePortOf(WEB));
  await dial(client(), node().ipv4, nodePortOf(EMPTY));
  await dial(rig.lab.node(2), node().ipv4, nodePortOf(FAR));
  await Promise.all([1, 2, 3].map(() => dial(client(), node().ipv4, nodePortOf(FAR))));
  expect((await exited)[0]).toBe(0);
  expect(monitor.rows.map(({ name, reason }) => `${name} ${reason}`)).toEqual(
    Array(2).fill('far DROP_NO_LOCAL_BACKEND'),
  );
  expect(isMonitored(maps.control, process.hrtime.bigint())).toBe(false);
});

it('a second one is refused; one that was killed leaves nothing on', async () => {
  const monitor = await start();
  const { code, stderr } = await node().exec(sluiceCommand('monitor', '--bpf-root', node().bpfRoot));
  expect(code).toBe(1);
  expect(stderr).toMatch(/process \d+ holds it; that is another "sluice monitor"/);
  await end(monitor, 'SIGKILL');
  await poll('see its deadline pass', () => !isMonitored(maps.control, process.hrtime.bigint()), { timeoutMs: 20_000 });
  await end(await start());
  expect(isMonitored(maps.control, process.hrtime.bigint())).toBe(false);
});
