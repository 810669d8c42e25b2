/** What must be right, or should be known, before a node changes hands. */

import { readHandover } from '../../bpf/handover.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import type { KubeProxyProcesses } from '../../host/kube-proxy-process.ts';
import type { RuleTexts } from '../../host/kube-proxy-rules.ts';
import { readReport } from '../../model/agent-report.ts';
import type { CliContext } from '../context.ts';
import { orUndefined } from '../optional.ts';
import { readOccupancy } from '../views/occupancy.ts';
import { type ConfigurationSource, configurationChecks } from './configuration.ts';

export interface Check {
  readonly name: string;
  /** `failed` stops a takeover. */
  readonly result: 'ok' | 'warning' | 'failed';
  readonly detail: string;
}

const ok = (name: string, detail: string): Check => ({ name, result: 'ok', detail });
const warning = (name: string, detail: string): Check => ({ name, result: 'warning', detail });
const failed = (name: string, detail: string): Check => ({ name, result: 'failed', detail });

/** @param source where kube-proxy's configuration is; undefined: it was not found. */
export function takeoverChecks(
  { kernel }: CliContext,
  root: string,
  maps: Maps,
  texts: RuleTexts,
  processes: KubeProxyProcesses,
  source: ConfigurationSource | undefined,
): Check[] {
  return [
    kernel.agentHolds(root) === false
      ? failed('agent', 'no agent runs: start "sluice agent --standby"')
      : ok('agent', stateText(maps)),
    ...kernelChecks(kernel.probeFeatures()),
    ...capacityChecks(maps),
    ...problemChecks(maps),
    processCheck(processes),
    ...rulesChecks(texts),
    ...configurationChecks(source),
  ];
}

export function stateText(maps: Pick<Maps, 'control'>): string {
  const { standby, detached } = readHandover(maps.control);
  if (detached) return 'stands by: nothing is attached';
  return standby ? 'is handing back: flows go on, nothing new begins' : 'serves this node';
}

function kernelChecks(features: ReturnType<CliContext['kernel']['probeFeatures']>): Check[] {
  const missing = features.filter(({ present }) => !present);
  if (missing.length === 0) return [ok('kernel', 'has everything')];
  return missing.map(({ name, kernel, effect }) =>
    warning(
      'kernel',
      name === 'conntrack'
        ? `asks nothing of nf_conntrack (kernel ${kernel}, or its module is not loaded): pods' open connections to cluster IPs are reset at the takeover`
        : `has no ${name} (kernel ${kernel}): ${effect}`,
    ),
  );
}

function capacityChecks(maps: Maps): Check[] {
  const full = readOccupancy(maps).filter(({ nearlyFull, evicts }) => nearlyFull && !evicts);
  if (full.length > 0)
    return full.map(({ map, entries, maxEntries }) =>
      failed(
        'capacity',
        `the map ${map} has ${entries} of ${maxEntries} entries: there may be no room for more Services`,
      ),
    );
  const frontends = readOccupancy(maps).find(({ map }) => map === 'frontends');
  return [ok('capacity', `${frontends?.entries ?? 0} frontends, with room for ${frontends?.maxEntries ?? 0}`)];
}

function problemChecks(maps: Maps): Check[] {
  const report = orUndefined(() => readReport(maps.report.view));
  const problems = report?.problems ?? [];
  const count = problems.length + (report?.moreProblems ?? 0);
  if (count === 0) return [];
  const [first] = problems;
  return [
    warning(
      'services',
      `${count} problems, see "sluice status"; the first: ${first?.namespace}/${first?.name}: ${first?.message}`,
    ),
  ];
}

function processCheck({ visible, found }: KubeProxyProcesses): Check {
  if (found.length > 0) return ok('kube-proxy', `runs as process ${found.map(({ pid }) => pid).join(', ')}`);
  return visible
    ? warning('kube-proxy', 'no process of it runs on this node: its rules may be old')
    : ok('kube-proxy', "its process cannot be seen from here: the node's processes are hidden");
}

export function rulesChecks({ found, unread }: RuleTexts): Check[] {
  return [
    ...(found.length === 0
      ? [failed('rules', 'none of kube-proxy were found: nothing serves this node')]
      : found.map(({ form, family, by }) => ok('rules', `${form} mode${family ? `, ${family}` : ''}: read by ${by}`))),
    ...unread.map((text) => warning('rules', `not looked at: ${text}`)),
  ];
}
