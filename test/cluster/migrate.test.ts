/**
 * A node changes hands and back under load, its rules in each form that kube-proxy writes: connections that are open
 * go on, requests that come meanwhile are all answered, whoever asks, whatever is dialled.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Status } from '../../src/cli/commands/status.ts';
import type { Migration } from '../../src/cli/migrate/render.ts';
import type { Service } from '../../src/model/kubernetes.ts';
import { NODE_PROXIER_RULES } from '../support/apiserver/auth.ts';
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { expectNoFailure, type Stream } from '../support/cluster/load.ts';
import { addressesOf, endpoints, nodePortOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Form, installRules } from '../support/kube-proxy/install.ts';
import { isOld, KubeProxyProcess } from '../support/kube-proxy/process.ts';
import { POD_CIDRS } from '../support/lab/addressing.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { type LabApi, startLabApi } from '../support/lab/api.ts';
import { setSysctls } from '../support/lab/command.ts';
import type { Host } from '../support/lab/host.ts';
import { nodeObject } from '../support/lab/nodes.ts';
import { poll } from '../support/lab/poll.ts';
import type { Conversation } from '../support/traffic/actor.ts';

const WEB = 11;
/**
 * KUBE_PROXY=/path: that binary writes the rules, in place of text in its form; KUBE_PROXY_MODES=iptables,nftables.
 * One before 1.21 (Debian's sources build 1.20.2) serves IPv4 alone, in iptables mode.
 */
const REAL = process.env.KUBE_PROXY ? { path: process.env.KUBE_PROXY, iptables: 'nft' as const } : undefined;
const OLD = REAL !== undefined && isOld(REAL);
const FAMILIES = OLD ? (['IPv4'] as const) : (['IPv4', 'IPv6'] as const);
/** Open connections of each kind: 36 kinds. */
const EACH = 6;
const RULES_OF_OTHERS =
  'table inet mine {\n  chain c {\n    type filter hook forward priority 0\n    counter\n  }\n}\n';

/** Of the families that are served. */
function webService(): Service {
  const { clusterIp, externalIp, balancerIp } = addressesOf(WEB);
  const spec = {
    clusterIPs: FAMILIES.map((family) => clusterIp[family]),
    ipFamilies: [...FAMILIES],
    // Of an external IP kube-proxy 1.20 has rules that its successors no longer write.
    externalIPs: OLD ? [] : FAMILIES.map((family) => externalIp[family]),
  };
  const ingress = FAMILIES.map((family) => ({ ip: balancerIp[family], ipMode: 'VIP' }));
  return { ...service('web', WEB, spec), status: { loadBalancer: { ingress } } };
}

interface Talk {
  readonly name: string;
  readonly who: string | undefined;
  readonly conversation: Conversation;
}

const VARIANTS: readonly [Form, 'all' | 'host-only'][] = [
  ['iptables', 'all'],
  ['nftables', 'host-only'],
];
/** ALL_VARIANTS=1: the other pairs too, which take a minute more. */
const OTHERS: typeof VARIANTS = [
  ['iptables', 'host-only'],
  ['nftables', 'all'],
];

const MODES = process.env.KUBE_PROXY_MODES?.split(',') ?? (OLD ? ['iptables'] : ['iptables', 'nftables']);

