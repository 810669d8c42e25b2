/** What the figures were measured on. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly arch: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** undefined where the kernel does not say, as in most virtual machines. */
  readonly governor: string | undefined;
  /** `none`, or what /proc/cpuinfo says it runs under. */
  readonly virtual: boolean;
  readonly node: string;
  readonly clang: string;
  readonly commit: string;
}

function firstLine(command: string, args: readonly string[]): string {
  try {
    return (
      execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n', 1)[0] ?? ''
    );
  } catch {
    return '';
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

export function describeMachine(): Machine {
  const dirty = firstLine('git', ['status', '--porcelain', '--untracked-files=no']) !== '';
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    arch: arch(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    governor: read('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
    virtual: / hypervisor/.test(read('/proc/cpuinfo') ?? ''),
    node: process.version,
    clang: firstLine(process.env.CLANG ?? 'clang', ['--version']),
    commit: firstLine('git', ['rev-parse', '--short', 'HEAD']) + (dirty ? '-dirty' : ''),
  };
}
