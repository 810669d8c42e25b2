/** After kube-proxy: its rules go on request, once Sluice serves; kubelet's and others' stay (R-90). */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressesOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { sluiceCommand } from '../support/lab/agent.ts';

const WEB = 11;
/** As kube-proxy lays them down, with a line of kubelet's and one of kube-router's. */
const rules = (address: string, reject: string) => `*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-ROUTER-INPUT - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A INPUT -j KUBE-FIREWALL
-A INPUT -j KUBE-ROUTER-INPUT
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-SERVICES -d ${address} -p tcp -m tcp --dport 81 -j REJECT --reject-with ${reject}
COMMIT
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-ABCDEFGHIJKLMNOP - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ABCDEFGHIJKLMNOP - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SERVICES -d ${address} -p tcp -m comment --comment "default/\\"web\\" cluster IP" -m tcp --dport 80 -j KUBE-SVC-ABCDEFGHIJKLMNOP
-A KUBE-SVC-ABCDEFGHIJKLMNOP -j KUBE-SEP-ABCDEFGHIJKLMNOP
COMMIT
`;
let rig: Rig;

beforeAll(async () => {
  rig = await createRig({ nodes: 1, podsPerNode: 2 });
  const { lab, manifests } = rig;
  manifests.write('web.json', [service('web', WEB), ...slices('web', [lab.pod(1, 1)])]);
  const { clusterIp } = addressesOf(WEB);
  for (const [tool, address, reject] of [
    ['iptables', clusterIp.IPv4, 'icmp-port-unreachable'],
    ['iptables-legacy', clusterIp.IPv4, 'icmp-port-unreachable'],
    ['ip6tables', clusterIp.IPv6, 'icmp6-port-unreachable'],
  ] as const) {
    const restored = inNode([`${tool}-restore`], rules(address, reject));
    expect(restored, tool).toMatchObject({ status: 0 });
  }
  for (const family of ['ip', 'ip6']) {
    await lab.node(1).run(['nft', 'add', 'table', family, 'kube-proxy']);
    await lab.node(1).run(['nft', 'add', 'chain', family, 'kube-proxy', 'services']);
  }
  await lab.node(1).run(['nft', 'add', 'table', 'ip', 'mine']);
  await lab.node(1).run(['ip', 'link', 'add', 'kube-ipvs0', 'type', 'bridge']);
  await lab.node(1).run(['ip', 'address', 'add', `${clusterIp.IPv4}/32`, 'dev', 'kube-ipvs0']);
});
afterAll(() => rig?.lab.destroy());

const inNode = (command: string[], input = '') =>
  spawnSync('nsenter', [`--net=/run/netns/${rig.lab.node(1).netns}`, '--', ...command], { input, encoding: 'utf8' });
const cleanup = (...flags: string[]) =>
  inNode(sluiceCommand('cleanup', '--kube-proxy', '--bpf-root', rig.lab.node(1).bpfRoot, ...flags));
const chains = (tool: string) => [...new Set(inNode([`${tool}-save`]).stdout.match(/KUBE-[A-Z-]+/g) ?? [])].sort();

describe('sluice cleanup --kube-proxy (R-90)', () => {
  it('refuses while nothing of ours serves', () => {
    const { status, stderr } = cleanup();
    expect(status).toBe(1);
    expect(stderr).toMatch(/no program is attached .* start "sluice agent" first, or say --force/);
    expect(chains('iptables')).toContain('KUBE-SERVICES');
  });

  it('removes what kube-proxy left, and nothing else', async () => {
    const { lab } = rig;
    await rig.startAgent(1, { socketLb: 'host-only' });
    const { clusterIp } = addressesOf(WEB);
    const { status, stdout, stderr } = cleanup();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^removed 33 chains, 2 tables, 1 device of kube-proxy$/m);
    for (const tool of ['iptables', 'iptables-legacy', 'ip6tables'])
      expect(chains(tool), tool).toEqual(['KUBE-FIREWALL', 'KUBE-ROUTER-INPUT']);
    expect(inNode(['nft', 'list', 'tables']).stdout).not.toContain('kube-proxy');
    expect(inNode(['nft', 'list', 'tables']).stdout).toContain('table ip mine');
    expect(inNode(['ip', 'link', 'show', 'kube-ipvs0']).status).not.toBe(0);
    for (const address of [clusterIp.IPv4, clusterIp.IPv6])
      expect((await lab.pod(1, 2).actor.http(address, 80)).ok).toBe(true);
  });

  it('may be run again', () => {
    expect(cleanup()).toMatchObject({ status: 0, stdout: 'nothing of kube-proxy to remove\n' });
  });
});
