/**
 * On which addresses NodePorts answer, under each kind of `nodePortAddresses`.
 * node1 alone runs an agent; it has a second address, and a third on a device of its own.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { DROPPED, expectTable, REFUSED, type Row, whoRow } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const WEB = 11;

const SECOND: Record<IpFamily, string> = { IPv4: '172.30.0.77', IPv6: 'fd30::77' };
const INNER: Record<IpFamily, string> = { IPv4: '192.0.2.1', IPv6: 'fd02::1' };
const PLACES = ['primary', 'second', 'inner', 'bridge'] as const;
type Place = (typeof PLACES)[number];

let stage: Stage;
let backend: Pod;

beforeAll(async () => {
  stage = await Stage.create();
  backend = stage.pod(2, 1);
  const node = stage.node(1);
  await node.run(['ip', 'link', 'add', 'inner0', 'type', 'bridge']);
  await node.run(['ip', 'link', 'set', 'inner0', 'up']);
  for (const [device, addresses] of [
    ['eth0', SECOND],
    ['inner0', INNER],
  ] as const) {
    await node.run(['ip', 'address', 'add', `${addresses.IPv4}/32`, 'dev', device]);
    await node.run(['ip', 'address', 'add', `${addresses.IPv6}/128`, 'dev', device, 'nodad']);
  }
  for (const cidr of [`${INNER.IPv4}/32`, `${INNER.IPv6}/128`, node.podCidrs.IPv4, node.podCidrs.IPv6])
    await stage.lab.route(cidr, 'node1');
  await stage.apply([...stage.nodeObjects, service('web', WEB), ...slices('web', [backend])]);
});
afterAll(() => stage?.destroy());

function addressOf(place: Place, family: IpFamily): string {
  if (place === 'second') return SECOND[family];
  if (place === 'inner') return INNER[family];
  if (place === 'bridge') return family === 'IPv4' ? '10.244.1.1' : 'fd44:0:0:1::1';
  return family === 'IPv4' ? stage.node(1).ipv4 : stage.node(1).ipv6;
}

const clients = (): Record<string, Host> => ({
  pod: stage.pod(1, 2),
  'pod of another node': stage.pod(2, 2),
  node: stage.node(1),
  'other node': stage.node(2),
  outside: stage.client(),
});

/** Where it does not answer, nobody listens: the node's own stack refuses. */
function tableOf(answers: Record<IpFamily, readonly Place[]>): Row[] {
  return Object.entries(clients()).flatMap(([name, from]) =>
    FAMILIES.flatMap((family) =>
      PLACES.map((place) => {
        const question = { from, protocol: 'http', address: addressOf(place, family), port: nodePortOf(WEB) } as const;
        const want = answers[family].includes(place) ? backend.name : REFUSED;
        return whoRow(`${name} → ${place} ${family}`, question, want);
      }),
    ),
  );
}

const every = { IPv4: PLACES, IPv6: PLACES };
const primary = { IPv4: ['primary'], IPv6: ['primary'] } as const;
const CASES: readonly [string, Record<string, unknown>, Record<IpFamily, readonly Place[]>][] = [
  ['nothing said', {}, every],
  ['primary', { nodePortAddresses: ['primary'] }, primary],
  ['mode: nftables', { mode: 'nftables' }, primary],
  ['mode: iptables', { mode: 'iptables' }, every],
  ['mode: iptables, primary', { mode: 'iptables', nodePortAddresses: ['primary'] }, primary],
  [
    'networks of both families',
    { nodePortAddresses: ['172.30.0.64/26', '192.0.2.0/24', 'fd02::/64'] },
    { IPv4: ['second', 'inner'], IPv6: ['inner'] },
  ],
  ['networks of one family', { nodePortAddresses: ['192.0.2.0/24'] }, { IPv4: ['inner'], IPv6: PLACES }],
  [
    'a zero CIDR beside others',
    { nodePortAddresses: ['192.0.2.0/24', '0.0.0.0/0', 'fd30::/64'] },
    { IPv4: PLACES, IPv6: ['primary', 'second'] },
  ],
];

// An undefined key is left out of the file.
const settingsOf = (settings: Record<string, unknown>) => ({ nodePortAddresses: undefined, ...settings });

