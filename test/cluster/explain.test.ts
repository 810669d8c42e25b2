/** `sluice explain` and real traffic agree: who answers or why nobody does, and whose address the backend sees. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readKnobs } from '../../src/bpf/knobs-in-force.ts';
import { openMaps } from '../../src/bpf/open-maps.ts';
import { pinDirectoryOf } from '../../src/bpf/paths.ts';
import { explain as explainHere } from '../../src/cli/explain/explain.ts';
import type { Explanation } from '../../src/cli/explain/model.ts';
import { parseRequest } from '../../src/cli/explain/request.ts';
import { parseRoutes, ROUTE_COMMANDS } from '../../src/cli/routes.ts';
import type { KubernetesObject } from '../../src/model/kubernetes.ts';
import type { Protocol } from '../support/cluster/dial.ts';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { addressesOf, nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { Stage, type StageOptions } from '../support/cluster/stage.ts';
import { ask, DROPPED, REFUSED } from '../support/cluster/table.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import { sluiceCommand } from '../support/lab/agent.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const SERVICES = { everywhere: 11, local: 12, empty: 13, elsewhere: 14, ranged: 15, sticky: 16, inner: 17 } as const;

let stage: Stage;
let here: Pod;
let there: Pod;

beforeAll(async () => {
  stage = await Stage.create();
  [here, there] = [stage.pod(1, 1), stage.pod(2, 1)];
});
afterAll(() => stage?.destroy());

function objects(): KubernetesObject[] {
  const spec = {
    everywhere: {},
    local: { externalTrafficPolicy: 'Local' },
    empty: {},
    elsewhere: { externalTrafficPolicy: 'Local' },
    ranged: { loadBalancerSourceRanges: ['10.0.0.0/8', 'fd00::/8'] },
    sticky: { sessionAffinity: 'ClientIP' },
    inner: { internalTrafficPolicy: 'Local' },
  };
  const targets = { empty: [], elsewhere: [there], inner: [there] } as Record<string, Pod[]>;
  return (Object.keys(SERVICES) as (keyof typeof SERVICES)[]).flatMap((name) => [
    service(name, SERVICES[name], spec[name]),
    ...slices(name, targets[name] ?? [here, there]),
  ]);
}

const ipOf = (host: Host, family: IpFamily) => (family === 'IPv4' ? host.ipv4 : host.ipv6);
const clients = (): Record<string, Host> => ({
  pod: stage.pod(1, 2),
  // A backend that may be its own client.
  backend: here,
  node: stage.node(1),
  outside: stage.client(),
});

interface Case {
  readonly name: string;
  readonly from: Host;
  readonly client: string;
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
}

function cases(): Case[] {
  return Object.entries(clients()).flatMap(([who, from]) =>
    FAMILIES.flatMap((family) =>
      Object.entries(SERVICES).flatMap(([name, n]) => {
        const { clusterIp, externalIp, balancerIp } = addressesOf(n);
        const places: [string, string, number, number][] = [
          ['ClusterIP', clusterIp[family], 80, 53],
          ['ExternalIP', externalIp[family], 80, 53],
          ['LoadBalancer', balancerIp[family], 80, 53],
          ['NodePort', ipOf(stage.node(1), family), nodePortOf(n), nodePortOf(n)],
          ['no port', clusterIp[family], 81, 54],
        ];
        return places.flatMap(([type, address, tcp, udp]) =>
          (['http', 'udp'] as const).map((protocol) => ({
            name: `${who} ${name} ${type} ${protocol} ${family}`,
            from,
            client: who === 'node' ? 'node' : ipOf(from, family),
            protocol,
            address,
            port: protocol === 'http' ? tcp : udp,
          })),
        );
      }),
    ),
  );
}

const target = (address: string, port: number, protocol: Protocol) =>
  `${address.includes(':') ? `[${address}]` : address}:${port}/${protocol === 'udp' ? 'udp' : 'tcp'}`;
const explain = (client: string, to: string) =>
  sluiceJson<Explanation>(stage.node(1), 'explain', '--from', client, '--to', to);

/** Explains in this process, with the node's maps and routes: a process for each of hundreds would take minutes. */
async function createExplainer(): Promise<{ explain: (one: Case) => Explanation; close: () => void }> {
  const node = stage.node(1);
  const every = [here, there, ...Object.values(clients()), stage.node(2)].flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]);
  const { links, routes: ask, input } = ROUTE_COMMANDS;
  const answers = await node.exec(['ip', ...ask], { input: input(every) });
  const routes = parseRoutes(await node.run(['ip', ...links]), answers.stdout);
  const maps = openMaps(pinDirectoryOf(node.bpfRoot), { readOnly: true });
  const knobs = readKnobs(pinDirectoryOf(node.bpfRoot));
  expect(knobs?.socketLbPods).toBeDefined();
  return {
    explain: ({ client, address, port, protocol }) =>
      explainHere(
        { maps, knobs, report: undefined, routes: () => routes, monotonic: process.hrtime.bigint(), clock: undefined },
        parseRequest(client, target(address, port, protocol)),
      ),
    close: () => maps.close(),
  };
}