describe.each(
  (process.env.ALL_VARIANTS ? [...VARIANTS, ...OTHERS] : VARIANTS).filter(([form]) => MODES.includes(form)),
)('%s mode, --socket-lb %s', (form, socketLb) => {
  let rig: Rig;
  let agent: Agent;

  const node = () => rig.lab.node(1);
  const backends = () => [rig.lab.pod(1, 1), rig.lab.pod(1, 2), rig.lab.pod(2, 1), rig.lab.pod(2, 2)];
  let api: LabApi | undefined;
  let real: KubeProxyProcess | undefined;

  /** Rules as kube-proxy's, in force. */
  async function install(): Promise<void> {
    if (REAL === undefined || api === undefined) return installRules(node(), form, [['web', WEB, backends()]]);
    const { directory } = rig.lab;
    const podCidr = FAMILIES.map((family) => POD_CIDRS[family]).join(',');
    const options = { directory, kubeconfig: api.kubeconfig, node: node(), mode: form, binary: REAL, podCidr };
    const proxy = new KubeProxyProcess({ ...options, nodePortAddresses: [] });
    real = proxy;
    await poll(
      'kube-proxy writes its rules',
      async () => {
        await proxy.mustRun();
        const { stdout } = await node().exec(['nft', 'list', 'ruleset']);
        if (FAMILIES.every((family) => stdout.includes(addressesOf(WEB).clusterIp[family]))) return true;
        throw new Error(proxy.log);
      },
      { timeoutMs: 60_000 },
    );
  }
  const clients = (): Record<string, Host> => ({ pod: rig.lab.pod(1, 3), node: node(), outside: rig.lab.client(1) });
  const frontends = (family: (typeof FAMILIES)[number]) => {
    const { clusterIp, balancerIp } = addressesOf(WEB);
    return {
      ClusterIP: [clusterIp[family], SERVICE_PORTS],
      LoadBalancer: [balancerIp[family], SERVICE_PORTS],
      NodePort: [
        family === 'IPv4' ? node().ipv4 : node().ipv6,
        { http: nodePortOf(WEB), tcp: nodePortOf(WEB) + 100, udp: nodePortOf(WEB) },
      ],
    } as const;
  };

  async function openAll(): Promise<Talk[]> {
    const kinds = Object.entries(clients()).flatMap(([client, from]) =>
      FAMILIES.flatMap((family) =>
        Object.entries(frontends(family)).flatMap(([frontend, [address, ports]]) =>
          (['tcp', 'udp'] as const).map((protocol) => ({
            name: `${client} → ${frontend} ${family} ${protocol}`,
            from,
            address,
            port: ports[protocol],
            protocol,
          })),
        ),
      ),
    );
    return Promise.all(
      kinds.flatMap(({ name, from, address, port, protocol }) =>
        Array.from({ length: EACH }, async () => {
          const conversation = await from.actor.open(protocol, address, port, { timeoutMs: 10_000 });
          const first = await conversation.exchange({ timeoutMs: 10_000 });
          expect([name, first.errno]).toEqual([name, undefined]);
          return { name, who: first.who, conversation };
        }),
      ),
    );
  }

  /** Each is answered, and by whom it was before. @param cut flows of ours were: datagrams may have had one of them */
  async function expectGoingOn(talks: readonly Talk[], cut = false): Promise<void> {
    const broken: string[] = [];
    await Promise.all(
      talks.map(async ({ name, who, conversation }) => {
        const probe = await conversation.exchange({ timeoutMs: 10_000 });
        if (!probe.ok) broken.push(`${name}: ${probe.errno}`);
        else if (probe.who !== who && !(cut && name.endsWith('udp')))
          broken.push(`${name}: ${probe.who} in place of ${who}`);
      }),
    );
    expect([...new Set(broken)].sort()).toEqual([]);
  }

  const streams = (): Stream[] =>
    Object.entries(clients()).flatMap(([client, from]) =>
      Object.entries(frontends('IPv4')).flatMap(([frontend, [address, ports]]) =>
        (['http', 'udp'] as const).map((protocol) => ({
          name: `${client} → ${frontend} ${protocol}`,
          from,
          options: { protocol, address, port: ports[protocol], rate: 20 },
        })),
      ),
    );

  async function migrate(...flags: string[]): Promise<{ code: number | null; migration: Migration; stderr: string }> {
    const words = sluiceCommand('migrate', '--bpf-root', node().bpfRoot, '-o', 'json', ...flags);
    const { code, stdout, stderr } = await node().exec(words, { timeoutMs: 120_000 });
    if (!stdout.startsWith('{')) throw new Error(`sluice migrate ${flags.join(' ')}: ${code} ${stdout} ${stderr}`);
    return { code, migration: JSON.parse(stdout) as Migration, stderr };
  }

  async function status(): Promise<Status> {
    const { stdout } = await node().exec(sluiceCommand('status', '--bpf-root', node().bpfRoot, '-o', 'json'));
    return JSON.parse(stdout) as Status;
  }

  async function attached(): Promise<number> {
    return (await status()).attachments.filter(({ state }) => state === 'attached').length;
  }

  /** Connections that Sluice began so far. */
  async function begun(): Promise<number> {
    return ((await status()).counters ?? [])
      .filter(({ reason }) => /new_flow|socket_connect|socket_send/i.test(reason))
      .reduce((sum, { packets }) => sum + packets, 0);
  }

  beforeAll(async () => {
    rig = await createRig({ podsPerNode: 3 });
    const { lab, manifests } = rig;
    manifests.write('web.json', [webService(), ...slices('web', backends())]);
    await node().run(['nft', '-f', '-'], { input: RULES_OF_OTHERS });
    if (REAL !== undefined) {
      const rights = [...NODE_PROXIER_RULES, { apiGroups: [''], resources: ['endpoints'], verbs: ['list', 'watch'] }];
      api = await startLabApi(lab, { validation: 'off', authorize: { 'system:kube-proxy': rights } });
      for (const each of lab.nodes) api.server.store.apply(nodeObject(each));
      for (const each of [webService(), ...slices('web', backends()), ...endpoints('web', backends())])
        api.server.store.apply(each);
    }
    await install();
    // Conversations of datagrams are not to end by their age on a busy machine.
    const conntrack = { udpTimeout: '600s', udpStreamTimeout: '600s' };
    await setSysctls(node().netns, {
      'net/netfilter/nf_conntrack_udp_timeout': 600,
      'net/netfilter/nf_conntrack_udp_timeout_stream': 600,
    });
    const config = writeConfiguration(lab, { conntrack }, 'long');
    agent = await rig.startAgent(1, { socketLb, config, extraArgs: ['--standby'], timeoutMs: 90_000 });
  });
  afterAll(async () => {
    await real?.end();
    await api?.close();
    await rig?.lab.destroy();
  });

  it('stands by, compares, takes over, removes the old rules, and hands back: nothing breaks', async () => {
    // Shadow.
    expect(agent.logs.map(({ msg }) => msg).join('\n')).toContain('standing by');
    expect(await attached()).toBe(0);
    const dry = await migrate('--dry-run');
    expect(dry.migration.comparison?.differences.filter(({ known }) => !known)).toEqual([]);
    expect(dry).toMatchObject({ code: 0, migration: { done: false, obstacles: [] } });
    // Three ports of two families: ClusterIP, external IP, load balancer, and NodePorts at each address of the node.
    expect(dry.migration.comparison?.compared).toBeGreaterThanOrEqual((OLD ? 9 : 12) * FAMILIES.length);
    expect(await attached()).toBe(0);
    const before = await openAll();
    expect(before).toHaveLength(108 * FAMILIES.length);
    expect(await begun()).toBe(0);

    // To Sluice.
    await expectNoFailure(streams(), async () => {
      expect(await migrate()).toMatchObject({ code: 0, migration: { done: true } });
      await expectGoingOn(before);
    });
    expect(await attached()).toBeGreaterThan(0);
    const taken = await begun();
    expect(taken).toBeGreaterThan(100);
    const during = await openAll();

    await real?.end();

    // The old rules go; what they began goes on, and rules of others stay.
    await expectNoFailure(streams(), async () => {
      const { code, migration } = await migrate('--finish');
      expect([code, migration.obstacles]).toEqual([0, []]);
      expect(migration.removed?.[form === 'iptables' ? 'chains' : 'tables']).toBeGreaterThan(1);
      await expectGoingOn(before);
      await expectGoingOn(during);
    });
    const { stdout: tables } = await node().exec(['nft', 'list', 'tables']);
    expect(tables).toContain('table inet mine');
    expect(tables).toContain('table ip sluice-open-connections');
    expect(tables).not.toContain('kube-proxy');
    const { stdout: saved } = await node().exec(['iptables-save']);
    // Kubelets have a chain KUBE-MARK-DROP too; before 1.21 kube-proxy makes it where none has.
    expect(saved.replace(/^:KUBE-MARK-DROP .*$/m, '')).not.toContain('KUBE-');

    // Not back while nothing would serve.
    expect(await migrate('--back')).toMatchObject({ code: 1, migration: { done: false } });
    await expectGoingOn(during);

    // Back: new ones go by kube-proxy at once, those of Sluice go on.
    await install();
    await expectNoFailure(streams(), async () => {
      const { code, migration } = await migrate('--back', '--timeout', '1s');
      expect([code, migration.done, migration.obstacles.length]).toEqual([1, false, 1]);
      await expectGoingOn(during);
      await expectGoingOn(before);
    });
    const handedBack = await begun();
    const after = await openAll();
    // Of what kube-proxy begins, only what would take the answers of a flow of ours is given another port.
    expect((await begun()) - handedBack).toBeLessThan(after.length / 10);
    await expectGoingOn(during);
    await Promise.all(during.map(({ conversation }) => conversation.close()));
    await expectNoFailure(streams(), async () => {
      // Flows of datagrams that ended nobody has told of: they are cut. A client that had the port of one goes on anew.
      const { code, migration } = await migrate('--back', '--timeout', '1s', '--force');
      expect([code, migration.done, migration.obstacles]).toEqual([0, true, []]);
      await expectGoingOn(after, true);
    });
    expect(await attached()).toBe(0);
    await expectGoingOn(after, true);
  }, 400_000);
});
