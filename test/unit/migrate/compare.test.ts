import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compareRules, type Difference } from '../../../src/migrate/compare.ts';
import { createIptablesRules } from '../../../src/migrate/iptables.ts';
import { createNftablesRules } from '../../../src/migrate/nftables.ts';
import { createOurRules, type OurFrontend } from '../../../src/migrate/ours.ts';
import type { Rules } from '../../../src/migrate/rules.ts';
import { nodeAddress, ourFrontends, proxiedPorts, surroundings } from './world.ts';

const FAMILIES = ['IPv4', 'IPv6'] as const;
type Family = (typeof FAMILIES)[number];
const read = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8');
const facts = surroundings();

/** What the kernel says of kube-proxy's rules in both forms, and how it is read. */
const FORMS = {
  iptables: {
    text: (family: Family) => read(family === 'IPv4' ? 'iptables.txt' : 'ip6tables.txt'),
    rules: (text: string, family: Family) => createIptablesRules(text, family, facts) as Rules,
  },
  nftables: {
    text: (family: Family) => read(family === 'IPv4' ? 'nft-ip.txt' : 'nft-ip6.txt'),
    rules: (text: string, family: Family) => createNftablesRules(text, family, facts),
  },
};
type Form = keyof typeof FORMS;

const ours = (family: Family, change: (rows: OurFrontend[]) => OurFrontend[] = (rows) => rows) =>
  createOurRules(change(ourFrontends(proxiedPorts(family), family)), new Set([nodeAddress(family)]));
const differences = (form: Form, family: Family, text: string, sluice = ours(family)) =>
  compareRules(FORMS[form].rules(text, family), sluice, facts).differences;
const short = ({ service, kind, clients, frontend }: Difference) => `${kind}: ${service} ${frontend} ${clients.join()}`;
const unexpected = (list: readonly Difference[]) => list.filter(({ known }) => !known);

const each = (['iptables', 'nftables'] as const).flatMap((form) => FAMILIES.map((family) => [form, family] as const));

