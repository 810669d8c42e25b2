/** `sluice verify`: is what is in force what the agent wants, by a fresh list of the API? */
import { Command, Option } from 'commander';
import { type AgentReport, readReport } from '../../model/agent-report.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Difference, Finding } from '../../verify/difference.ts';
import type { Verified } from '../../verify/verify.ts';
import type { AgentOptions } from '../agent-options.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE, usageError } from '../errors.ts';
import { compareBy } from '../format.ts';
import { orUndefined } from '../optional.ts';
import { addOutput, type OutputFlags, printList } from '../output.ts';
import type { Column } from '../table.ts';
import { agentOptionsOf } from './agent.ts';
import { positive } from './positive.ts';

const NOTHING = '-';

export const VERIFY_COLUMNS: readonly Column<Difference>[] = [
  { header: 'OBJECT', value: (row) => row.object },
  { header: 'WHERE', value: (row) => row.where },
  { header: 'ROW', value: (row) => row.row },
  { header: 'IS', value: (row) => row.is || NOTHING },
  { header: 'SHOULD BE', value: (row) => row.shouldBe || NOTHING },
  { header: 'WHAT TO DO', value: (row) => row.advice, wide: true },
];

const HELP = `
Lists the Services, endpoints and the node anew, compiles them as the agent does, and compares: every row of the maps that
the agent writes, where programs are attached, which programs, with which settings. It writes nothing, and works with
the agent dead. What changes while it looks is looked at again: only what was found twice is a difference.
It uses the flags that the agent was started with, as the agent told; without an agent's report give them after --, e.g.
  sluice verify -- --node-name node1 --kubeconfig /etc/kubernetes/sluice.conf
Not compared: the order of endpoints in a list, generations of backends, flows, and what is remembered of backends that are gone.
Exit codes: 0 equal; 1 there are differences; 2 it could not compare.
`;

interface Flags extends OutputFlags {
  bpfRoot: string;
  manifests?: string;
  kubeconfig?: string;
  lastState?: true;
  timeout: number;
}

export function verifyCommand(context: CliContext): Command {
  const command = new Command('verify')
    .description(
      'compare what is in force with what the agent wants, by a fresh list of the API; exit 1 on a difference',
    )
    .argument('[agent-flags...]', "after --: the agent's flags, in place of those that it told");
  return addOutput(command)
    .addOption(
      new Option('--manifests <directory>', 'compare with YAML files instead').conflicts(['kubeconfig', 'lastState']),
    )
    .addOption(new Option('--kubeconfig <file>', 'how to reach the API server').conflicts('lastState'))
    .option('--last-state', "compare with the last good state in the agent's --state-dir instead")
    .option('--timeout <seconds>', 'how long listing may take', positive, 30)
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (words: readonly string[], flags: Flags) => {
      context.exit(await run(context, words, flags));
    });
}

async function run(context: CliContext, words: readonly string[], flags: Flags): Promise<number> {
  let compared: { readonly verified: Verified; readonly report: AgentReport | undefined };
  try {
    const report = await withMaps(context, flags.bpfRoot, async (maps) =>
      orUndefined(() => readReport(maps.report.view)),
    );
    const agent = optionsOf(context, words, flags, report);
    const request = { agent, lastState: flags.lastState === true, timeoutMs: flags.timeout * 1000 };
    compared = { verified: await context.verify(request), report };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    await context.err.write(`sluice: ${error.message}\n`);
    return EXIT_USAGE;
  }
  const { verified, report } = compared;
  const differences = verified.findings.map((finding) => withAdvice(context, flags.bpfRoot, finding, report));
  const compare = compareBy<Difference>(
    (row) => row.object,
    (row) => row.where,
    (row) => row.row,
  );
  await printList(context.out, differences, {
    format: flags.output,
    headers: flags.headers,
    columns: VERIFY_COLUMNS,
    compare,
    nameOf: (row) => row.object,
  });
  await context.err.write(summary(verified));
  return differences.length === 0 ? EXIT_OK : EXIT_FAILED;
}

function summary({ findings, services, rows, attachments, settings, refused }: Verified): string {
  const looked = `${services} Services, ${rows} rows, ${attachments} links and programs`;
  const without = refused.size === 0 ? '' : `; not compared, for there is no room: ${[...refused.keys()].join(', ')}`;
  const count = findings.length;
  const unseen = settings ? '' : "; without CAP_SYS_ADMIN the programs' settings were not compared";
  return `${count === 0 ? 'equal' : `${count} ${count === 1 ? 'difference' : 'differences'}`}: ${looked}${without}${unseen}\n`;
}

/** The agent's own flags, or those after `--`; where objects come from may be another place. */
function optionsOf(
  context: CliContext,
  words: readonly string[],
  flags: Flags,
  report: AgentReport | undefined,
): AgentOptions {
  const { bpfRoot, manifests, kubeconfig } = flags;
  const source = [
    ...(manifests === undefined ? [] : ['--manifests', manifests]),
    ...(kubeconfig === undefined ? [] : ['--kubeconfig', kubeconfig]),
  ];
  const asTold = words.length === 0 ? report?.options : undefined;
  if (words.length === 0 && asTold === undefined && source.length === 0)
    throw usageError('the agent did not tell its flags: give them after --, e.g. sluice verify -- --node-name node1');
  const given = agentOptionsOf([...words, ...source], context.hostname);
  return { ...given, ...asTold, ...(source.length > 0 && { source: given.source }), bpfRoot };
}

function withAdvice(
  { kernel }: CliContext,
  root: string,
  finding: Finding,
  report: AgentReport | undefined,
): Difference {
  const problem = report?.problems.find(({ namespace, name }) => `${namespace}/${name}` === finding.object);
  return { ...finding, advice: adviceOf(finding, kernel.agentHolds(root) !== false, problem?.message) };
}

function adviceOf({ where }: Finding, agent: boolean, said: string | undefined): string {
  if (said !== undefined) return `the agent says: ${said}`;
  if (!agent) return 'no agent runs: start it, it puts this right';
  if (where === 'settings')
    return 'the agent was started with other flags than these, or waits to load its programs: see its log';
  if (where === 'programs') return 'restart the agent: it makes the set whole';
  return 'the agent puts this right within its syncPeriod; if it stays, see "sluice status" and its log';
}
