/** Whether everything went as it should: the demo's exit code. */
import type { LoadReport, Probe } from '../test/support/traffic/protocol.ts';
import { check, millis } from './terminal.ts';

export class Checks {
  readonly failed: string[] = [];

  /** Prints the check and remembers a failure. */
  expect(passed: boolean, what: string, detail: string): void {
    if (!passed) this.failed.push(`${what}: ${detail}`);
    check(passed, what, detail);
  }

  /** Somebody answered. @param holds a further condition @param note added to the line */
  answered(what: string, probe: Probe, holds: (probe: Probe) => boolean = () => true, note = ''): void {
    const detail = probe.ok
      ? `${probe.who} in ${millis(probe.ms)}${note === '' ? '' : `; ${note}`}`
      : `${probe.errno} after ${millis(probe.ms)}`;
    this.expect(probe.ok && holds(probe), what, detail);
  }

  /** Nobody answered, in this way. */
  refused(what: string, probe: Probe, errno: string): void {
    this.expect(
      !probe.ok && probe.errno === errno,
      what,
      probe.ok ? `answered by ${probe.who}` : `${probe.errno} after ${millis(probe.ms)}`,
    );
  }

  /** No request of a load failed. */
  unbroken(what: string, { ok, failed, errors, latency, seconds }: LoadReport): void {
    const trouble = Object.entries(errors).map(([errno, n]) => `${n} × ${errno}`);
    const speed = `p50 ${millis(latency.p50)}, p99 ${millis(latency.p99)}`;
    const detail =
      failed === 0
        ? `0 of ${ok} failed in ${seconds.toFixed(1)} s; ${speed}`
        : `${failed} of ${ok + failed} failed: ${trouble.join(', ')}`;
    this.expect(failed === 0 && ok > 0, what, detail);
  }
}