describe.each(each)('%s mode, %s', (form, family) => {
  const text = FORMS[form].text(family);

  it('finds no difference where there is none, for every frontend', () => {
    const result = compareRules(FORMS[form].rules(text, family), ours(family), facts);
    expect(unexpected(result.differences)).toEqual([]);
    // Seven Services with ClusterIP, external IP, load balancer and NodePort, and one with a ClusterIP alone.
    expect(result.compared).toBe(7 * 4 + 1);
    const outside = family === 'IPv4' ? ['198.51.100', '203.0.113'] : ['[fd13:', '[fd15:'];
    const at = (network: string, n: number) =>
      family === 'IPv4' ? `${network}.${n}:80/TCP` : `${network}:${n}]:80/TCP`;
    // What is known: to whom the node itself is refused, or not.
    expect(result.differences.map(short)).toEqual(
      outside.map((network) =>
        form === 'nftables'
          ? `verdict: shop/away:http ${at(network, 3)} node`
          : `only sluice: shop/empty:http ${at(network, 6)} node`,
      ),
    );
  });

  it('knows whose frontends they are', () => {
    const rules = FORMS[form].rules(text, family);
    const names = new Set(rules.frontends.map((frontend) => rules.nameOf(frontend)));
    for (const service of [
      'web:http',
      'web:dns',
      'here:http',
      'away:http',
      'sticky:http',
      'closed:http',
      'empty:http',
      'inner',
    ])
      expect(names).toContain(`shop/${service}`);
  });

  it('does not see what is missing on our side as equal', () => {
    const without = ours(family, (rows) => rows.filter(({ name }) => name !== 'shop/inner'));
    expect(differences(form, family, text, without).filter(({ known }) => !known)).toMatchObject([
      { kind: 'only kube-proxy', service: 'shop/inner', clients: ['pod', 'node', 'outside'] },
    ]);
  });

  it('finds what only we serve', () => {
    const [first] = ourFrontends(proxiedPorts(family), family);
    if (first === undefined) throw new Error('no row');
    const more = ours(family, (rows) => [...rows, { ...first, port: 8088, name: 'shop/new:http' }]);
    // nftables mode refuses a port that a cluster IP does not have.
    expect(unexpected(differences(form, family, text, more))).toMatchObject([
      form === 'nftables'
        ? { kind: 'verdict', service: 'shop/new:http', kubeProxy: 'refused' }
        : { kind: 'only sluice', service: 'shop/new:http', kubeProxy: 'no rule' },
    ]);
  });

  it('finds another backend, whose source is translated, affinity, ranges, refusal: each where it was changed', () => {
    const change = (name: string, to: Partial<OurFrontend>, where = (_: OurFrontend) => true) =>
      differences(
        form,
        family,
        text,
        ours(family, (rows) => rows.map((row) => (row.name === name && where(row) ? { ...row, ...to } : row))),
      ).filter(({ known }) => !known);
    const backend = family === 'IPv4' ? '10.244.9.9:8443' : '[fd44:0:0:9::9]:8443';
    const inner = change('shop/inner', { internal: [backend] });
    expect(inner).toMatchObject([{ kind: 'backends', service: 'shop/inner', clients: ['pod', 'node'] }]);
    expect(inner[0]?.sluice).toBe(`1 backends, only here: ${backend}`);
    expect(change('shop/inner', { masquerade: { pod: true, node: true, outside: true } })).toMatchObject([
      { kind: 'masquerade', clients: ['pod'], kubeProxy: 'no', sluice: 'yes' },
    ]);
    expect(change('shop/sticky:http', { affinitySeconds: 0 }).map(({ kind, kubeProxy }) => [kind, kubeProxy])).toEqual(
      Array(4).fill(['affinity', '600 s']),
    );
    const ranged = (row: OurFrontend) => row.sourceRanges !== undefined;
    const ranges = (sourceRanges: readonly string[]) => change('shop/closed:http', { sourceRanges }, ranged);
    const everybody = ranges(family === 'IPv4' ? ['0.0.0.0/0'] : ['::/0']);
    expect(everybody).toMatchObject([{ kind: 'verdict', clients: ['pod', 'node', 'outside'], kubeProxy: 'dropped' }]);
    // Wider than what it was, at its end alone.
    const wider = ranges(family === 'IPv4' ? ['172.31.0.0/23', '192.168.7.0/28'] : ['fd31::/62']);
    expect(wider.map(({ kind, kubeProxy }) => [kind, kubeProxy])).toEqual([
      ['source ranges', family === 'IPv4' ? '172.31.0.0/23: dropped' : 'fd31::/62: dropped'],
    ]);
    const cluster = (row: OurFrontend) => row.masquerade.pod === false;
    const dropped = change('shop/empty:http', { internalDrop: true, externalDrop: true }, cluster);
    expect(dropped).toMatchObject([{ kind: 'verdict', sluice: 'dropped' }]);
  });
});

