/**
 * What of Services and EndpointSlices is served, by who answers (R-1, R-5…R-16): from a pod per packet,
 * from the node by its socket, and from outside. Only node1 runs an agent.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Endpoint, EndpointSlice, KubernetesObject, Service } from '../../src/model/kubernetes.ts';
import type { Protocol } from '../support/cluster/dial.ts';
import { addressesOf, nodePortOf, POD_PORTS, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import {
  ask,
  askAll,
  DROPPED,
  expectTable,
  type Question,
  REFUSED,
  type Row,
  whoAnswers,
  whoRow,
} from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const WEB = 11;
/** The pods serve HTTP here too; on 8082 by TCP, on 5354 by UDP. */
const OTHER_HTTP = 8081;

let stage: Stage;
let here: Pod;
let there: Pod;

beforeAll(async () => {
  stage = await Stage.create();
  [here, there] = [stage.pod(1, 1), stage.pod(2, 1)];
  for (const pod of [here, there]) await pod.actor.serve({ http: [OTHER_HTTP], udp: [OTHER_HTTP] });
  await stage.run({ nodes: [1], socketLb: 'host-only' });
});
afterAll(() => stage?.destroy());

const clients = (): Record<string, Host> => ({
  pod: stage.pod(1, 2),
  node: stage.node(1),
  outside: stage.client(),
});
const ipOf = (host: Host, family: IpFamily) => (family === 'IPv4' ? host.ipv4 : host.ipv6);
const clusterIp = (family: IpFamily, n = WEB) => addressesOf(n).clusterIp[family];

/** The same question from each client. */
function fromAll(what: string, question: Omit<Question, 'from'>, want: string): Row[] {
  return Object.entries(clients()).map(([name, from]) => whoRow(`${name} ${what}`, { from, ...question }, want));
}

/** A port of the cluster IP, in each family. */
function ofClusterIp(port: number, want: string, protocol: Protocol = 'http'): Row[] {
  return FAMILIES.flatMap((family) =>
    fromAll(`${protocol} ${family} ${port}`, { protocol, address: clusterIp(family), port }, want),
  );
}

/** The NodePort of node1, in each family. */
function ofNodePort(port: number, want: string, protocol: Protocol = 'http'): Row[] {
  return FAMILIES.flatMap((family) =>
    fromAll(`${protocol} ${family} NodePort ${port}`, { protocol, address: ipOf(stage.node(1), family), port }, want),
  );
}

type Ports = NonNullable<EndpointSlice['ports']>;

/** A slice a family of a Service, with ports and endpoints as given. */
function slicesOf(
  name: string,
  ports: Ports,
  endpoints: (family: IpFamily) => Endpoint[],
  of = 'web',
): EndpointSlice[] {
  return FAMILIES.map((addressType) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${addressType.toLowerCase()}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': of },
    },
    addressType,
    ports,
    endpoints: endpoints(addressType),
  }));
}

const ready = (pod: Pod) => (family: IpFamily) => [{ addresses: [ipOf(pod, family)], nodeName: pod.node.name }];
const http = (port: number, name = 'http') => ({ name, port, protocol: 'TCP' });

async function answering(question: Question): Promise<string[]> {
  const probes = Array.from({ length: 24 }, () => ask(question, '').then(whoAnswers));
  return [...new Set(await Promise.all(probes))].sort();
}

