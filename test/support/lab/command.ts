/** Runs commands, and says which one failed and why. */
import { spawn } from 'node:child_process';
import { netnsPath } from './names.ts';

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; never rejects for its exit code. @param input goes to stdin */
export function attempt(command: string, args: readonly string[], input = ''): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (cause) => reject(new Error(`run ${command}: ${cause.message}`, { cause })));
    child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
    child.stdin.on('error', () => {}); // a command that ends before it has read its input
    child.stdin.end(input);
  });
}

/** Runs a command. @returns its stdout. @throws Error when it exits with another code than 0 */
export async function run(command: string, args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await attempt(command, args, input);
  if (code !== 0)
    throw new Error(`run ${command} ${args.join(' ')}: exit ${code}: ${stderr.trim() || stdout.trim()}\n${input}`);
  return stdout;
}

/** Lines for `ip -batch`, in one process. @param netns a name, or undefined for commands on namespaces themselves */
export async function ipBatch(netns: string | undefined, lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  const where = netns === undefined ? [] : ['-n', netns];
  await run('ip', [...where, '-batch', '-'], `${lines.join('\n')}\n`);
}

/** Sets sysctls of a network namespace (net.* only: others belong to the machine). */
export async function setSysctls(netns: string, values: Readonly<Record<string, number | string>>): Promise<void> {
  const entries = Object.entries(values);
  const foreign = entries.find(([name]) => !name.startsWith('net/'));
  if (foreign !== undefined) throw new Error(`set sysctl ${foreign[0]}: only net/ belongs to a namespace`);
  const script = entries
    .map(([name, value]) => `[ ! -e /proc/sys/${name} ] || echo ${value} > /proc/sys/${name} || exit 1`)
    .join('\n');
  await run('nsenter', [`--net=${netnsPath(netns)}`, 'sh', '-s'], `${script}\n`);
}
