/** Many probes side by side, compared as one table: what differs is what a failure prints. */
import { expect } from 'vitest';
import type { Host } from '../lab/host.ts';
import type { Probe } from '../traffic/protocol.ts';
import { dial, type Protocol } from './dial.ts';

/** One question to the data path. */
export interface Row {
  /** Says who asks what, and is unique in its table. */
  readonly name: string;
  readonly want: string;
  readonly ask: () => Promise<string>;
}

/** Probes under way at once: enough to keep two cores busy, few enough that none waits long. */
const LANES = 16;
/** Milliseconds for an answer that is expected, on a busy machine. */
const ANSWER_MS = 10_000;
/** Milliseconds in which nothing must come. */
const SILENCE_MS = 300;
/** What a client sees whose packets are dropped. */
export const DROPPED = 'ETIMEDOUT';
export const REFUSED = 'ECONNREFUSED';

/** @returns the name of each row with what it answered. */
export async function askAll(rows: readonly Row[]): Promise<Record<string, string>> {
  const answers: Record<string, string> = {};
  const answer = async ({ name, ask }: Row) => {
    answers[name] = await ask();
  };
  const left = rows.filter(({ want }) => want !== DROPPED).values();
  const lane = async () => {
    for (const row of left) await answer(row);
  };
  // Silence costs nothing but time.
  const silent = rows.filter(({ want }) => want === DROPPED).map(answer);
  await Promise.all([...silent, ...Array.from({ length: LANES }, lane)]);
  return answers;
}

/** Asks all rows. @throws when one has another answer than it wants */
export async function expectTable(rows: readonly Row[]): Promise<void> {
  const wanted = Object.fromEntries(rows.map(({ name, want }) => [name, want]));
  expect(Object.keys(wanted), 'a name twice in one table').toHaveLength(rows.length);
  expect(await askAll(rows)).toEqual(wanted);
}

/** Where a probe goes, and by which protocol. */
export interface Question {
  readonly from: Host;
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
}

/** Dials once. Silence is waited for a short time when it is what is wanted. */
export function ask({ from, protocol, address, port }: Question, want: string): Promise<Probe> {
  return dial(from, protocol, address, port, want === DROPPED ? SILENCE_MS : ANSWER_MS);
}

/** A row that wants the name of the pod that answers, REFUSED or DROPPED. */
export function whoRow(name: string, question: Question, want: string): Row {
  return { name, want, ask: async () => whoAnswers(await ask(question, want)) };
}

export function whoAnswers({ who, errno }: Probe): string {
  return who ?? errno ?? '';
}