describe('what is no Service to serve', () => {
  it('headless and ExternalName, whatever else they carry (R-1)', async () => {
    const web = service('web', WEB);
    const without = (spec: Service['spec']): Service => ({ ...web, spec: { ...web.spec, ...spec } });
    const headless = without({ clusterIP: 'None', clusterIPs: ['None'] });
    const alias = without({ type: 'ExternalName' });
    for (const object of [headless, alias]) {
      await stage.apply([object, ...slices('web', [here])]);
      const { externalIp } = addressesOf(WEB);
      // Nobody has these addresses: the router sends them back and forth.
      await expectTable([
        ...fromAll('ExternalIP', { protocol: 'udp', address: externalIp.IPv4, port: 53 }, DROPPED).filter(
          ({ name }) => !name.startsWith('node'),
        ),
        ...ofNodePort(nodePortOf(WEB), REFUSED),
      ]).catch((error: Error) => {
        throw new Error(`${object.spec?.type} ${object.spec?.clusterIP}: ${error.message}`, { cause: error });
      });
    }
  });

  it('hostnames and ipMode Proxy of load balancers; VIP and unset count (R-13, R-14)', async () => {
    const { balancerIp, externalIp } = addressesOf(WEB);
    const web = service('web', WEB, { externalIPs: [] });
    const ingress = [
      { hostname: balancerIp.IPv4 },
      { ip: balancerIp.IPv6, ipMode: 'Proxy' },
      { ip: externalIp.IPv4, ipMode: 'VIP' },
      { ip: externalIp.IPv6 },
    ];
    const balanced: Service = { ...web, status: { loadBalancer: { ingress } } };
    await stage.apply([balanced, ...slices('web', [here])]);
    const rows = (address: string, want: string) =>
      (['pod', 'outside'] as const).map((name) =>
        whoRow(`${name} ${address}`, { from: clients()[name] as Host, protocol: 'http', address, port: 80 }, want),
      );
    const served = [...rows(externalIp.IPv4, here.name), ...rows(externalIp.IPv6, here.name)];
    await expectTable(served);
    // They leave the node as any address that nobody knows: until their time to live is over.
    const foreign = [...rows(balancerIp.IPv4, DROPPED), ...rows(balancerIp.IPv6, DROPPED)];
    for (const answer of Object.values(await askAll(foreign)))
      expect([DROPPED, 'EHOSTUNREACH', 'ENETUNREACH']).toContain(answer);
  });
});

describe('ports', () => {
  it('join by name and protocol: targetPort is not looked at (R-6, R-11)', async () => {
    const ports = [
      { name: 'http', port: 80, protocol: 'TCP', targetPort: 4444, nodePort: nodePortOf(WEB), appProtocol: 'h2c' },
      { name: 'admin', port: 81, protocol: 'TCP', targetPort: 'nothing' },
      { name: 'lost', port: 82, protocol: 'TCP', targetPort: POD_PORTS.http },
      { name: 'udp', port: 80, protocol: 'UDP', targetPort: 4444 },
    ];
    const served = [
      http(POD_PORTS.http),
      http(OTHER_HTTP, 'admin'),
      { name: 'lost', port: POD_PORTS.http, protocol: 'UDP' },
      { name: 'udp', port: POD_PORTS.udp, protocol: 'UDP' },
    ];
    await stage.apply([service('web', WEB, { ports }), ...slicesOf('web', served, ready(there))]);
    await expectTable([
      ...ofClusterIp(80, there.name),
      ...ofClusterIp(81, there.name),
      ...ofClusterIp(82, REFUSED),
      ...ofClusterIp(80, there.name, 'udp'),
      ...ofNodePort(nodePortOf(WEB), there.name),
    ]);
    const { serverPort } = await ask(
      { from: stage.client(), protocol: 'http', address: clusterIp('IPv6'), port: 81 },
      '',
    );
    expect(serverPort).toBe(OTHER_HTTP);
  });

  it('an endpoint keeps the number of its own slice (R-7)', async () => {
    await stage.apply([
      service('web', WEB),
      ...slicesOf('a', [http(POD_PORTS.http)], ready(here)),
      ...slicesOf('b', [http(OTHER_HTTP)], ready(there)),
    ]);
    for (const from of Object.values(clients())) {
      for (const family of FAMILIES) {
        const question = { from, protocol: 'http', address: clusterIp(family), port: 80 } as const;
        const probes = await Promise.all(Array.from({ length: 24 }, () => ask(question, '')));
        const seen = new Set(probes.map(({ who, serverPort, errno }) => `${who ?? errno} ${serverPort}`));
        expect([...seen].sort()).toEqual([`${here.name} ${POD_PORTS.http}`, `${there.name} ${OTHER_HTTP}`].sort());
      }
    }
  });

  it('without a name or a number in a slice are none (R-6)', async () => {
    const nameless = [{ name: null, port: POD_PORTS.http, protocol: 'TCP' }];
    const numberless = [{ name: 'http', port: null, protocol: 'TCP' }];
    for (const ports of [nameless, numberless]) {
      await stage.apply([service('web', WEB), ...slicesOf('web', ports, ready(here))]);
      await expectTable(ofClusterIp(80, REFUSED));
    }
  });

  it('TCP and UDP on one number are apart: a change to one leaves the other (R-15)', async () => {
    const ports = [
      { name: 'tcp', port: 80, protocol: 'TCP', nodePort: nodePortOf(WEB) },
      { name: 'udp', port: 80, protocol: 'UDP', nodePort: nodePortOf(WEB) },
    ];
    const byTcp = slicesOf('t', [http(POD_PORTS.http, 'tcp')], ready(here));
    const byUdp = slicesOf('u', [{ name: 'udp', port: POD_PORTS.udp, protocol: 'UDP' }], ready(there));
    const table = (tcp: string, udp: string) => [
      ...ofClusterIp(80, tcp),
      ...ofClusterIp(80, udp, 'udp'),
      ...ofNodePort(nodePortOf(WEB), tcp),
      // Where it is gone the node's own stack answers, as often as its limit for ICMP errors lets it.
      ...(udp === REFUSED ? [] : ofNodePort(nodePortOf(WEB), udp, 'udp')),
    ];
    await stage.apply([service('web', WEB, { ports }), ...byTcp, ...byUdp]);
    await expectTable(table(here.name, there.name));
    await stage.apply([service('web', WEB, { ports }), ...byUdp]);
    await expectTable(table(REFUSED, there.name));
    await stage.apply([service('web', WEB, { ports: ports.slice(0, 1) }), ...byTcp, ...byUdp]);
    await expectTable(table(here.name, REFUSED));
  });
});

