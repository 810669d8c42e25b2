/**
 * make bench-compare A=old.json B=new.json: ratios of two runs beside each other. Exit 1 when something
 * of Sluice became worse by more than its spread.
 */
import { readFileSync } from 'node:fs';
import { compareReport, compareResults } from './report/compare.ts';
import { machineLine } from './report/markdown.ts';
import type { Results } from './report/results.ts';

const [a, b] = process.argv.slice(2);
if (!a || !b) {
  console.error(
    'compare two runs: name two result files, as in make bench-compare A=bench/results/x.json B=bench/results/y.json',
  );
  process.exit(2);
}
const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Results;
const [before, after] = [read(a), read(b)];
console.log(`A: ${a}, commit ${before.machine.commit}: ${machineLine(before)}`);
console.log(`B: ${b}, commit ${after.machine.commit}: ${machineLine(after)}\n`);
const changes = compareResults(before, after);
console.log(compareReport(changes));
const worse = changes.filter(({ verdict }) => verdict === 'WORSE').length;
console.log(`\n${changes.length} compared, ${worse} worse beyond their spread`);
process.exitCode = worse > 0 ? 1 : 0;
