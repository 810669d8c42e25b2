/**
 * Others' programs on the same hook of node1's eth0: one that was there before the agent and one that came after
 * it, coming in and going out. Each sees what docs/operations.md says, and what it does holds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Direction } from '../../src/bpf/clsact.ts';
import { linkName } from '../../src/bpf/paths.ts';
import { Foreign, linksOn } from '../support/cluster/foreign.ts';
import { pinnedIds } from '../support/cluster/kernel.ts';
import { addressesOf, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { Stage } from '../support/cluster/stage.ts';
import { sluiceCommand } from '../support/lab/agent.ts';

const NEAR = 51;
const FAR = 52;
/** The program before ours drops its datagrams. */
const BARRED = 53;
/** The program before ours ends the hook for them: TC_ACT_OK. */
const KEPT = 55;
/** The program before ours puts a VLAN tag on its packets. */
const TAGGED = 54;
const PLACES = ['ingressBefore', 'ingressAfter', 'egressBefore', 'egressAfter'] as const;
/** Of the packets of one Service. */
const SIGHTS = ['frontend', 'backend', 'marked', 'tagged'] as const;
const SERVICES: readonly number[] = [NEAR, FAR, TAGGED];
type Place = (typeof PLACES)[number];

let stage: Stage;
let foreign: Foreign;
let netns: string;
let ifindex: number;

const frontend = (n: number) => addressesOf(n).balancerIp.IPv4;
const word = (address: string) => `bpf_htonl(0x${Buffer.from(address.split('.').map(Number)).toString('hex')})`;
const numberOf = (place: Place, n: number) =>
  (PLACES.indexOf(place) * SERVICES.length + SERVICES.indexOf(n)) * SIGHTS.length;

function sourceOf(near: string, far: string): string {
  const programs = PLACES.map((place) => {
    const acts =
      place === 'ingressBefore'
        ? `if (is_to(skb, ${word(frontend(BARRED))}, 17)) return TC_ACT_SHOT;
	if (is_to(skb, ${word(frontend(KEPT))}, 17)) return TC_ACT_OK;
	if (is_to(skb, ${word(frontend(TAGGED))}, 6)) bpf_skb_vlan_push(skb, bpf_htons(0x8100), 5);
	skb->mark = 0x5a;`
        : place === 'ingressAfter'
          ? `if (is_to(skb, ${word(near)}, 17)) return TC_ACT_SHOT;`
          : '';
    const sees = SERVICES.map(
      (n) =>
        `see(skb, ${numberOf(place, n)}, ${word(frontend(n))}, ${word(n === FAR ? far : n === NEAR ? near : '0.0.0.0')});`,
    );
    return `SEC("tc") int ${place}(struct __sk_buff *skb) { ${sees.join(' ')} ${acts} return TC_ACT_UNSPEC; }`;
  });
  return `
#include <linux/pkt_cls.h>
static __always_inline __u32 load(struct __sk_buff *skb, int offset)
{
	__u32 value = 0;
	bpf_skb_load_bytes(skb, offset, &value, 4);
	return value;
}
static __always_inline int is_to(struct __sk_buff *skb, __u32 address, __u8 wanted)
{
	__u8 proto = 0;
	bpf_skb_load_bytes(skb, 23, &proto, 1);
	return skb->protocol == bpf_htons(0x0800) && proto == wanted && load(skb, 30) == address;
}
static __always_inline void add(__u32 number)
{
	struct counter *c = bpf_map_lookup_elem(&counters, &number);
	if (c) c->packets += 1;
}
static __always_inline void see(struct __sk_buff *skb, __u32 first, __u32 frontend, __u32 backend)
{
	__u32 source = load(skb, 26), destination = load(skb, 30);
	if (skb->protocol != bpf_htons(0x0800)) return;
	if (skb->vlan_present) { if (destination == frontend) add(first + 3); return; }
	if (source == frontend || destination == frontend) add(first);
	else if (source == backend || destination == backend) add(first + 1);
	else return;
	if (skb->mark == 0x5a) add(first + 2);
}
${programs.join('\n')}`;
}

/** What each place saw of a Service's packets while something was done. */
async function sightsOf(n: number, act: () => Promise<unknown>): Promise<Record<Place, string[]>> {
  const counts = () => PLACES.map((place) => SIGHTS.map((_, i) => foreign.count(numberOf(place, n) + i)));
  const before = counts();
  await act();
  const after = counts();
  return Object.fromEntries(
    PLACES.map((place, p) => [place, SIGHTS.filter((_, i) => (after[p]?.[i] ?? 0) > (before[p]?.[i] ?? 0))]),
  ) as Record<Place, string[]>;
}

async function talk(protocol: 'tcp' | 'udp', n: number, timeoutMs = 15_000): Promise<boolean> {
  const actor = stage.client().actor;
  const conversation = await actor.open(protocol, frontend(n), SERVICE_PORTS[protocol], { timeoutMs });
  const { ok } = await conversation.exchange({ timeoutMs });
  await conversation.close();
  return ok;
}