describe('endpoints', () => {
  it('of slices without the label, of another type or of another family do not count (R-5)', async () => {
    const [v4] = slices('web', [there]);
    const unlabelled = { ...v4, metadata: { name: 'unlabelled', namespace: 'default' } };
    const named = { ...v4, metadata: { ...v4?.metadata, name: 'fqdn' }, addressType: 'FQDN' };
    const crossed = { ...v4, metadata: { ...v4?.metadata, name: 'crossed' }, addressType: 'IPv6' };
    await stage.apply([service('web', WEB), unlabelled, named, crossed] as KubernetesObject[]);
    await expectTable(ofClusterIp(80, REFUSED));
    await stage.apply([
      service('web', WEB),
      unlabelled,
      named,
      crossed,
      ...slices('web', [here]),
    ] as KubernetesObject[]);
    for (const from of Object.values(clients()))
      expect(await answering({ from, protocol: 'http', address: clusterIp('IPv4'), port: 80 })).toEqual([here.name]);
  });

  it('have one address each, and are ready unless told otherwise (R-8, R-9)', async () => {
    const endpoints = (family: IpFamily): Endpoint[] => [
      { addresses: [ipOf(there, family), ipOf(here, family)], nodeName: 'node2' },
      { addresses: [ipOf(stage.pod(1, 2), family)], conditions: { ready: null, serving: null, terminating: null } },
    ];
    await stage.apply([service('web', WEB), ...slicesOf('web', [http(POD_PORTS.http)], endpoints)]);
    const wanted = [there.name, stage.pod(1, 2).name].sort();
    for (const from of [stage.node(1), stage.client()])
      expect(await answering({ from, protocol: 'http', address: clusterIp('IPv6'), port: 80 })).toEqual(wanted);
  });

  it('are local by the name of their node, not by their address (R-9)', async () => {
    const endpoints = (family: IpFamily): Endpoint[] => [
      { addresses: [ipOf(here, family)], nodeName: 'node2' },
      { addresses: [ipOf(there, family)], nodeName: 'node1' },
    ];
    const policies = { internalTrafficPolicy: 'Local', externalTrafficPolicy: 'Local' };
    await stage.apply([service('web', WEB, policies), ...slicesOf('web', [http(POD_PORTS.http)], endpoints)]);
    await expectTable(ofClusterIp(80, there.name));
  });

  it('twice the same is one, and the living one wins (R-10)', async () => {
    const terminating = { ready: false, serving: true, terminating: true };
    const one = slicesOf('a', [http(POD_PORTS.http)], (family) =>
      ready(here)(family).map((endpoint) => ({ ...endpoint, conditions: terminating })),
    );
    const other = slicesOf('b', [http(POD_PORTS.http)], ready(here));
    for (const objects of [
      [...one, ...other],
      [...other, ...one],
    ]) {
      await stage.apply([service('web', WEB), ...objects, ...slicesOf('c', [http(POD_PORTS.http)], ready(there))]);
      const question = { from: stage.client(), protocol: 'http', address: clusterIp('IPv4'), port: 80 } as const;
      expect(await answering(question)).toEqual([here.name, there.name].sort());
    }
  });

  it('of one family alone: the other is refused (R-12)', async () => {
    const [v4, v6] = slices('web', [here]);
    for (const [slice, served] of [
      [v4, 'IPv4'],
      [v6, 'IPv6'],
    ] as const) {
      await stage.apply([service('web', WEB), slice as EndpointSlice]);
      const want = (family: IpFamily) => (family === served ? here.name : REFUSED);
      await expectTable(
        [...ofClusterIp(80, ''), ...ofNodePort(nodePortOf(WEB), '')].map((row) => ({
          ...row,
          want: want(row.name.includes('IPv4') ? 'IPv4' : 'IPv6'),
        })),
      );
    }
  });
});

