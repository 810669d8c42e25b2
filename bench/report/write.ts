/** Writes a run: results, report and plots under bench/results, and the summary in the README. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PartName } from '../competitors/competitor.ts';
import { markdownReport } from './markdown.ts';
import { drawPlots } from './plots.ts';
import { insertSummary, summaryTable } from './readme.ts';
import type { Results } from './results.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** @param directory where to; a full run into the default also rewrites the README's table. @returns the JSON file and the report */
export function writeResults(
  results: Results,
  directory: string,
  updateReadme: boolean,
): { json: string; report: string } {
  const name = `${results.startedAt.slice(0, 10)}-${results.machine.kernel}${results.quick ? '-quick' : ''}`;
  const plotDirectory = join(directory, name);
  rmSync(plotDirectory, { recursive: true, force: true });
  mkdirSync(plotDirectory, { recursive: true });
  const plots = drawPlots(results);
  for (const { file, svg } of plots) writeFileSync(join(plotDirectory, file), svg);
  const byPart = new Map<PartName, string[]>();
  for (const { part, file } of plots)
    byPart.set(part, [...(byPart.get(part) ?? []), join(basename(plotDirectory), file)]);
  const json = join(directory, `${name}.json`);
  const report = join(directory, `${name}.md`);
  writeFileSync(json, `${JSON.stringify(results, undefined, 1)}\n`);
  writeFileSync(report, markdownReport(results, byPart));
  if (updateReadme) {
    const readme = join(root, 'README.md');
    writeFileSync(readme, insertSummary(readFileSync(readme, 'utf8'), summaryTable(results, relative(root, report))));
  }
  return { json, report };
}
