/** docs/configuration.md, made of the tables that the agent itself reads. */
import { KUBE_PROXY_FLAGS } from '../../../src/config/flags.ts';
import { FATES, ROUTER_FATE, ROUTER_KEY } from '../../../src/config/notes.ts';

const table = (head: string, rows: readonly string[][]) =>
  [`| ${head} | | |`, '|---|---|---|', ...rows.map((row) => `| ${row.join(' | ')} |`)].join('\n');

/** @returns the whole text of the page. */
export function configurationPage(): string {
  const keys = Object.entries({ ...FATES, [ROUTER_KEY]: ROUTER_FATE })
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, [disposition, why]]) => [`\`${key}\``, disposition, why]);
  const flags = Object.entries(KUBE_PROXY_FLAGS)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { key, fate }]) => [
      name === 'v' ? '`-v`, `--v`' : `\`--${name}\``,
      fate?.[0] ?? FATES[key ?? '']?.[0] ?? '',
      fate?.[1] ?? `writes \`${key}\``,
    ]);
  return `# Configuration

<!-- Generated from src/config by test/unit/config/documentation.test.ts: vitest run --project unit -u writes it again. -->

\`sluice agent\` takes the file and the flags of kube-proxy 1.36 as they are. The log says what becomes of each
key and flag that is given, and so does \`sluice status\`. A DaemonSet's arguments can stay:

<!-- not run: these are the arguments of a container -->
\`\`\`sh
sluice agent --config=/var/lib/kube-proxy/config.conf --hostname-override=$(NODE_NAME) --v=2
\`\`\`

## How the file is read

- It is YAML 1.1 or JSON: \`yes\` and \`on\` are true, \`010\` is 8, \`<<\` merges. Of several documents the first counts.
- Keys that are not known, and keys that are written twice, are named in one warning, and the agent runs without
  them; of a key that is written twice the last value counts. \`--strict-config\` makes this an error.
- A value that kube-proxy refuses is refused: the agent ends with a line that names the key.
- Empty values and \`null\` mean the default. \`mode: ""\` means \`iptables\`: NodePorts answer on all addresses.
- \`nodePortAddresses: [all]\` is read too, with a warning: kube-proxy refuses it and wants \`[0.0.0.0/0]\`.
- \`/configz\` shows, and \`--write-config-to FILE\` writes, the whole object with kube-proxy's defaults. Where Sluice
  does without a default (\`oomScoreAdj\`, \`minSyncPeriod\`), the table says so.

## Flags beside the file

With \`--config\` the flags that write a key are not read, but for those of the log (\`-v\`, \`--vmodule\`, \`--logging-format\`,
\`--log-…\`), which win. \`--hostname-override\`, \`--master\`, \`--kubeconfig\` and Sluice's own flags count always. Without
\`--config\` the flags are the configuration; in mode nftables \`--masquerade-all\` and the \`--iptables-…-sync-period\` flags
write its section. A change of the file is taken at the next start.

## Keys

${table('key', keys)}

## Flags of kube-proxy

Flags that kube-proxy 1.36 does not have end the agent with code 2. [Sluice's own](flags.md#sluice-agent).

${table('flag', flags)}
`;
}