it('changes of type, of port numbers and of names leave nothing behind (R-16)', async () => {
  const backends = slices('web', [here]);
  const ports = (port: number, nodePort: number, name = 'http') => ({
    ports: [{ name, port, protocol: 'TCP', nodePort }],
  });
  const [first, second] = [nodePortOf(WEB), nodePortOf(WEB + 1)];
  const balancer = addressesOf(WEB).balancerIp.IPv4;
  const ofBalancer = (want: string) =>
    fromAll('LoadBalancer', { protocol: 'http', address: balancer, port: 80 }, want).filter(
      ({ name }) => want !== DROPPED || name.startsWith('outside'),
    );
  await stage.apply([service('web', WEB, ports(80, first)), ...backends]);
  await expectTable([...ofClusterIp(80, here.name), ...ofNodePort(first, here.name), ...ofBalancer(here.name)]);
  // Renumbered.
  await stage.apply([service('web', WEB, ports(8000, second)), ...backends]);
  await expectTable([
    ...ofClusterIp(8000, here.name),
    ...ofNodePort(second, here.name),
    ...ofClusterIp(80, REFUSED),
    ...ofNodePort(first, REFUSED),
  ]);
  // ClusterIP alone: no NodePort, no load balancer.
  const plain = service('web', WEB, { type: 'ClusterIP', externalIPs: [], ports: [{ name: 'http', port: 80 }] });
  const unbalanced: Service = { ...plain, status: {} };
  await stage.apply([unbalanced, ...backends]);
  await expectTable([...ofClusterIp(80, here.name), ...ofNodePort(second, REFUSED), ...ofClusterIp(8000, REFUSED)]);
  // A name that no slice has; then the slices follow.
  await stage.apply([service('web', WEB, ports(80, first, 'renamed')), ...backends]);
  await expectTable([...ofClusterIp(80, REFUSED), ...ofNodePort(first, REFUSED)]);
  await stage.apply([
    service('web', WEB, ports(80, first, 'renamed')),
    ...slicesOf('web', [http(POD_PORTS.http, 'renamed')], ready(there)),
  ]);
  await expectTable([...ofClusterIp(80, there.name), ...ofNodePort(first, there.name), ...ofBalancer(there.name)]);
  await stage.apply([
    { ...plain, spec: { ...plain.spec, type: 'ExternalName', externalName: 'example.org' } } as Service,
  ]);
  await expectTable(ofNodePort(first, REFUSED));
  await stage.apply([service('web', WEB, ports(80, first)), ...backends]);
  await expectTable([...ofClusterIp(80, here.name), ...ofNodePort(first, here.name)]);
});
