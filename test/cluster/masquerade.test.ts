/**
 * The whole masquerade matrix on one node (R-35…R-45): each client × each frontend × both external policies
 * × backends here, elsewhere and the node itself, under each way to detect pods, with and without
 * masqueradeAll, with the socket hook for all and for the host only. Other nodes run no agent: what
 * they send is translated on node1 alone. Pods of node3 are behind a device of their own, eth1.
 */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { portOf } from '../support/cluster/dial.ts';
import { expectedView, type ProxySettings, type Situation } from '../support/cluster/masquerade.ts';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { serve } from '../support/cluster/rig.ts';
import { Stage } from '../support/cluster/stage.ts';
import { ask, DROPPED, expectTable, type Row } from '../support/cluster/table.ts';
import { type IpFamily, POD_CIDRS } from '../support/lab/addressing.ts';
import type { Cni } from '../support/lab/cni.ts';
import type { Host } from '../support/lab/host.ts';
import type { Pod } from '../support/lab/node.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];
const POLICIES = ['Cluster', 'Local'] as const;
const FRONTENDS = ['ClusterIP', 'NodePort', 'ExternalIP', 'LoadBalancer'] as const;
const CLIENTS = ['pod', 'node', 'other node', 'pod of another node', 'outside'] as const;
const BACKENDS = ['here', 'elsewhere', 'node', 'far client'] as const;
type BackendName = (typeof BACKENDS)[number];

/** The network between node1 and node3 alone; the address of node1 in it. */
const SECOND = { IPv4: '172.29.0', IPv6: 'fd29:' } as const;
const SECOND_OF_NODE1: Record<IpFamily, string> = { IPv4: '172.29.0.1', IPv6: 'fd29::1' };

const DETECT: Record<ProxySettings['detect'], Record<string, unknown>> = {
  ClusterCIDR: { detectLocalMode: 'ClusterCIDR' },
  NodeCIDR: { detectLocalMode: 'NodeCIDR' },
  BridgeInterface: { detectLocalMode: 'BridgeInterface', detectLocal: { bridgeInterface: 'cni0' } },
  InterfaceNamePrefix: { detectLocalMode: 'InterfaceNamePrefix', detectLocal: { interfaceNamePrefix: 'cni' } },
  none: { detectLocalMode: 'ClusterCIDR', clusterCIDR: '' },
};

/** Keys of a KubeProxyConfiguration. */
function settingsOf({ detect, masqueradeAll }: ProxySettings, cni: Cni): Record<string, unknown> {
  const prefix = cni === 'routed' && detect === 'InterfaceNamePrefix';
  return {
    ...DETECT[detect],
    ...(prefix && { detectLocal: { interfaceNamePrefix: 'cali' } }),
    iptables: { masqueradeAll },
    ...(detect !== 'none' && detect !== 'ClusterCIDR' && { clusterCIDR: '' }),
  };
}

const on = (
  detect: ProxySettings['detect'],
  socketLb: ProxySettings['socketLb'],
  masqueradeAll = false,
): ProxySettings => ({ detect, socketLb, masqueradeAll });

const CONFIGURATIONS: Record<Cni, readonly ProxySettings[]> = {
  bridge: [
    on('ClusterCIDR', 'all'),
    on('ClusterCIDR', 'host-only'),
    on('ClusterCIDR', 'all', true),
    on('ClusterCIDR', 'host-only', true),
    on('NodeCIDR', 'host-only'),
    on('NodeCIDR', 'all', true),
    on('BridgeInterface', 'all'),
    on('BridgeInterface', 'host-only'),
    on('InterfaceNamePrefix', 'all'),
    on('InterfaceNamePrefix', 'host-only'),
    on('none', 'host-only'),
  ],
  routed: [on('ClusterCIDR', 'all'), on('ClusterCIDR', 'host-only'), on('InterfaceNamePrefix', 'host-only')],
};

