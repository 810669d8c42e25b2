/** What kube-proxy wrote into the kernel of this node, as the tools show it: iptables, nftables, IPVS. */
import { readFileSync } from 'node:fs';
import type { Family } from '../model/address.ts';
import type { Run } from './run.ts';

export type RuleForm = 'iptables' | 'nftables' | 'ipvs';

export interface RuleText {
  readonly form: RuleForm;
  /** undefined: of both. */
  readonly family?: Family;
  /** What it was read by, for people. */
  readonly by: string;
  readonly text: string;
}

export interface RuleTexts {
  /** Only those that have something of kube-proxy's. */
  readonly found: readonly RuleText[];
  /** What could not be looked at, and why. */
  readonly unread: readonly string[];
}

const FAMILIES: readonly (readonly [Family, string, string])[] = [
  ['IPv4', 'iptables', 'ip'],
  ['IPv6', 'ip6tables', 'ip6'],
];
const IPVS = '/proc/net/ip_vs';

/** The kernel's two kinds of iptables are looked at apart: kube-proxy's rules may be in either. */
export function readKubeProxyRules(run: Run, readFile = (path: string) => readFileSync(path, 'utf8')): RuleTexts {
  const found: RuleText[] = [];
  const unread: string[] = [];
  for (const [family, iptables, table] of FAMILIES) {
    const kinds = [`${iptables}-nft-save`, `${iptables}-legacy-save`];
    const tried = kinds.map((by) => ({ by, result: run(by, []) })).filter(({ result }) => result !== undefined);
    const saves = tried.length > 0 ? tried : [{ by: `${iptables}-save`, result: run(`${iptables}-save`, []) }];
    for (const { by, result } of saves) {
      if (result === undefined)
        unread.push(`${by}: no such program here; install iptables, or run it in Sluice's image`);
      else if (result.code !== 0) unread.push(`${by}: ${firstLine(result.stderr)}`);
      else if (/^:KUBE-SERVICES /m.test(result.stdout))
        found.push({ form: 'iptables', family, by, text: result.stdout });
    }
    const tables = run('nft', ['list', 'tables']);
    if (tables === undefined) {
      if (family === 'IPv4') unread.push("nft: no such program here; install nftables, or run it in Sluice's image");
    } else if (tables.code !== 0) unread.push(`nft list tables: ${firstLine(tables.stderr)}`);
    else if (tables.stdout.split('\n').some((line) => line.trim() === `table ${table} kube-proxy`)) {
      const by = `nft -j list table ${table} kube-proxy`;
      const listed = run('nft', ['-j', 'list', 'table', table, 'kube-proxy']);
      if (listed?.code === 0) found.push({ form: 'nftables', family, by, text: listed.stdout });
      else unread.push(`${by}: ${firstLine(listed?.stderr ?? '')}`);
    }
  }
  // Without the device the virtual servers are somebody else's.
  if (run('ip', ['link', 'show', 'dev', 'kube-ipvs0'])?.code === 0) {
    try {
      found.push({ form: 'ipvs', by: IPVS, text: readFile(IPVS) });
    } catch (error) {
      unread.push(`${IPVS}: ${(error as Error).message}`);
    }
  }
  return { found, unread };
}

const firstLine = (text: string) => text.trim().split('\n')[0] || 'failed without a word';
