/** A shell that a page's commands are typed into, one after another. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';

export interface Answer {
  /** Of the last command that failed; 0 when none did. */
  readonly code: number;
  /** What was written to standard output and standard error, in that order of time. */
  readonly printed: string;
}

export class Session {
  readonly #shell: ChildProcess;
  #text = '';
  #changed: () => void = () => {};

  /** @param shell a bash that reads commands, with pipes for all three */
  constructor(shell: ChildProcess) {
    this.#shell = shell;
    for (const stream of [shell.stdout, shell.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#text += text;
        this.#changed();
      });
    shell.on('exit', () => this.#changed());
    shell.stdin?.on('error', () => {});
    shell.stdin?.write('exec 2>&1\n');
  }

  /** Types a script. It fails where one of its commands does. @throws Error when it takes too long, or ends the shell */
  async type(script: string, timeoutMs = 120_000): Promise<Answer> {
    const mark = `done-${randomBytes(6).toString('hex')}`;
    this.#text = '';
    const quoted = `'${script.replaceAll("'", `'\\''`)}'`;
    const trap = `trap 'failed=$?' ERR`;
    this.#shell.stdin?.write(`failed=0; ${trap}; eval ${quoted} </dev/null; trap - ERR; echo "${mark}:$failed:"\n`);
    const end = new RegExp(`${mark}:(\\d+):\\n`);
    const found = await this.#wait(end, timeoutMs, script);
    return { code: Number(found[1]), printed: this.#text.slice(0, found.index) };
  }

  #wait(end: RegExp, timeoutMs: number, script: string): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const give = (error: string) => reject(new Error(`type ${script.trim()}: ${error}\n${this.#text}`));
      const timer = setTimeout(() => give(`no end after ${timeoutMs} ms`), timeoutMs);
      this.#changed = () => {
        const found = end.exec(this.#text);
        if (found !== null) resolve(found);
        else if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) give('the shell is gone');
        else return;
        clearTimeout(timer);
      };
      this.#changed();
    });
  }

  /** Ends the shell, and with a node's all that runs below it. */
  async close(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#shell.once('exit', resolve));
    this.#shell.kill('SIGKILL');
    await gone;
  }
}
