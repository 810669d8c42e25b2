/** `sluice migrate` against a kernel in memory: what it refuses, what it changes, what it prints. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  CONTROL_ATTACHED,
  FLOW_CLOSING_FIN,
  FLOW_FOREIGN,
  FRONTEND_CLUSTER_IP,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
} from '../../../maps-schema/gen/codecs.ts';
import { readHandover, writeHandover } from '../../../src/bpf/handover.ts';
import type { PinnedLink } from '../../../src/bpf/links.ts';
import type { Kernel } from '../../../src/cli/kernel.ts';
import { flagsOf } from '../../../src/cli/migrate/configuration.ts';
import { countOpenFlows } from '../../../src/cli/migrate/open-flows.ts';
import type { Migration } from '../../../src/cli/migrate/render.ts';
import { findKubeProxy } from '../../../src/host/kube-proxy-process.ts';
import { type RuleTexts, readKubeProxyRules } from '../../../src/host/kube-proxy-rules.ts';
import {
  createMaps,
  type FakeMaps,
  kernelWith,
  putFlow,
  putFrontend,
  putName,
  putSlot,
  sluice,
} from './fake-kernel.ts';

const RULES = `*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MASQUERADE
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SVC-A -i eth0 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-SVC-A -s 198.18.0.0/24 -j KUBE-MARK-MASQ
-A KUBE-SVC-A -j KUBE-SEP-A
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.0.1:8080
COMMIT
`;
const texts = (text = RULES): RuleTexts => ({
  found: [{ form: 'iptables', family: 'IPv4', by: 'iptables-save', text }],
  unread: [],
});
const NONE: RuleTexts = { found: [], unread: ['nft: no such program here; install nftables'] };
const LINK: PinnedLink = { name: 'dev4_ingress', attached: true, kind: 'tcx' } as PinnedLink;

function maps(): FakeMaps {
  const made = createMaps();
  putName(made, 1, 'shop/web', 'http');
  putSlot(made, 1, {});
  const flags = FRONTEND_CLUSTER_IP | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;
  putFrontend(made, {}, { flags, internalBase: 1, internalCount: 1, externalBase: 1, externalCount: 1 });
  return made;
}

/** @param state of the node before */
async function migrate(flags: readonly string[], state: 'shadow' | 'serving' | 'draining', more: Partial<Kernel> = {}) {
  const made = maps();
  const standby = state !== 'serving';
  writeHandover(made.control, { standby, detached: state === 'shadow' });
  made.control.view.writeUInt8(CONTROL_ATTACHED, 6);
  let removed = 0;
  const kernel = kernelWith(made, {
    listLinks: () => (readHandover(made.control).detached ? [] : [LINK]),
    readKubeProxyRules: () => texts(),
    removeKubeProxy: () => {
      removed++;
      return { chains: 3, tables: 0, devices: 0, sets: 0, failures: [] };
    },
    ...more,
  });
  const { code, out, err } = await sluice(['migrate', ...flags], kernel);
  const json = flags.includes('json') ? (JSON.parse(out) as Migration) : undefined;
  return { code, out, err, json, after: readHandover(made.control), removed, maps: made };
}

const SHADOW = { standby: true, detached: true };
const SERVING = { standby: false, detached: false };

describe('takeover', () => {
  it('compares, and begins when everything is attached', async () => {
    const { code, out, after } = await migrate([], 'shadow');
    expect(out).toContain('compared 1 frontends: 0 differ');
    expect(out).toContain('Sluice serves this node; next: keep kube-proxy off it');
    expect([code, after]).toEqual([0, SERVING]);
  });

  it('--dry-run prints the plan and changes nothing', async () => {
    const { code, out, after } = await migrate(['--dry-run'], 'shadow');
    expect(out).toMatch(/plan:\n {2}1\. attach .*\n {2}2\. begin/);
    expect(out).toContain('nothing was changed');
    expect([code, after]).toEqual([0, SHADOW]);
  });

  it('a difference stops it, unless forced', async () => {
    const other = { readKubeProxyRules: () => texts(RULES.replace(':8080', ':8081')) };
    const { code, json, after } = await migrate(['-o', 'json'], 'shadow', other);
    expect(json).toMatchObject({
      done: false,
      comparison: { differences: [{ kind: 'backends', service: 'shop/web:http' }] },
    });
    expect([code, after]).toEqual([1, SHADOW]);
    expect((await migrate(['--dry-run'], 'shadow', other)).code).toBe(1);
    expect(await migrate(['--force'], 'shadow', other)).toMatchObject({ code: 0, after: SERVING });
  });

  it('a difference that passes by itself does not', async () => {
    let looks = 0;
    const settling = { readKubeProxyRules: () => texts(looks++ < 3 ? RULES.replace(':8080', ':8081') : RULES) };
    expect(await migrate([], 'shadow', settling)).toMatchObject({ code: 0, after: SERVING });
  });

  it.each([
    [
      'no rules',
      { readKubeProxyRules: () => NONE },
      /rules +! failed .*nothing serves this node[\s\S]*not looked at: nft/,
    ],
    ['no agent', { agentHolds: () => false }, /agent +! failed .*start "sluice agent --standby"/],
  ])('%s stops it, forced too', async (_, more, message) => {
    const { code, out, after } = await migrate(['--force'], 'shadow', more);
    expect(out).toMatch(message);
    expect([code, after]).toEqual([1, SHADOW]);
  });

  it('done already, it says so; from the middle of handing back it takes over again', async () => {
    expect(await migrate([], 'serving')).toMatchObject({ code: 0, after: SERVING });
    expect(await migrate([], 'draining')).toMatchObject({ code: 0, after: SERVING });
  });
});

