/** What a person reads about one kernel. */
import type { GuestLine } from '../../test/kernels/protocol.ts';

export interface KernelReport {
  readonly name: string;
  readonly release: string;
  readonly seconds: number;
  readonly lines: readonly GuestLine[];
  readonly failure?: string;
}

const say = (line: string) => process.stdout.write(`${line}\n`);

/** @param console its end, shown when something failed. @returns whether everything went as it should */
export function printKernel(report: KernelReport, console: () => string[]): boolean {
  say(`\nLinux ${report.release} (${report.name}), ${report.seconds.toFixed(0)} s`);
  let failed = report.failure === undefined ? 0 : 1;
  for (const line of report.lines) {
    if (line.kind === 'feature') say(`  ${line.present ? 'has  ' : 'lacks'} ${line.name.padEnd(14)}${line.effect}`);
    if (line.kind !== 'check') continue;
    if (!line.ok) failed++;
    const [first = '', ...rest] = line.detail.split('\n');
    const seconds = `${(line.ms / 1000).toFixed(1)} s`;
    say(`  ${line.ok ? 'ok  ' : 'FAIL'} ${line.name.padEnd(58)} ${seconds.padStart(7)}  ${first}`.trimEnd());
    for (const more of rest) say(`         ${more}`);
  }
  if (report.failure !== undefined) say(`  FAIL the guest: ${report.failure}`);
  if (failed > 0) for (const line of console()) say(`  | ${line}`);
  return failed === 0;
}
