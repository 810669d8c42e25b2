/** `-w`: rows as they are, then each one that changes, as kubectl prints them. */
import type { Command } from 'commander';
import type { CliContext } from './context.ts';
import { type Listed, type ListOptions, printList } from './output.ts';

export interface WatchFlags {
  watch?: true;
}

const INTERVAL_MS = 1000;

export function addWatch(command: Command): Command {
  return command.option('-w, --watch', 'print, then go on to print what changes, looked for once a second');
}

/**
 * @param read the rows as they are now.
 * @param keyOf what stays the same while a row changes.
 * @returns after the first print unless `watch` is set; else when the context says that it is enough.
 */
export async function printWatched<T>(
  context: CliContext,
  watch: boolean,
  read: () => Promise<T[]>,
  keyOf: (row: T) => string,
  options: ListOptions<T>,
): Promise<Listed> {
  const rows = await read();
  const listed = await printList(context.out, rows, options);
  let known = byKey(rows, keyOf);
  while (watch && (await context.wait(INTERVAL_MS))) {
    const now = await read();
    const next = byKey(now, keyOf);
    const changed = now.filter((row) => known.get(keyOf(row)) !== next.get(keyOf(row)));
    if (changed.length > 0) await printList(context.out, changed, { ...options, headers: false });
    for (const key of known.keys()) if (!next.has(key)) await context.err.write(`gone: ${key}\n`);
    known = next;
  }
  return listed;
}

function byKey<T>(rows: readonly T[], keyOf: (row: T) => string): Map<string, string> {
  return new Map(rows.map((row) => [keyOf(row), JSON.stringify(row)]));
}
