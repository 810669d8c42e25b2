/**
 * Removes what kube-proxy left in the kernel: its chains of iptables, its nftables, the device
 * kube-ipvs0 and its sets. kubelet's chains and those of others stay, whatever their names begin with.
 */
import { type Run, run } from '../host/run.ts';
import { KUBE_PROXY_CHAIN } from '../migrate/iptables.ts';
import { keepingTable } from './keeping-table.ts';

export interface KubeProxyRemoved {
  readonly chains: number;
  readonly tables: number;
  readonly devices: number;
  readonly sets: number;
  /** What stays, and why. */
  readonly failures: readonly string[];
}

const SET =
  /^KUBE-(6-)?(LOOP-BACK|CLUSTER-IP|EXTERNAL-IP(-LOCAL)?|LOAD-BALANCER(-FW|-LOCAL|-SOURCE-CIDR|-SOURCE-IP)?|NODE-PORT(-LOCAL)?-(TCP|UDP|SCTP(-HASH)?)|HEALTH-CHECK-NODE-PORT|IPVS-IPS)$/;
const FRONTENDS = ['iptables', 'ip6tables'].flatMap((tool) => [tool, `${tool}-legacy`, `${tool}-nft`]);
/** A comment may say anything. */
const QUOTED = /"(\\.|[^"\\])*"/g;
const DEVICE = 'kube-ipvs0';

/** What iptables-restore is to be told, from what iptables-save says. */
export function restoreScript(saved: string): { readonly script: string; readonly chains: number } {
  const script: string[] = [];
  let chains = 0;
  for (const table of saved.split(/^(?=\*)/m)) {
    const lines = table.split('\n');
    const name = lines[0] ?? '';
    const own = lines
      .flatMap((line) => (line.startsWith(':') ? [line.slice(1).split(' ')[0] ?? ''] : []))
      .filter((chain) => KUBE_PROXY_CHAIN.test(chain));
    if (!name.startsWith('*') || own.length === 0) continue;
    chains += own.length;
    const isOwn = new Set(own);
    const jumps = lines.filter((line) => {
      const [, chain = ''] = /^-A (\S+) /.exec(line) ?? [];
      const [, target = ''] = / -[jg] (\S+)/.exec(line.replace(QUOTED, '')) ?? [];
      return !isOwn.has(chain) && isOwn.has(target);
    });
    // A chain that is declared is emptied; it can go when nothing leads to it.
    script.push(name, ...own.map((chain) => `:${chain} - [0:0]`), ...jumps.map((rule) => `-D${rule.slice(2)}`));
    script.push(...own.map((chain) => `-X ${chain}`), 'COMMIT');
  }
  return { script: script.length === 0 ? '' : `${script.join('\n')}\n`, chains };
}

/** Removes everything of kube-proxy that is there; what is absent, programs included, is passed over. */
export function removeKubeProxy(execute: Run = run): KubeProxyRemoved {
  const failures: string[] = [];
  /** @returns whether the program was there and did it. */
  const did = (what: string, program: string, args: readonly string[], input?: string): boolean => {
    const result = execute(program, args, input);
    if (result !== undefined && result.code !== 0) failures.push(`${what}: ${result.stderr.trim().split('\n')[0]}`);
    return result?.code === 0;
  };
  const listed = (program: string, args: readonly string[]): string[] =>
    (execute(program, args)?.stdout ?? '').split('\n').map((line) => line.trim());

  const kept = new Set<string>();
  /** Before the first thing of a family goes. */
  const keepOpen = (family: 'ip' | 'ip6'): void => {
    if (kept.has(family)) return;
    kept.add(family);
    did(`keep open connections of ${family}`, 'nft', ['-f', '-'], keepingTable(family));
  };

  let chains = 0;
  for (const tool of FRONTENDS) {
    const saved = execute(`${tool}-save`, []);
    if (saved === undefined || saved.code !== 0) continue;
    const todo = restoreScript(saved.stdout);
    if (todo.script === '') continue;
    keepOpen(tool.startsWith('ip6') ? 'ip6' : 'ip');
    if (did(`remove chains by ${tool}`, `${tool}-restore`, ['--noflush'], todo.script)) chains += todo.chains;
  }
  const tables = listed('nft', ['list', 'tables'])
    .filter((line) => /^table (ip|ip6|inet) kube-proxy$/.test(line))
    .filter((line) => {
      if (!line.startsWith('table ip6 ')) keepOpen('ip');
      if (!line.startsWith('table ip ')) keepOpen('ip6');
      return did(`delete ${line}`, 'nft', ['delete', ...line.split(' ')]);
    }).length;
  const devices =
    execute('ip', ['link', 'show', 'dev', DEVICE])?.code === 0 &&
    did(`delete ${DEVICE}`, 'ip', ['link', 'delete', DEVICE])
      ? 1
      : 0;
  // What the device's addresses led to: kube-proxy --cleanup clears it too.
  if (devices > 0) did('clear IPVS', 'ipvsadm', ['-C']);
  const sets = listed('ipset', ['list', '-n'])
    .filter((name) => SET.test(name))
    .filter((name) => did(`destroy set ${name}`, 'ipset', ['destroy', name])).length;
  return { chains, tables, devices, sets, failures };
}
