/** docs/metrics.md, made of the registry that is scraped, the reasons of the schema and the alerts of the chart. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { reasons } from '../../../../maps-schema/gen/codecs.ts';
import { createMetrics } from '../../../../src/serve/metrics.ts';
import { REPOSITORY } from '../repository.ts';
import { generated, table, withoutRules } from './table.ts';

interface Described {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

interface Alert {
  readonly alert: string;
  readonly annotations: { readonly summary: string; readonly description: string };
}

/** The same words as in an alert, without what Prometheus puts in. */
const plain = (text: string) => text.replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, '*$1*').replaceAll(/\{\{.*?\}\}/g, '…');

/** @returns the whole text of the page. */
export function metricsPage(): string {
  const metrics = createMetrics({ processMetrics: false }).registry.getMetricsAsArray() as unknown as Described[];
  const rows = (prefix: string) =>
    metrics
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name, type, labelNames, help }) => [
        `\`${name}\``,
        type,
        labelNames.map((label) => `\`${label}\``).join(', '),
        help,
      ]);
  const head = ['metric', 'type', 'labels', 'meaning'];
  const { groups } = parse(readFileSync(join(REPOSITORY, 'deploy/helm/sluice/files/rules.yaml'), 'utf8'));
  const alerts = (groups as { rules: Alert[] }[]).flatMap(({ rules }) => rules);
  return `# Metrics

<!-- stage: agent -->
${generated('src/serve/metrics.ts, maps-schema and the alerts of the chart')}

Served at \`/metrics\` of \`metricsBindAddress\`, 127.0.0.1:10249 unless it is set. Times are in seconds. In a cluster the
overlay \`monitoring\` opens it to Prometheus, with a ServiceMonitor, alerts and a dashboard; so do the values \`metrics\` of the chart.

\`\`\`console
$ curl -s http://127.0.0.1:10249/metrics | grep '^sluice_agent_build_info'
sluice_agent_build_info{version="…",schema="…",kernel="…"} 1
\`\`\`

## kube-proxy's

With kube-proxy's names and labels. Both families are synced together: changes, syncs and latencies are counted for both. The latency of
programming leaves out what changed before the agent started. The conntrack metrics are of the walk over the flow tables: every
30 s, and within 5 s of backends that stop serving; entries whose time is over count as deleted too.

${table(head, rows('kubeproxy_'))}

## Sluice's own

${table(head, rows('sluice_'))}

And those of the Node.js process (\`process_*\`, \`nodejs_*\`).

## Reasons

Values of the label \`reason\`, and what \`sluice drops\` lists. A name that begins with \`DROP_\` or \`REJECT_\` says that a client got nothing, or
a refusal; the others say how a packet was served. [Troubleshooting](troubleshooting.md#packets-are-dropped) says what to do.

${table(
  ['reason', 'meaning'],
  reasons.map(({ name, doc }) => [`\`${name}\``, withoutRules(doc)]),
)}

## Alerts

${table(
  ['alert', 'when', 'what it means'],
  alerts.map(({ alert, annotations }) => [`\`${alert}\``, plain(annotations.summary), plain(annotations.description)]),
)}
`;
}