describe.each(['bridge', 'routed'] as const)('%s pods', (cni) => {
  let stage: Stage;
  let host: Pod;

  beforeAll(async () => {
    stage = await Stage.create({ cni, nodes: 3 });
    await connectSecondNetwork();
    [host] = (await stage.node(1).addPods(['host'], { hostNetwork: true })) as [Pod];
    await serve(host);
    const objects = POLICIES.flatMap((policy) =>
      BACKENDS.flatMap((backend) => {
        const name = `${policy}-${backend}`.toLowerCase().replace(' ', '-');
        return [
          service(name, numberOf(policy, backend), { externalTrafficPolicy: policy }),
          ...slices(name, [podOf(backend)]),
        ];
      }),
    );
    await stage.apply([...stage.nodeObjects, ...objects]);
  });
  afterAll(() => stage?.destroy());

  async function connectSecondNetwork(): Promise<void> {
    const [one, three] = [stage.node(1), stage.node(3)];
    await one.run(['ip', 'link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', three.netns]);
    for (const node of [one, three]) {
      await node.run(['ip', 'address', 'add', `${SECOND.IPv4}.${node.n}/24`, 'dev', 'eth1']);
      await node.run(['ip', 'address', 'add', `${SECOND.IPv6}:${node.n}/64`, 'dev', 'eth1', 'nodad']);
      await node.run(['ip', 'link', 'set', 'eth1', 'up']);
    }
    await one.run(['ip', 'route', 'replace', three.podCidrs.IPv4, 'via', `${SECOND.IPv4}.3`, 'dev', 'eth1']);
    await one.run(['ip', 'route', 'replace', three.podCidrs.IPv6, 'via', `${SECOND.IPv6}:3`, 'dev', 'eth1']);
  }

  const numberOf = (policy: Situation['policy'], backend: BackendName) =>
    (policy === 'Cluster' ? 20 : 30) + BACKENDS.indexOf(backend);
  const podOf = (backend: BackendName): Pod => {
    if (backend === 'node') return host;
    if (backend === 'far client') return stage.pod(2, 2);
    return backend === 'here' ? stage.pod(1, 1) : stage.pod(3, 1);
  };
  const clientOf = (client: Situation['client']): Host => {
    if (client === 'pod') return stage.pod(1, 2);
    if (client === 'node') return stage.node(1);
    if (client === 'other node') return stage.node(2);
    return client === 'outside' ? stage.client() : stage.pod(2, 2);
  };
  const ownAddress = ({ ipv4, ipv6 }: Host, family: IpFamily) => (family === 'IPv4' ? ipv4 : ipv6);

  /** The address of the device towards the backend. */
  function towards(backend: BackendName, family: IpFamily): string {
    if (backend === 'elsewhere') return SECOND_OF_NODE1[family];
    if (backend !== 'here' || cni === 'routed') return ownAddress(stage.node(1), family);
    return family === 'IPv4' ? '10.244.1.1' : 'fd44:0:0:1::1';
  }

  function addressOf(frontend: Situation['frontend'], n: number, family: IpFamily): string {
    if (frontend === 'NodePort') return ownAddress(stage.node(1), family);
    const { clusterIp, externalIp, balancerIp } = addressesOf(n);
    return { ClusterIP: clusterIp, ExternalIP: externalIp, LoadBalancer: balancerIp }[frontend][family];
  }

  /** By turns: TCP over IPv4 and UDP over IPv6, or the other way round. */
  let turn = 0;

  /** One situation in both families. */
  function rowsOf(situation: Situation, backend: BackendName, from: Host, proxy: ProxySettings): Row[] {
    const { client, frontend, policy } = situation;
    const n = numberOf(policy, backend);
    const view = expectedView(situation, proxy);
    turn++;
    return FAMILIES.map((family, i) => {
      const protocol = (turn + i) % 2 === 0 ? 'http' : 'sendto';
      const source = view === 'client' ? ownAddress(from, family) : towards(backend, family);
      const want = view === 'nothing' ? DROPPED : `${podOf(backend).name} saw ${source}`;
      const address = addressOf(frontend, n, family);
      const question = { from, protocol, address, port: portOf(protocol, frontend === 'NodePort', n) } as const;
      return {
        name: `${from === podOf(backend) ? 'itself' : client} → ${frontend} ${policy} → ${backend}, ${family} ${protocol}`,
        want,
        ask: async () => {
          const { ok, who, seenSource, errno } = await ask(question, want);
          return ok ? `${who} saw ${seenSource}` : (errno ?? '');
        },
      };
    });
  }

  function tableOf(proxy: ProxySettings): Row[] {
    return FRONTENDS.flatMap((frontend) =>
      POLICIES.flatMap((policy) => [
        ...CLIENTS.flatMap((client) =>
          (['here', 'elsewhere', 'node'] as const).flatMap((backend) =>
            rowsOf({ client, frontend, policy, backend, hairpin: false }, backend, clientOf(client), proxy),
          ),
        ),
        ...rowsOf({ client: 'pod', frontend, policy, backend: 'here', hairpin: true }, 'here', podOf('here'), proxy),
        ...rowsOf(
          { client: 'pod of another node', frontend, policy, backend: 'elsewhere', hairpin: true },
          'far client',
          podOf('far client'),
          proxy,
        ),
      ]),
    );
  }

  it.each(
    CONFIGURATIONS[cni],
  )('$detect, --socket-lb $socketLb, masqueradeAll $masqueradeAll (R-35, R-36, R-37, R-38, R-39, R-40, R-42, R-45)', async (proxy) => {
    await stage.run({
      nodes: [1],
      devices: 'eth0,eth1',
      socketLb: proxy.socketLb,
      settings: settingsOf(proxy, cni),
    });
    await expectTable(tableOf(proxy));
  });

  // How packets reach the pods makes no difference to it.
  if (cni === 'bridge')
    it('a CIDR of one family alone leaves the other unmasqueraded (R-36)', async () => {
      await stage.run({ nodes: [1], devices: 'eth0,eth1', settings: { clusterCIDR: POD_CIDRS.IPv6 } });
      const rows = (detect: 'ClusterCIDR' | 'none', family: IpFamily) =>
        tableOf(on(detect, 'all')).filter(({ name }) => name.includes(`ClusterIP Cluster`) && name.includes(family));
      await expectTable([...rows('none', 'IPv4'), ...rows('ClusterCIDR', 'IPv6')]);
    });
});
