/** `sluice service problems`: what of Services was refused, and why, as the agent told it last. */
import { Command } from 'commander';
import { type AgentReport, readReport } from '../../model/agent-report.ts';
import type { Problem } from '../../model/compiled.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { addFilters, type FilterFlags, filterOf } from '../filter.ts';
import { compareBy } from '../format.ts';
import { orUndefined } from '../optional.ts';
import { addOutput, type OutputFlags, printList } from '../output.ts';
import type { Column } from '../table.ts';
import { matchesService, type ServiceFilter } from '../views/names.ts';

export const PROBLEM_COLUMNS: readonly Column<Problem>[] = [
  { header: 'NAMESPACE', value: (row) => row.namespace },
  { header: 'KIND', value: (row) => row.kind },
  { header: 'NAME', value: (row) => row.name },
  { header: 'FIELD', value: (row) => row.field },
  { header: 'WHY', value: (row) => `! ${row.message}` },
];

/** @returns a line for the problems that the report had no room for. */
export function moreText({ moreProblems }: AgentReport): string[] {
  return moreProblems > 0 ? [`and ${moreProblems} more: the agent's log has them\n`] : [];
}

/** What the agent said of Services that match, and of their slices, whose names begin with the Service's. */
export function problemsOf(report: AgentReport | undefined, filter: ServiceFilter): Problem[] {
  const named = ({ kind, name }: Problem) =>
    filter.name === undefined ||
    name === filter.name ||
    (kind === 'EndpointSlice' && name.startsWith(`${filter.name}-`));
  return (report?.problems ?? []).filter(
    (problem) => matchesService({ namespace: filter.namespace }, { ...problem, port: '' }) && named(problem),
  );
}

export function problemsCommand(context: CliContext): Command {
  const command = new Command('problems')
    .alias('refused')
    .description('list what of Services and their endpoints was refused or ignored, and why')
    .argument('[name]', 'only this Service: name or namespace/name');
  return addOutput(addFilters(command))
    .addOption(bpfRootOption())
    .action(async (name: string | undefined, flags: FilterFlags & OutputFlags & { bpfRoot: string }) => {
      const filter = filterOf(name, flags);
      const report = await withMaps(context, flags.bpfRoot, async (maps) =>
        orUndefined(() => readReport(maps.report.view)),
      );
      const rows = problemsOf(report, filter);
      const compare = compareBy<Problem>(
        (row) => row.namespace,
        (row) => row.name,
        (row) => row.field,
      );
      const listed = await printList(context.out, rows, {
        format: flags.output,
        headers: flags.headers,
        columns: PROBLEM_COLUMNS,
        compare,
        nameOf: (row) => `${row.namespace}/${row.name}`,
      });
      if (listed.rows === 0) await context.err.write('nothing is refused\n');
      if (report !== undefined) for (const line of moreText(report)) await context.err.write(line);
      context.exit(EXIT_OK);
    });
}
