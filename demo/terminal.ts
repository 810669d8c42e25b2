/** What the demo prints: steps, checks, spreads and tables, compact; in colour on a terminal. */
const colour = (process.stdout.isTTY === true || process.env.FORCE_COLOR === '1') && process.env.NO_COLOR === undefined;
const paint = (code: number) => (text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);

export const bold = paint(1);
export const dim = paint(2);
const red = paint(31);
const green = paint(32);
const cyan = paint(36);

const WIDTH = 96;
const BAR = 24;

/** Prints one line. */
export function say(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** A heading of a part of the show. */
export function scene(title: string): void {
  say(`\n${bold(cyan(title))}`);
}

/** Runs something and says how long it took; on a terminal the line is there from the start. */
export async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const line = (mark: string, end: string) => `  ${mark} ${title.padEnd(WIDTH - 16)} ${dim(end)}`;
  if (colour) process.stdout.write(line('·', '…'));
  const finish = (mark: string) =>
    say(`${colour ? '\r' : ''}${line(mark, `${((performance.now() - start) / 1000).toFixed(1)} s`)}`);
  try {
    const result = await work();
    finish(green('✓'));
    return result;
  } catch (error) {
    finish(red('✗'));
    throw error;
  }
}

/** Prints a check. */
export function check(passed: boolean, what: string, detail: string): void {
  say(`  ${passed ? green('✓') : red('✗')} ${what.padEnd(56)} ${passed ? dim(detail) : red(detail)}`);
}

/** How answers spread over those who gave them: a bar each. */
export function spread(who: Readonly<Record<string, number>>): void {
  const total = Object.values(who).reduce((sum, n) => sum + n, 0);
  const names = Object.keys(who).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  for (const name of names) {
    const share = (who[name] ?? 0) / Math.max(1, total);
    say(
      `      ${name.padEnd(20)} ${cyan('█'.repeat(Math.max(1, Math.round(share * BAR))).padEnd(BAR))} ${who[name]}  ${dim(`${Math.round(share * 100)} %`)}`,
    );
  }
}

/** Milliseconds for people: `0.42 ms`, `12 ms`. */
export function millis(ms: number): string {
  return `${ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms`;
}

/** The first lines of a command's output, indented. */
export function excerpt(command: string, output: string, lines: number): void {
  const all = output.trimEnd().split('\n');
  say(`  ${bold(`$ ${command}`)}`);
  for (const line of all.slice(0, lines))
    say(`    ${line.length > WIDTH + 20 ? `${line.slice(0, WIDTH + 19)}…` : line}`);
  if (all.length > lines) say(dim(`    … ${all.length - lines} more lines`));
}