const ours = async (direction: Direction) =>
  (await pinnedIds(stage.node(1), 'link'))[linkName(`dev${ifindex}`, direction)] ?? -1;
const order = (direction: Direction) => linksOn(netns, ifindex, direction);
const attach = (direction: Direction, place: Place) => foreign.attach(netns, ifindex, direction, place);

beforeAll(async () => {
  stage = await Stage.create({ podsPerNode: 1 });
  const node = stage.node(1);
  netns = node.netns;
  ifindex = JSON.parse(await node.run(['ip', '-j', 'link', 'show', 'dev', 'eth0']))[0].ifindex;
  foreign = await Foreign.load(sourceOf(stage.pod(1, 1).ipv4, stage.pod(2, 1).ipv4));
  attach('ingress', 'ingressBefore');
  attach('egress', 'egressBefore');
  const backends = { [NEAR]: 1, [TAGGED]: 1, [FAR]: 2, [BARRED]: 2, [KEPT]: 2 };
  await stage.apply([
    ...stage.nodeObjects,
    ...Object.entries(backends).flatMap(([n, place]) => [
      service(`s${n}`, Number(n)),
      ...slices(`s${n}`, [stage.pod(place, 1)]),
    ]),
  ]);
  await stage.run({ nodes: [1], extraArgs: ['--xdp', 'off'] });
  attach('ingress', 'ingressAfter');
  attach('egress', 'egressAfter');
});

afterAll(async () => {
  await stage?.destroy();
  foreign?.remove();
});

describe('programs before and after ours on the tcx hooks of a node device', () => {
  it('through the stack: those before see packets as they came, those after see them translated', async () => {
    expect(await sightsOf(NEAR, async () => expect(await talk('tcp', NEAR)).toBe(true))).toEqual({
      ingressBefore: ['frontend'],
      ingressAfter: ['backend', 'marked'],
      egressBefore: ['backend'],
      egressAfter: ['frontend'],
    });
  });

  it('out again from the hook: not seen after ours where it came in, seen by all where it leaves', async () => {
    for (const protocol of ['tcp', 'udp'] as const)
      expect(await sightsOf(FAR, async () => expect(await talk(protocol, FAR)).toBe(true))).toEqual({
        ingressBefore: ['frontend', 'backend'],
        ingressAfter: [],
        egressBefore: ['frontend', 'backend', 'marked'],
        egressAfter: ['frontend', 'backend', 'marked'],
      });
  });

  it('what one before or after ours drops is dropped, and nothing else', async () => {
    expect(await talk('udp', BARRED, 1000)).toBe(false);
    expect(await talk('tcp', BARRED)).toBe(true);
    expect(await talk('udp', NEAR, 1000)).toBe(false);
    expect(await talk('tcp', NEAR)).toBe(true);
  });

  it('what one before ours keeps from the others with TC_ACT_OK is not translated', async () => {
    expect(await talk('udp', KEPT, 1000)).toBe(false);
    expect(await talk('tcp', KEPT)).toBe(true);
  });

  it('a packet with a VLAN tag is left alone: it belongs to the VLAN device', async () => {
    const dial = () => stage.client().actor.tcp(frontend(TAGGED), SERVICE_PORTS.tcp, { timeoutMs: 1000 });
    expect((await sightsOf(TAGGED, dial)).ingressAfter).toEqual(['tagged']);
  });

  it('a restarted agent keeps its place, one after a cleanup gets the last', async () => {
    for (const direction of ['ingress', 'egress'] as const) {
      const before = order(direction);
      expect(before).toHaveLength(3);
      expect(before[1]).toBe(await ours(direction));
    }
    const before = (['ingress', 'egress'] as const).map(order);
    await stage.run({ nodes: [1], extraArgs: ['--xdp', 'off'] });
    expect((['ingress', 'egress'] as const).map(order)).toEqual(before);

    await stage.stop();
    const node = stage.node(1);
    await node.run(sluiceCommand('cleanup', '--bpf-root', node.bpfRoot));
    expect(order('ingress')).toEqual(before[0]?.filter((_, i) => i !== 1));
    expect(await sightsOf(FAR, () => node.run(['ping', '-c', '1', '-W', '5', stage.pod(2, 1).ipv4]))).toMatchObject({
      ingressAfter: ['backend', 'marked'],
      egressAfter: ['backend'],
    });

    await stage.run({ nodes: [1], extraArgs: ['--xdp', 'off'] });
    expect(order('ingress')).toEqual([before[0]?.[0], before[0]?.[2], await ours('ingress')]);
    expect((await sightsOf(NEAR, async () => expect(await talk('tcp', NEAR)).toBe(true))).ingressAfter).toEqual([
      'frontend',
      'marked',
    ]);
  });
});