/** Changes of what the kernel said, and what is to be found for each. */
const SEEDS: readonly {
  readonly what: string;
  readonly form: Form;
  readonly change: (text: string) => string;
  readonly expected: Partial<Difference>;
}[] = [
  {
    what: 'a backend at another port',
    form: 'iptables',
    change: (text) => text.replace('--to-destination 10.244.2.2:8443', '--to-destination 10.244.2.2:8444'),
    expected: { kind: 'backends', service: 'shop/inner' },
  },
  {
    what: 'a rule of the node addresses that is gone',
    form: 'iptables',
    change: (text) => text.replace(/^-A KUBE-NODEPORTS .*--dport 30001 .*\n/m, ''),
    expected: { kind: 'only sluice', service: 'shop/web:http', frontend: '172.30.0.11:30001/TCP' },
  },
  {
    what: 'everybody masqueraded',
    form: 'iptables',
    change: (text) =>
      text.replace(/ ! -s 10.244.0.0\/16( -d 10.96.0.7)/, '$1').replace(/( -d 10.96.0.7\/32) ! -s \S+/, '$1'),
    expected: { kind: 'masquerade', service: 'shop/inner', clients: ['pod'], kubeProxy: 'yes' },
  },
  {
    what: 'a drop in place of a refusal',
    form: 'iptables',
    change: (text) => text.replace(/(-d 10.96.0.6\/32 .*) -j REJECT .*/, '$1 -j DROP'),
    expected: { kind: 'verdict', service: 'shop/empty:http', kubeProxy: 'dropped', sluice: 'refused' },
  },
  {
    what: 'another time of affinity',
    form: 'iptables',
    change: (text) => text.replaceAll('--seconds 600', '--seconds 900'),
    expected: { kind: 'affinity', service: 'shop/sticky:http', kubeProxy: '900 s' },
  },
  {
    what: 'a source range more',
    form: 'iptables',
    change: (text) =>
      text.replace(/^(-A KUBE-FW-\S+) -s 192.168.7.0\/28(.*)$/m, '$1 -s 192.168.7.0/28$2\n$1 -s 192.168.99.0/24$2'),
    expected: {
      kind: 'source ranges',
      service: 'shop/closed:http',
      clients: ['outside'],
      sluice: '192.168.99.0/24: dropped',
    },
  },
  {
    what: 'a match that nobody knows',
    form: 'iptables',
    change: (text) => text.replace(/^(-A KUBE-SERVICES -d 10.96.0.7\/32 -p tcp)/m, '$1 -m geoip --src-cc XX'),
    expected: { kind: 'not understood', service: 'shop/inner', kubeProxy: '--src-cc XX' },
  },
  {
    what: 'a backend at another address',
    form: 'nftables',
    change: (text) =>
      text.replace('"dnat":{"addr":"10.244.2.2","port":8443}', '"dnat":{"addr":"10.244.2.3","port":8443}'),
    expected: { kind: 'backends', service: 'shop/inner' },
  },
  {
    what: 'a NodePort that is gone',
    form: 'nftables',
    change: (text) => text.replace(/\[\{"concat":\["tcp",30001\]\},\{"goto":\{"target":"external-[^"]*"\}\}\],?/, ''),
    expected: { kind: 'only sluice', service: 'shop/web:http', frontend: '172.30.0.11:30001/TCP' },
  },
  {
    what: 'another time of affinity',
    form: 'nftables',
    change: (text) => text.replaceAll('"timeout":600', '"timeout":900'),
    expected: { kind: 'affinity', service: 'shop/sticky:http', kubeProxy: '900 s' },
  },
  {
    what: 'a range less',
    form: 'nftables',
    change: (text) => text.replace('{"prefix":{"addr":"172.31.0.0","len":24}},', ''),
    expected: { kind: 'source ranges', service: 'shop/closed:http', kubeProxy: '172.31.0.0/24: dropped' },
  },
  {
    what: 'a statement that nobody knows',
    form: 'nftables',
    change: (text) =>
      text.replace(
        '{"dnat":{"addr":"10.244.2.2","port":8443}}',
        '{"teleport":1},{"dnat":{"addr":"10.244.2.2","port":8443}}',
      ),
    expected: { kind: 'not understood', service: 'shop/inner', kubeProxy: '{"teleport":1}' },
  },
];

describe('differences that were put in', () => {
  it.each(SEEDS)('$form: $what', ({ form, change, expected }) => {
    const text = FORMS[form].text('IPv4');
    const changed = change(text);
    expect(changed).not.toBe(text);
    const found = unexpected(differences(form, 'IPv4', changed));
    expect(found).toContainEqual(expect.objectContaining(expected));
    // Nothing else is named.
    expect(new Set(found.map(({ service }) => service))).toEqual(new Set([expected.service]));
    for (const { reason } of found) expect(reason).not.toBe('');
  });
});

describe('rules of anybody', () => {
  it('passes over the chains of others', () => {
    const others = FORMS.iptables
      .text('IPv4')
      .replace('*nat\n', '*nat\n:CNI-HOSTPORT - [0:0]\n:KUBE-ROUTER-X - [0:0]\n')
      .replace(
        '-A PREROUTING',
        '-A PREROUTING -j CNI-HOSTPORT\n-A PREROUTING -d 10.96.0.1/32 -j DROP\n-A CNI-HOSTPORT -j DROP\n-A PREROUTING',
      );
    expect(unexpected(differences('iptables', 'IPv4', others))).toEqual([]);
  });

  it('says that there is nothing of kube-proxy', () => {
    expect(createIptablesRules('*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n', 'IPv4', facts)).toBeUndefined();
    expect(createIptablesRules('', 'IPv4', facts)).toBeUndefined();
  });

  it('ends with chains that turn in a circle, or of which one leads to all others', () => {
    const names = Array.from({ length: 40 }, (_, n) => `KUBE-SVC-${'A'.repeat(n + 1)}`);
    const circle = [
      '*nat',
      '-A PREROUTING -j KUBE-SERVICES',
      '-A KUBE-SERVICES -d 10.0.0.1/32 -p tcp --dport 80 -j KUBE-SVC-A',
      ...names.flatMap((name, n) => [
        `-A ${name} -m statistic --mode random --probability 0.5 -j ${names[(n + 1) % names.length]}`,
        `-A ${name} -m statistic --mode random --probability 0.5 -j ${names[(n + 7) % names.length]}`,
        `-A ${name} -j ${name}`,
      ]),
      'COMMIT',
    ].join('\n');
    const rules = createIptablesRules(circle, 'IPv4', facts) as Rules;
    const { pod } = facts.sources.IPv4;
    const { unknown } = rules.ask({ address: '10.0.0.1', port: 80, protocol: 'TCP', source: pod });
    expect(unknown.join()).toMatch(/lead to each other|more rules/);
  });

  it('reads garbage without a fault', () => {
    const source = facts.sources.IPv4.pod;
    const question = { address: '10.96.0.1', port: 80, protocol: 'TCP', source } as const;
    const text = FORMS.iptables.text('IPv4');
    for (let cut = 0; cut < text.length; cut += 997) {
      const broken = `${text.slice(0, cut)}\u0000\n-A\n-A KUBE-SERVICES -j\n-A KUBE-SERVICES !\n-A KUBE-SERVICES -d -p ! --dport\n:\n${text.slice(cut + 50)}`;
      createIptablesRules(broken, 'IPv4', facts)?.ask(question);
    }
    for (const json of [
      '[]',
      '{}',
      '{"nftables":5}',
      '{"nftables":[1,null,{"rule":{"chain":"services","expr":[null,5,{},{"match":{}},{"vmap":{}},{"vmap":{"key":{"concat":[{}]},"data":{"set":[[],[1]]}}},{"mangle":null},{"dnat":{}},{"jump":{}}]}},{"chain":{"name":"services","hook":"prerouting"}},{"map":{"name":"m","elem":[5,[],[{}],[{"concat":[1,{}]},{}]]}}]}',
    ])
      createNftablesRules(json, 'IPv4', facts).ask(question);
    expect(() => createNftablesRules('no JSON', 'IPv4', facts)).toThrow(SyntaxError);
  });

  it('compares 5,000 Services in seconds', () => {
    const [base] = proxiedPorts('IPv4').filter(({ service }) => service === 'inner');
    if (base === undefined) throw new Error('no inner');
    const lines = ['*nat', '-A PREROUTING -j KUBE-SERVICES', '-A OUTPUT -j KUBE-SERVICES'];
    const rows: OurFrontend[] = [];
    for (let n = 0; n < 5000; n++) {
      const address = `10.97.${n >> 8}.${n & 255}`;
      const id = n.toString(36).toUpperCase();
      lines.push(
        `-A KUBE-SERVICES -d ${address}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-${id}`,
        `-A KUBE-SVC-${id} -j KUBE-SEP-${id}`,
        `-A KUBE-SEP-${id} -p tcp -m tcp -j DNAT --to-destination 10.1.1.1:${n + 1}`,
      );
      rows.push({
        ...(ourFrontends([base], 'IPv4')[0] as OurFrontend),
        address,
        port: 80,
        internal: [`10.1.1.1:${n + 1}`],
        external: [`10.1.1.1:${n + 1}`],
        masquerade: { pod: false, node: false, outside: false },
      });
    }
    const rules = createIptablesRules([...lines, 'COMMIT'].join('\n'), 'IPv4', facts) as Rules;
    const began = performance.now();
    expect(compareRules(rules, createOurRules(rows, new Set()), facts)).toEqual({ compared: 5000, differences: [] });
    expect(performance.now() - began).toBeLessThan(15_000);
  });
});
