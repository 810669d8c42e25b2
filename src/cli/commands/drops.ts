/** `sluice drops`: why packets were refused or dropped. */
import { Command } from 'commander';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { adviceFor } from '../explain/advice.ts';
import { compareBy, percent } from '../format.ts';
import { addOutput, type OutputFlags, printList } from '../output.ts';
import type { Column } from '../table.ts';
import { type CounterRow, readCounters } from '../views/counters.ts';

export interface DropRow extends Omit<CounterRow, 'drop'> {
  /** Part of all drops, e.g. `12%`. */
  readonly share: string;
  /** What to do about it. */
  readonly advice: string;
}

const COLUMNS: readonly Column<DropRow>[] = [
  { header: 'REASON', value: (row) => row.reason },
  { header: 'COUNT', value: (row) => String(row.packets), right: true },
  { header: 'BYTES', value: (row) => String(row.bytes), right: true },
  { header: 'SHARE', value: (row) => row.share, right: true },
  { header: 'MEANING', value: (row) => row.meaning },
  { header: 'WHAT-TO-DO', value: (row) => row.advice, wide: true },
];

export function dropsCommand(context: CliContext): Command {
  return addOutput(new Command('drops'))
    .description('show why packets were refused or dropped, most frequent first')
    .addOption(bpfRootOption())
    .action(async (flags: OutputFlags & { bpfRoot: string }) => {
      const rows = await withMaps(context, flags.bpfRoot, async (maps) => dropRows(readCounters(maps.counters)));
      const compare = compareBy<DropRow>(
        (row) => -row.packets,
        (row) => row.reason,
      );
      await printList(context.out, rows, {
        format: flags.output,
        headers: flags.headers,
        columns: COLUMNS,
        compare,
        nameOf: (row) => row.reason,
      });
      if (rows.length === 0) await context.err.write('nothing was refused or dropped\n');
      context.exit(EXIT_OK);
    });
}

/** Reasons that occurred. */
export function dropRows(counters: readonly CounterRow[]): DropRow[] {
  const drops = counters.filter((row) => row.drop && row.packets > 0);
  const all = drops.reduce((sum, row) => sum + row.packets, 0);
  return drops.map(({ drop: _, ...row }) => ({
    ...row,
    share: percent(row.packets, all),
    advice: adviceFor(row.reason),
  }));
}
