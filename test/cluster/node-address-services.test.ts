/**
 * Services whose load-balancer address or external IP is an address of a node, as a load balancer that runs on the
 * nodes themselves writes it. The Service has its ports; all else of the address stays the node's.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../src/model/kubernetes.ts';
import { type Protocol, portOf } from '../support/cluster/dial.ts';
import { service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { expectTable, REFUSED, type Row, whoRow } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';
import type { LabNode, Pod } from '../support/lab/node.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const WEB = 11;
const EMPTY = 12;
/** A node's own process has it; nobody has the next. */
const OTHER_PORT = 2222;
const CLOSED_PORT = 2223;
/** What hears an answer, whatever address it comes from, and what hears a refusal. */
const ANSWERED: readonly Protocol[] = ['http', 'sendto'];
const SERVED: readonly Protocol[] = ['http', 'udp', 'sendto'];
const REFUSING: readonly Protocol[] = ['http', 'udp'];

let stage: Stage;
let backend: Pod;

beforeAll(async () => {
  stage = await Stage.create();
  backend = stage.pod(2, 1);
  const ports = { http: [portOf('http', false, WEB), OTHER_PORT], udp: [portOf('udp', false, WEB), OTHER_PORT] };
  await Promise.all(stage.lab.nodes.map((node) => node.actor.serve(ports)));
  // A refusal goes back the way that the packet came: by the router.
  for (const node of stage.lab.nodes)
    for (const family of FAMILIES) await stage.lab.route(node.podCidrs[family] ?? '', node.name);
});
afterAll(() => stage?.destroy());

const own = (host: Host, family: IpFamily) => (family === 'IPv4' ? host.ipv4 : host.ipv6);

/** A Service at the addresses of both nodes. */
function onNodes(name: string, n: number, as: 'load balancer' | 'external IP'): Service {
  const addresses = stage.lab.nodes.flatMap((node) => FAMILIES.map((family) => own(node, family)));
  const plain = service(name, n, { externalIPs: as === 'external IP' ? addresses : [] });
  const ingress = as === 'load balancer' ? addresses.map((ip) => ({ ip })) : [];
  return { ...plain, status: { loadBalancer: { ingress } } };
}

const clients = (): readonly Host[] => [stage.pod(1, 2), stage.node(1), stage.pod(2, 2), stage.node(2), stage.client()];

/** Every client asks every node, in both families. */
function table(
  protocols: readonly Protocol[],
  want: (node: LabNode) => string,
  port: (protocol: Protocol) => number,
): Row[] {
  return clients().flatMap((from) =>
    stage.lab.nodes.flatMap((node) =>
      FAMILIES.flatMap((family) =>
        protocols.map((protocol) => {
          const question = { from, protocol, address: own(node, family), port: port(protocol) };
          return whoRow(`${from.name} → ${node.name} ${family} ${protocol} ${question.port}`, question, want(node));
        }),
      ),
    ),
  );
}

const nameOf = ({ name }: LabNode) => name;
const servicePort = (protocol: Protocol) => portOf(protocol, false, WEB);
const ping = async (from: Host, address: string, seconds = 10) =>
  (await from.exec(['ping', '-n', '-c', '1', '-W', String(seconds), address])).code;