/** What a client must see. */
function wanted({ verdict, backends }: Explanation): string[] {
  if (verdict === 'refused') return [REFUSED];
  if (verdict === 'dropped') return [DROPPED];
  const pods = [here, there];
  return backends
    .filter(({ chance }) => chance > 0)
    .map(({ address }) => pods.find(({ ipv4, ipv6 }) => [ipv4, ipv6].includes(address))?.name ?? address);
}

/** Explains and dials each, so many at once. @returns lines of those that differ */
async function differences(all: readonly Case[]): Promise<string[]> {
  const found: string[] = [];
  const queue = all.values();
  const explainer = await createExplainer();
  const lane = async () => {
    for (const one of queue) {
      const { name, from, client, protocol, address, port } = one;
      const explained = explainer.explain(one);
      const want = wanted(explained);
      const probe = await ask({ from, protocol, address, port }, want[0] ?? '');
      const got = probe.who ?? probe.errno ?? '';
      if (!want.includes(got)) found.push(`${name}: explained ${want} (${explained.reason}), saw ${got}`);
      const backend = explained.backends.find(({ address: ip }) =>
        [here, there].some((pod) => pod.name === probe.who && [pod.ipv4, pod.ipv6].includes(ip)),
      );
      if (probe.who === undefined || backend === undefined) continue;
      const seen = backend.sourceNat ?? (client === 'node' ? undefined : client);
      if (seen !== undefined && probe.seenSource !== seen)
        found.push(`${name}: explained source ${seen}, saw ${probe.seenSource}`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  explainer.close();
  return found.sort();
}

it.each<[string, StageOptions]>([
  ['the socket hook serves pods', { nodes: [1], socketLb: 'all' }],
  ['pods are served per packet', { nodes: [1], socketLb: 'host-only' }],
])('explain and traffic agree where %s', { timeout: 300_000 }, async (_, options) => {
  await stage.run(options);
  await stage.apply(objects());
  expect(await differences(cases())).toEqual([]);
});

it('affinity and a living flow are seen, and the agent may be dead', async () => {
  await stage.stop();
  const [pod] = [stage.pod(1, 2)];
  const { clusterIp } = addressesOf(SERVICES.sticky);
  const { who } = await ask({ from: pod, protocol: 'http', address: clusterIp.IPv4, port: 80 }, '');
  const { affinity, backends } = await explain(pod.ipv4, `${clusterIp.IPv4}:80`);
  const chosen = [here, there].find(({ name }) => name === who);
  expect(affinity).toMatchObject({ backend: `${chosen?.ipv4}:8080` });
  expect(backends.filter(({ chance }) => chance === 1).map(({ address }) => address)).toEqual([chosen?.ipv4]);
  const [flow] = (
    await sluiceJson<{ items: { client: string; backend: string }[] }>(stage.node(1), 'flow', 'list', 'sticky')
  ).items;
  const client = flow?.client ?? '';
  expect(await explain(client, `${clusterIp.IPv4}:80`)).toMatchObject({
    verdict: 'forwarded',
    reason: 'FORWARDED',
    flow: { client, backend: flow?.backend },
  });
});

it('--run: the real programs say the same, and the node is as before', async () => {
  const node = stage.node(1);
  const before = await sluiceJson(node, 'map', 'counters');
  const to = `${node.ipv4}:${nodePortOf(SERVICES.everywhere)}`;
  const words = ['--from', stage.client().ipv4, '--to', to];
  const { run, verdict } = await sluiceJson<Explanation>(node, 'explain', ...words, '--run');
  expect({ verdict, run }).toMatchObject({ verdict: 'forwarded', run: { agrees: true, reason: 'NEW_FLOW' } });
  const { stdout } = await node.exec(sluiceCommand('explain', ...words, '--run', '--bpf-root', node.bpfRoot));
  expect(stdout).toMatch(/^run: +the programs agree: forwarded \(NEW_FLOW\) as [\d.]+:\d+ > [\d.]+:8080$/m);
  expect(await sluiceJson(node, 'map', 'counters')).toEqual(before);
});

it('prints in words', async () => {
  const node = stage.node(1);
  const words = [
    'explain',
    '--from',
    stage.client().ipv4,
    '--to',
    `${addressesOf(SERVICES.elsewhere).balancerIp.IPv4}:80`,
  ];
  const { stdout, code } = await node.exec(sluiceCommand(...words, '--bpf-root', node.bpfRoot));
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^verdict: +! dropped \(DROP_NO_LOCAL_BACKEND\)\nwhy: .*\ndo: +the traffic policy is Local: dial a node/,
  );
  expect(stdout).toContain('on another node, and the traffic policy is Local');
});
