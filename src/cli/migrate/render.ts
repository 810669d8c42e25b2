/** What `sluice migrate` prints. */
import type { Comparison, Difference } from '../../migrate/compare.ts';
import type { KubeProxyRemoved } from '../kube-proxy.ts';
import { type Column, renderTable } from '../table.ts';
import type { Check } from './checks.ts';

export interface Migration {
  readonly direction: 'to sluice' | 'to kube-proxy';
  readonly dryRun: boolean;
  readonly checks: readonly Check[];
  /** undefined: there was nothing to compare with. */
  readonly comparison?: Comparison;
  /** What is done, in order. */
  readonly steps: readonly string[];
  /** What keeps it from being done. */
  readonly obstacles: readonly string[];
  readonly done: boolean;
  readonly outcome?: string;
  readonly removed?: Omit<KubeProxyRemoved, 'failures'>;
}

const CHECKS: readonly Column<Check>[] = [
  { header: 'CHECK', value: ({ name }) => name },
  { header: 'RESULT', value: ({ result }) => (result === 'failed' ? '! failed' : result) },
  { header: 'DETAIL', value: ({ detail }) => detail },
];

/** Differences that a table shows; -o wide, json and yaml have all. */
const SHOWN = 50;

export function renderMigration(migration: Migration, wide: boolean): string {
  const { checks, comparison, steps, obstacles, done, dryRun, outcome, removed } = migration;
  return [
    checks.length > 0 ? [renderTable(CHECKS, checks)] : [],
    comparison === undefined ? [] : [comparisonText(comparison, wide)],
    dryRun && !done ? ['plan:\n', ...steps.map((step, i) => `  ${i + 1}. ${step}\n`), '\n'] : [],
    obstacles.map((obstacle) => `! ${obstacle}\n`),
    removed === undefined ? [] : [`removed ${removedText(removed)}\n`],
    outcome === undefined ? [] : [`${outcome}\n`],
    dryRun && !done ? ['nothing was changed\n'] : [],
  ]
    .flat()
    .join('');
}

function comparisonText({ compared, differences }: Comparison, wide: boolean): string {
  const known = differences.filter((one) => one.known);
  const open = differences.filter((one) => !one.known);
  const shown = [...open, ...known].slice(0, wide ? undefined : SHOWN);
  const more = differences.length - shown.length;
  return [
    `\ncompared ${compared} frontends: ${open.length} differ${known.length === 0 ? '' : `, and ${known.length} as docs/differences.md says`}\n`,
    ...shown.map(differenceText),
    more > 0 ? `… and ${more} more: -o wide shows all\n` : '',
    '\n',
  ].join('');
}

function differenceText({ service, frontend, clients, kind, kubeProxy, sluice, reason, known }: Difference): string {
  return [
    `${known ? '  ' : '! '}${kind}: ${service} ${frontend}, from ${clients.join(', ')}\n`,
    `    kube-proxy: ${kubeProxy}\n`,
    `    sluice:     ${sluice}\n`,
    `    why:        ${reason}\n`,
  ].join('');
}

function removedText(removed: Omit<KubeProxyRemoved, 'failures'>): string {
  const parts = Object.entries(removed)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${count === 1 ? what.slice(0, -1) : what}`);
  return parts.length === 0 ? 'nothing: nothing of kube-proxy was there' : `${parts.join(', ')} of kube-proxy`;
}