describe('nodePortAddresses', () => {
  it.each(CASES)('%s (R-53, R-56, R-59)', async (_what, settings, answers) => {
    await stage.run({ nodes: [1], socketLb: 'host-only', settings: settingsOf(settings) });
    await expectTable(tableOf(answers));
  });

  it('hold on the socket path too (R-53)', async () => {
    await stage.run({ nodes: [1], settings: settingsOf({ nodePortAddresses: ['172.30.0.64/26', 'fd02::/64'] }) });
    await expectTable(tableOf({ IPv4: ['second'], IPv6: ['inner'] }));
  });
});

describe('loopback addresses', () => {
  const rows = (want: string): Row[] => {
    const port = nodePortOf(WEB);
    const node = stage.node(1);
    return (['127.0.0.1', '127.8.8.8'] as const).flatMap((address) => [
      whoRow(`node → ${address}`, { from: node, protocol: 'http', address, port }, want),
      whoRow(
        `node → ${address} by UDP`,
        { from: node, protocol: 'sendto', address, port },
        want === REFUSED ? DROPPED : want,
      ),
    ]);
  };
  const never = (): Row[] => {
    const port = nodePortOf(WEB);
    return [
      whoRow('node → ::1', { from: stage.node(1), protocol: 'http', address: '::1', port }, REFUSED),
      whoRow('pod → 127.0.0.1', { from: stage.pod(1, 2), protocol: 'http', address: '127.0.0.1', port }, REFUSED),
    ];
  };
  const accepted = async (): Promise<number> => {
    const metrics = await stage.node(1).run(['curl', '-sS', '--max-time', '10', 'http://127.0.0.1:10249/metrics']);
    const name = 'kubeproxy_iptables_localhost_nodeports_accepted_packets_total';
    return Number(
      metrics
        .split('\n')
        .find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
        ?.split(' ')[1],
    );
  };

  it.each([
    'all',
    'host-only',
  ] as const)('127.0.0.0/8 answers processes of the node, ::1 never, and it is counted, --socket-lb %s (R-55)', async (socketLb) => {
    await stage.run({ nodes: [1], socketLb });
    const before = await accepted();
    await expectTable([...rows(backend.name), ...never()]);
    expect(await accepted()).toBe(before + 4);
  });

  it('127.0.0.0/8 does not answer with localhostNodePorts: false (R-55)', async () => {
    await stage.run({ nodes: [1], settings: { iptables: { localhostNodePorts: false } } });
    await expectTable([...rows(REFUSED), ...never()]);
  });

  it('a packet for 127.0.0.0/8 from outside is never translated (R-55)', async () => {
    await stage.run({ nodes: [1] });
    // node2 sends them out to node1; whether they would come back as answers shows at the backend alone.
    const other = stage.node(2);
    await other.run(['sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1']);
    await stage.node(1).run(['sysctl', '-qw', 'net.ipv4.conf.eth0.route_localnet=1']);
    await other.run(['ip', 'route', 'add', '127.9.9.9/32', 'via', stage.node(1).ipv4, 'dev', 'eth0', 'table', '77']);
    // Its own table of local addresses comes after that one.
    await other.run(['ip', 'rule', 'add', 'pref', '10', 'to', '127.9.9.9', 'lookup', '77']);
    await other.run(['ip', 'rule', 'add', 'pref', '20', 'lookup', 'local']);
    await other.run(['ip', 'rule', 'del', 'pref', '0']);
    const ask = (protocol: 'http' | 'sendto') =>
      whoRow(protocol, { from: other, protocol, address: '127.9.9.9', port: nodePortOf(WEB) }, DROPPED);
    const before = await eth0Packets();
    const answers = await Promise.all(['http' as const, 'sendto' as const].map((protocol) => ask(protocol).ask()));
    expect(answers).not.toContain(backend.name);
    // They did arrive.
    expect(await eth0Packets()).toBeGreaterThan(before);
  });

  const eth0Packets = async (): Promise<number> =>
    JSON.parse(await stage.node(1).run(['ip', '-s', '-j', 'link', 'show', 'eth0']))[0].stats64.rx.packets;
});
