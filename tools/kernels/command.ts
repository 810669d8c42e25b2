/** Runs commands on this machine. */
import { spawn } from 'node:child_process';

/**
 * Runs a command to its end.
 * @param options.output a file descriptor that its standard output goes to, in place of the result
 * @param options.encoding of its standard output, utf8 unless said otherwise
 * @returns its standard output. @throws Error with what it said when it exits with another code than 0
 */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; input?: string; output?: number; encoding?: BufferEncoding } = {},
): Promise<string> {
  const { cwd, input = '', output, encoding = 'utf8' } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: ['pipe', output ?? 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding(encoding).on('data', (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (cause) => reject(new Error(`run ${command}: ${cause.message}`, { cause })));
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`run ${command} ${args.join(' ')}: exit ${code}: ${stderr.trim() || stdout.trim()}`));
    });
    child.stdin?.on('error', () => {}); // it may end before it has read its input
    child.stdin?.end(input);
  });
}