describe.each(['all', 'host-only'] as const)('--socket-lb %s', (socketLb) => {
  beforeAll(() => stage.run({ socketLb }));

  describe.each(['load balancer', 'external IP'] as const)('as %s', (as) => {
    it('the Service has its port, before a process of the node, for everyone (R-57)', async () => {
      await stage.apply([...stage.nodeObjects, onNodes('web', WEB, as), ...slices('web', [backend])]);
      await expectTable(table(SERVED, () => backend.name, servicePort));
    });

    it('other ports are the node’s: not refused, as those of a cluster IP are (R-32)', async () => {
      await expectTable(table(ANSWERED, nameOf, () => OTHER_PORT));
      // The kernel tells of closed UDP ports once a second.
      await expectTable(
        table(
          ['http'],
          () => REFUSED,
          () => CLOSED_PORT,
        ),
      );
    });

    it('without endpoints it refuses, though a process of the node would answer (R-28)', async () => {
      await stage.apply([...stage.nodeObjects, onNodes('empty', EMPTY, as), ...slices('empty', [])]);
      await expectTable(table(REFUSING, () => REFUSED, servicePort));
    });

    it('when it is gone the node has its port again', async () => {
      await stage.apply(stage.nodeObjects);
      await expectTable(table(ANSWERED, nameOf, servicePort));
    });

    it('pings are the node’s to answer, and nobody’s when it is down (R-97)', async () => {
      await stage.apply([...stage.nodeObjects, onNodes('web', WEB, as), ...slices('web', [stage.pod(1, 1)])]);
      const far = stage.node(2);
      const near = [stage.node(1), stage.pod(1, 2)];
      for (const family of FAMILIES) {
        for (const from of clients())
          for (const node of stage.lab.nodes)
            expect([from.name, node.name, family, await ping(from, own(node, family))]).toEqual([
              from.name,
              node.name,
              family,
              0,
            ]);
      }
      // Silent, not down: its addresses and routes stay as they are.
      const echo = ['net.ipv4.icmp_echo_ignore_all', 'net.ipv6.icmp.echo_ignore_all'];
      await far.run(['sysctl', '-qw', ...echo.map((name) => `${name}=1`)]);
      try {
        for (const family of FAMILIES)
          for (const from of [...near, stage.client(), far])
            expect([from.name, family, await ping(from, own(far, family), 1)]).toEqual([from.name, family, 1]);
      } finally {
        await far.run(['sysctl', '-qw', ...echo.map((name) => `${name}=0`)]);
      }
    });
  });
});

describe('an object of an old cluster', () => {
  /** `10.96.0.11` as `010.096.000.011`, `fd96::b` as `0fd96::000b`. */
  const padded = (address: string) =>
    address.includes(':')
      ? address.replace(/[0-9a-f]+/g, (group) => group.padStart(4, '0'))
      : address.replace(/\d+/g, (group) => group.padStart(3, '0'));

  it('has addresses with leading zeros: they are decimal (R-12)', async () => {
    await stage.run({});
    const plain = service('web', WEB);
    const spec = plain.spec ?? {};
    const ingress = plain.status?.loadBalancer?.ingress ?? [];
    const old: Service = {
      ...plain,
      spec: {
        ...spec,
        clusterIP: padded(spec.clusterIP ?? ''),
        clusterIPs: (spec.clusterIPs ?? []).map(padded),
        externalIPs: (spec.externalIPs ?? []).map(padded),
        loadBalancerSourceRanges: [padded('172.31.0.0/16'), 'fd31::0000/064'],
      },
      status: { loadBalancer: { ingress: ingress.map(({ ip = '' }) => ({ ip: padded(ip) })) } },
    };
    const endpoints = slices('web', [backend]).map((slice) => ({
      ...slice,
      endpoints: (slice.endpoints ?? []).map((endpoint) => ({
        ...endpoint,
        addresses: (endpoint.addresses ?? []).map(padded),
      })),
    }));
    await stage.apply([...stage.nodeObjects, old, ...endpoints]);
    const addresses = [
      ...(spec.clusterIPs ?? []),
      ...(spec.externalIPs ?? []),
      ...ingress.flatMap(({ ip }) => (ip === undefined ? [] : [ip])),
    ];
    await expectTable(
      addresses.map((address) =>
        whoRow(address, { from: stage.client(), protocol: 'http', address, port: servicePort('http') }, backend.name),
      ),
    );
  });
});

it('a health check node port listens on loopback where nodePortAddresses names it (R-75)', async () => {
  const HEALTH = 31_997;
  const checked = service('checked', WEB, { externalTrafficPolicy: 'Local', healthCheckNodePort: HEALTH });
  await stage.apply([...stage.nodeObjects, checked, ...slices('checked', [stage.pod(1, 1)])]);
  const node = stage.node(1);
  const code = async (address: string) => {
    const probe = await node.actor.http(address, HEALTH);
    return probe.status ?? probe.errno;
  };
  await stage.run({ nodes: [1], settings: { nodePortAddresses: ['127.0.0.0/8', '172.30.0.0/16', '::1/128'] } });
  await expect.poll(() => code('127.0.0.1')).toBe(200);
  await expect.poll(() => code('::1')).toBe(200);
  await expect.poll(() => code(node.ipv4)).toBe(200);
  expect(await code(node.ipv6)).toBe(REFUSED);
  await stage.run({ nodes: [1], settings: { nodePortAddresses: ['172.30.0.0/16', 'fd30::/64'] } });
  await expect.poll(() => code(node.ipv4)).toBe(200);
  expect(await code('127.0.0.1')).toBe(REFUSED);
});
