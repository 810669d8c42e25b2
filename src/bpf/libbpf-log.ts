/** What libbpf and the verifier say while an object is loaded, cut down to what helps. */
import { registerCallback, vsnprintf } from './ffi.ts';
import { libbpf } from './libbpf.ts';

const WARN = 0;
const LINE_BYTES = 8192;
/** Lines of the verifier's log that an error shows: the last ones say what it refuses. */
const SHOWN_LINES = 12;

/**
 * Runs a function and collects libbpf's warnings meanwhile, a line each. Otherwise libbpf is silent.
 * The va_list that it passes is a pointer on the architectures of the kernel's BPF JITs.
 */
export async function withWarnings<T>(run: (warnings: string[]) => T | Promise<T>): Promise<T> {
  const warnings: string[] = [];
  const text = Buffer.alloc(LINE_BYTES);
  const callback = registerCallback(
    'int',
    ['int', 'void *', 'void *'],
    (level: number, format: bigint, args: bigint) => {
      if (level !== WARN) return 0;
      const length = Math.min(vsnprintf(text, text.length, format, args), text.length - 1);
      warnings.push(
        ...text
          .toString('utf8', 0, length)
          .split('\n')
          .filter((line) => line.trim() !== ''),
      );
      return 0;
    },
  );
  libbpf().libbpf_set_print(callback.address);
  try {
    return await run(warnings);
  } finally {
    libbpf().libbpf_set_print(null);
    callback.release();
  }
}

/** A buffer for the verifier's log of one program: pages that it does not reach cost nothing. */
export function newLogBuffer(bytes = 4 << 20): Buffer {
  const buffer = Buffer.allocUnsafeSlow(bytes);
  buffer[0] = 0;
  return buffer;
}

/**
 * @returns the lines of a verifier log that matter: the source line and instruction it stopped at
 * and its reason, without the statistics.
 */
export function lastLines(log: string, count = SHOWN_LINES): string[] {
  const lines = log.split('\n').filter((line) => line.trim() !== '');
  const end = lines.findLastIndex((line) => !/^(processed \d+ insns|verification time|stack depth|-- END)/.test(line));
  return lines.slice(Math.max(0, end + 1 - count), end + 1);
}

/** @returns the names of programs that libbpf says did not load. */
export function failedPrograms(warnings: readonly string[]): string[] {
  return warnings.flatMap((line) => /prog '([^']+)': (?:BPF program load failed|failed to load)/.exec(line)?.[1] ?? []);
}
