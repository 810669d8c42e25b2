/** Runs a guest to its end. Its console and its results come by two serial lines, into files. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { GuestLine } from '../../test/kernels/protocol.ts';

const MEMORY = '2G';
const CPUS = 2;
/** KVM is much faster, but not everywhere where its device can be opened does it work. */
const ACCELERATOR = process.env.QEMU_ACCEL ?? 'tcg';

export interface GuestOptions {
  readonly vmlinuz: string;
  readonly initramfs: string;
  /** Files that are written: what the kernel and the test print, and a JSON object a line. */
  readonly console: string;
  readonly results: string;
  readonly timeoutMs: number;
  /** More of the kernel's command line. */
  readonly parameters?: string;
}

export interface GuestEnd {
  readonly lines: readonly GuestLine[];
  /** Why it ended otherwise than by itself. */
  readonly failure?: string;
}

function readLines(path: string): GuestLine[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split(/\r?\n/);
  return lines.filter((line) => line.startsWith('{') && line.endsWith('}')).map((line) => JSON.parse(line));
}

/** The end of a console, without escape sequences. */
export function tail(path: string, count: number): string[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8').replace(/\x1b\[[0-9;?=]*[A-Za-z]|\x1bc|\r/g, '');
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count);
}

/** Emulated, unless QEMU_ACCEL says kvm. No network device. The guest reboots at its end, which ends it. */
export async function runGuest(options: GuestOptions): Promise<GuestEnd> {
  const argv = [
    ...['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-accel', ACCELERATOR, '-cpu', 'max', '-m', MEMORY, '-smp', String(CPUS)],
    ...['-kernel', options.vmlinuz, '-initrd', options.initramfs],
    ...['-append', `console=ttyS0 quiet panic=-1 oops=panic mitigations=off nokaslr ${options.parameters ?? ''}`],
    ...['-serial', `file:${options.console}`, '-serial', `file:${options.results}`],
  ];
  const child = spawn('nice', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, options.timeoutMs);
  const stop = () => child.kill('SIGKILL');
  process.once('exit', stop);
  const [code] = (await once(child, 'exit')) as [number | null];
  process.off('exit', stop);
  clearTimeout(timer);
  const lines = readLines(options.results);
  if (late) return { lines, failure: `it did not end within ${options.timeoutMs / 1000} s` };
  if (code !== 0) return { lines, failure: `qemu ended with ${code}: ${said.trim()}` };
  return lines.some(({ kind }) => kind === 'end') ? { lines } : { lines, failure: 'it ended before its test did' };
}
