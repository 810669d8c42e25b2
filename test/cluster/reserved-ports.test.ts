/**
 * Source NAT keeps away from ports that the node reserves (net.ipv4.ip_local_reserved_ports), those reserved
 * while the agent runs included, and from NodePorts outside the default range.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sluiceJson } from '../support/cluster/kernel.ts';
import { nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { poll } from '../support/lab/poll.ts';

const WEB = 11;
/** A Service's NodePort, where the API server was given another range. */
const ELSEWHERE = 20_123;

let rig: Rig;

beforeAll(async () => {
  rig = await createRig({ podsPerNode: 1 });
  const { lab } = rig;
  const other = service('other', 12);
  const ports = other.spec?.ports?.map((port, i) => ({ ...port, nodePort: ELSEWHERE + i }));
  rig.manifests.write('web.json', [
    service('web', WEB),
    ...slices('web', [lab.pod(2, 1)]),
    { ...other, spec: { ...other.spec, ports } },
  ]);
  await reserve('21000,21010-21019');
  await rig.startAgent(1);
});
afterAll(() => rig?.lab.destroy());

const reserve = (ports: string) =>
  rig.lab.node(1).run(['sh', '-c', `echo "${ports}" >/proc/sys/net/ipv4/ip_local_reserved_ports`]);

const spared = async () =>
  JSON.stringify((await sluiceJson<{ reservedPorts: unknown }>(rig.lab.node(1), 'status')).reservedPorts);

describe.each(['IPv4', 'IPv6'] as const)('%s', (family) => {
  /** The source port that the backend on the other node sees of a client outside. */
  async function seen(localPort: number): Promise<number | undefined> {
    const { lab } = rig;
    const node = family === 'IPv4' ? lab.node(1).ipv4 : lab.node(1).ipv6;
    const answer = await lab.client().actor.http(node, nodePortOf(WEB), { localPort });
    expect(answer).toMatchObject({ ok: true, seenSource: node });
    return answer.seenPort;
  }

  it('ports reserved before the agent starts, and NodePorts, are not kept; others are', async () => {
    for (const port of [21_000, 21_010, 21_015, 21_019, ELSEWHERE]) expect(await seen(port)).not.toBe(port);
    for (const port of [20_999, 21_001, 21_009, 21_020, ELSEWHERE - 1]) expect(await seen(port)).toBe(port);
  });

  it('a change is taken in while the agent runs', async () => {
    const before = await spared();
    const base = family === 'IPv4' ? 22_000 : 23_000;
    await reserve(`21000,21010-21019,${base}`);
    // The next look now and then would find it; this is sooner.
    await rig.lab.node(1).run(['ip', 'link', 'add', `other${family.slice(2)}`, 'type', 'bridge']);
    await poll('see the agent take it in', async () => (await spared()) !== before, { timeoutMs: 10_000 });
    expect(await seen(base)).not.toBe(base);
    expect(await seen(base + 1)).toBe(base + 1);
  });
});
