/** Requests from several clients that go on while something is done to the proxy. */
import { expect } from 'vitest';
import type { Host } from '../lab/host.ts';
import { poll } from '../lab/poll.ts';
import type { LoadOptions } from '../traffic/protocol.ts';

export interface Stream {
  readonly name: string;
  readonly from: Host;
  readonly options: LoadOptions;
}

/** Requests a second of each stream: enough to meet any gap, few enough for a shared machine. */
const RATE = 60;
/** Answers of each stream after what was done, before it counts as survived. */
const AFTER = 15;

/**
 * Runs the streams, does something, waits until each stream has got answers after it, and expects that
 * no request failed.
 * @returns how many were answered, by whom, of each stream
 */
export async function expectNoFailure(
  streams: readonly Stream[],
  action: () => Promise<void>,
): Promise<Record<string, Readonly<Record<string, number>>>> {
  const loads = await Promise.all(
    streams.map(async ({ name, from, options }) => ({
      name,
      load: await from.actor.load({ rate: RATE, concurrency: 2, timeoutMs: 5000, ...options }),
    })),
  );
  const answered = (least: readonly number[]) =>
    Promise.all(
      loads.map(({ name, load }, i) =>
        poll(
          `see requests of ${name} answered`,
          async () => {
            const { ok, failed } = await load.report();
            return ok + failed >= (least[i] ?? 0);
          },
          { everyMs: 20 },
        ),
      ),
    );
  const enough = async () => {
    const now = await Promise.all(loads.map(({ load }) => load.report()));
    await answered(now.map(({ ok, failed }) => ok + failed + AFTER));
  };
  let reports: { name: string; report: Awaited<ReturnType<(typeof loads)[number]['load']['stop']>> }[] = [];
  try {
    await enough();
    await action();
    await enough();
  } finally {
    reports = await Promise.all(loads.map(async ({ name, load }) => ({ name, report: await load.stop() })));
  }
  expect(Object.fromEntries(reports.map(({ name, report }) => [name, report.errors]))).toEqual(
    Object.fromEntries(reports.map(({ name }) => [name, {}])),
  );
  return Object.fromEntries(reports.map(({ name, report }) => [name, report.who]));
}
