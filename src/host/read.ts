/** Reads the devices, addresses, default routes and reserved ports of the network namespace of this process. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SluiceError } from '../model/errors.ts';
import { seam } from '../model/seam.ts';
import { parseHost } from './parse.ts';
import { readReservedPorts } from './reserved-ports.ts';
import type { HostState } from './state.ts';

const run = promisify(execFile);

/** Bytes of output to accept: a device with details takes about 2 KiB. */
const MAX_OUTPUT = 256 * 1024 * 1024;

/** Milliseconds that `ip` may take: with thousands of devices it takes some hundred. */
const TIMEOUT_MS = 20_000;

/** @throws SluiceError NODE_INVALID when the program `ip` is missing, fails, or hangs. */
export async function readHost(signal?: AbortSignal, timeoutMs = TIMEOUT_MS): Promise<HostState> {
  const defaults = ['route', 'show', 'table', 'all', 'exact', 'default'];
  const [devices, IPv4, IPv6] = await Promise.all([
    ip(['-j', '-d', 'address', 'show'], signal, timeoutMs),
    ip(['-j', '-4', ...defaults], signal, timeoutMs),
    ip(['-j', '-6', ...defaults], signal, timeoutMs),
  ]);
  try {
    return { ...parseHost(devices, { IPv4, IPv6 }), reservedPorts: readReservedPorts() };
  } catch (cause) {
    throw new SluiceError(
      'NODE_INVALID',
      'read network devices: ip -j printed no JSON; install iproute2 5.0 or later',
      {
        cause,
      },
    );
  }
}

async function ip(args: readonly string[], signal: AbortSignal | undefined, timeoutMs: number): Promise<string> {
  try {
    const fault = seam.fault?.('ip') ?? 0;
    if (fault !== 0) throw new Error(`spawn ip: errno ${fault}`);
    const limits = { maxBuffer: MAX_OUTPUT, timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
    const { stdout } = await run('ip', args, { ...limits, ...(signal ? { signal } : {}) });
    return stdout;
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const { code, stderr, killed } = cause as NodeJS.ErrnoException & { stderr?: string; killed?: boolean };
    if (killed)
      throw new SluiceError(
        'NODE_INVALID',
        `read network devices: ip ${args.join(' ')} was not done after ${timeoutMs} ms`,
        { cause },
      );
    if (code === 'ENOENT') {
      throw new SluiceError('NODE_INVALID', 'read network devices: the program ip is missing; install iproute2', {
        cause,
      });
    }
    // A kernel without IPv6 has no such routes.
    if (args.includes('-6') && /not supported|Address family/i.test(stderr ?? '')) return '';
    throw new SluiceError(
      'NODE_INVALID',
      `read network devices: ip ${args.join(' ')}: ${(stderr || String(cause)).trim()}`,
      {
        cause,
      },
    );
  }
}
