/** Rules of the host's own firewall, and packets for backends on other nodes: with --respect-netfilter they meet. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dial, PROTOCOLS } from '../support/cluster/dial.ts';
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { sluiceCommand } from '../support/lab/agent.ts';
import { listLeftovers } from '../support/lab/leftovers.ts';

const NEAR = 11;
const FAR = 12;

/** Each drops what the client sends; `table` is what to delete. */
const rules = (client: string) => [
  {
    name: 'forward',
    table: 'ip fw',
    text: `table ip fw { chain f { type filter hook forward priority 0; ip saddr ${client} drop; }; }`,
  },
  {
    name: 'prerouting (raw)',
    table: 'ip fw',
    text: `table ip fw { chain p { type filter hook prerouting priority -300; ip saddr ${client} drop; }; }`,
  },
  {
    name: 'prerouting (mangle), by the port of the backend',
    table: 'ip fw',
    text: `table ip fw { chain p { type filter hook prerouting priority -150; ip saddr ${client} tcp dport ${POD_PORTS.http} drop; }; }`,
  },
  {
    name: 'netdev ingress',
    table: 'netdev fw',
    text: `table netdev fw { chain p { type filter hook ingress device "eth0" priority 0; ip saddr ${client} drop; }; }`,
  },
];

describe.each([
  { flag: '--respect-netfilter', extraArgs: ['--respect-netfilter'], held: true },
  { flag: 'without it', extraArgs: [], held: false },
])('$flag', ({ extraArgs, held }) => {
  let rig: Rig;

  beforeAll(async () => {
    rig = await createRig();
    const { lab, manifests } = rig;
    manifests.write('s.json', [
      service('near', NEAR),
      ...slices('near', [lab.pod(1, 1)]),
      service('far', FAR),
      ...slices('far', [lab.pod(2, 1)]),
    ]);
    await rig.startAgents({ extraArgs });
  });

  afterAll(async () => {
    await rig?.lab.destroy();
    if (rig !== undefined) expect(listLeftovers(rig.lab.id)).toEqual([]);
  });

  it('a backend elsewhere is reached, over every protocol and family', async () => {
    const { lab } = rig;
    for (const family of ['IPv4', 'IPv6'] as const) {
      const node = family === 'IPv4' ? lab.node(1).ipv4 : lab.node(1).ipv6;
      for (const protocol of PROTOCOLS) {
        const probe = await dial(lab.client(), protocol, node, nodePortOf(FAR));
        expect(probe, `${protocol} over ${family}`).toMatchObject({ ok: true });
      }
      const { balancerIp } = addressesOf(FAR);
      expect(await lab.client().actor.http(balancerIp[family], SERVICE_PORTS.http)).toMatchObject({
        ok: true,
        seenSource: node,
      });
    }
  });

  it('status says whether the rules meet those packets', async () => {
    const node = rig.lab.node(1);
    const text = await node.run(sluiceCommand('status', '--bpf-root', node.bpfRoot));
    expect(text).toMatch(held ? /^netfilter: its rules meet packets/m : /^netfilter: its rules do not meet packets/m);
  });

  it('a drop of the host holds for local backends, and for others with the flag', async () => {
    const { lab } = rig;
    const [node, client] = [lab.node(1), lab.client()];
    for (const { name, table, text } of rules(client.ipv4)) {
      await node.run(['nft', '-f', '-'], { input: text });
      const ask = async (n: number) => (await client.actor.http(node.ipv4, nodePortOf(n), { timeoutMs: 700 })).ok;
      expect(await ask(NEAR), `${name}, backend here`).toBe(false);
      expect(await ask(FAR), `${name}, backend elsewhere`).toBe(!held);
      await node.run(['nft', 'delete', 'table', ...table.split(' ')]);
    }
    expect(await client.actor.http(node.ipv4, nodePortOf(FAR))).toMatchObject({ ok: true });
  });
});