describe('--finish', () => {
  const gone = () => {
    let read = 0;
    return { readKubeProxyRules: () => (read++ === 0 ? texts() : { found: [], unread: [] }) };
  };

  it('says what it removed', async () => {
    const { code, out, removed } = await migrate(['--finish'], 'serving', gone());
    expect(out).toContain('removed 3 chains of kube-proxy');
    expect([code, removed]).toEqual([0, 1]);
  });

  it.each([
    [
      'kube-proxy runs',
      { findKubeProxy: () => ({ visible: true, found: [{ pid: 7, args: [], root: '/' }] }) },
      /runs as process 7/,
    ],
    ['nobody can tell', { findKubeProxy: () => ({ visible: false, found: [] }) }, /cannot be seen from here/],
  ])('%s: it removes nothing', async (_, more, message) => {
    const { code, out, removed } = await migrate(['--finish'], 'serving', { ...gone(), ...more });
    expect(out).toMatch(message);
    expect([code, removed]).toEqual([1, 0]);
  });

  it('rules that come again are told, a dry run removes nothing, and neither does a node that stands by', async () => {
    expect(await migrate(['--finish'], 'serving')).toMatchObject({
      code: 1,
      out: expect.stringContaining('there again'),
    });
    expect(await migrate(['--finish', '--dry-run'], 'serving', gone())).toMatchObject({ code: 0, removed: 0 });
    expect(await migrate(['--finish'], 'shadow', gone())).toMatchObject({
      code: 1,
      removed: 0,
      err: expect.stringContaining('run "sluice migrate" first'),
    });
  });
});

describe('--back', () => {
  it('hands back when no flow is left', async () => {
    expect(await migrate(['--back'], 'serving')).toMatchObject({ code: 0, after: SHADOW });
    expect(await migrate(['--back'], 'shadow')).toMatchObject({ code: 0, after: SHADOW });
  });

  it('detaches by itself where no agent does', async () => {
    let detached = 0;
    const { code } = await migrate(['--back'], 'serving', { agentHolds: () => false, detach: () => void detached++ });
    expect([code, detached]).toEqual([0, 1]);
  });

  it('is refused while nothing would serve, and with another answer in the rules', async () => {
    expect(await migrate(['--back', '--force'], 'serving', { readKubeProxyRules: () => NONE })).toMatchObject({
      code: 1,
      after: SERVING,
    });
    const other = { readKubeProxyRules: () => texts(RULES.replace(':8080', ':8081')) };
    expect(await migrate(['--back'], 'serving', other)).toMatchObject({ code: 1, after: SERVING });
  });

  it('counts what has not ended', () => {
    const made = createMaps();
    const now = 1_000_000;
    putFlow(made.flows, { sport: 1 }, { lastSeen: now });
    putFlow(made.flows, { sport: 2 }, { lastSeen: now, closing: FLOW_CLOSING_FIN });
    putFlow(made.flows, { sport: 3 }, { lastSeen: now, flags: FLOW_FOREIGN });
    putFlow(made.flows, { sport: 4 }, { lastSeen: now - 1_000_000 });
    putFlow(made.flows, { sport: 5, proto: 17 }, { lastSeen: now - 200_000 });
    putFlow(made.halfOpenFlows, { sport: 6 }, { lastSeen: now - 200_000 });
    putFlow(made.halfOpenFlows, { sport: 7, proto: 17 }, { lastSeen: now - 1000 });
    expect(countOpenFlows(made, { now, jiffiesPerSecond: 1000, elapsed: 0 })).toBe(3);
    expect(countOpenFlows(made, { now, jiffiesPerSecond: 1000, elapsed: 300 })).toBe(2);
    expect(countOpenFlows(made, undefined)).toBe(5);
  });

  it('waits so long as it is told', async () => {
    expect((await migrate(['--back', '--timeout', 'soon'], 'serving')).code).toBe(2);
    expect((await migrate(['--back', '--finish'], 'serving')).code).toBe(2);
  });
});

describe('what is there of kube-proxy', () => {
  it('rules: of each kind of iptables, of its nftables, of IPVS', () => {
    const answers: Record<string, string> = {
      'iptables-nft-save ': RULES,
      'iptables-legacy-save ': '*nat\n:KUBE-SERVICESX - [0:0]\n',
      'nft list tables': 'table ip kube-proxy\ntable ip mine\n',
      'nft -j list table ip kube-proxy': '{}',
      'ip link show dev kube-ipvs0': '5: kube-ipvs0',
    };
    const { found, unread } = readKubeProxyRules(
      (program, args) => {
        const stdout = answers[`${program} ${args.join(' ')}`];
        return stdout === undefined ? undefined : { code: 0, stdout, stderr: '' };
      },
      () => 'virtual servers',
    );
    expect(found.map(({ form, family, by }) => [form, family, by])).toEqual([
      ['iptables', 'IPv4', 'iptables-nft-save'],
      ['nftables', 'IPv4', 'nft -j list table ip kube-proxy'],
      ['ipvs', undefined, '/proc/net/ip_vs'],
    ]);
    expect(unread).toEqual([expect.stringContaining('ip6tables-save: no such program here')]);
  });

  it('its command line', () => {
    expect(flagsOf(['--config=/a', '--v', '2', '--masquerade-all', '--unknown=3', 'x'])).toEqual({
      config: '/a',
      v: '2',
      'masquerade-all': 'true',
    });
  });

  it('its process: not this one', () => {
    expect(findKubeProxy().found).toEqual([]);
    expect(readFileSync('/proc/self/cmdline', 'utf8')).not.toBe('');
  });
});
