/**
 * What stands behind the backends of an extent whose Service has an algorithm: a struct choice, the weights, and a table
 * that leads from a number to a backend (bpf/lib/choose.h). The same list gives the same table on every node.
 */
import {
  BACKEND_CHOICE,
  BACKEND_KEPT,
  CHOICE_BY_CHANCE,
  CHOICE_BY_DESTINATION,
  CHOICE_BY_FLOW,
  CHOICE_BY_SOURCE,
  CHOICE_BY_TURN,
  choice as choiceCodec,
} from '../../maps-schema/gen/codecs.ts';
import { ALGORITHMS, type Algorithm, usesWeights } from '../model/algorithm.ts';
import type { Backend } from '../model/compiled.ts';
import { hash32, maglevTable } from './maglev.ts';
import { createSlotBuffer, SLOT, type SlotBuffer } from './slots.ts';

/** Numbers of 16 bits in a slot: where a backend has its address. */
const NUMBERS = 8;
/** A table of weights is longer only where there are more than so many backends / SLOTS_EACH. */
const MAX_SEQUENCE = 4096;
const SLOTS_EACH = 16;
const MOST = 65_520;
const FLAGS_AT = 18;

const BY: Readonly<Record<Algorithm, number>> = {
  random: CHOICE_BY_CHANCE,
  wrandom: CHOICE_BY_CHANCE,
  rr: CHOICE_BY_TURN,
  wrr: CHOICE_BY_TURN,
  mh: CHOICE_BY_FLOW,
  'mh-source': CHOICE_BY_SOURCE,
  sh: CHOICE_BY_SOURCE,
  dh: CHOICE_BY_DESTINATION,
  fo: CHOICE_BY_CHANCE,
};

const weightOf = ({ weight = 1 }: Backend) => weight;

/** @returns whether some weight differs from the first. */
function differ(list: readonly Backend[]): boolean {
  const first = list[0];
  return first !== undefined && list.some((backend) => weightOf(backend) !== weightOf(first));
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/**
 * How often each backend is in a table. Exact where the weights, shortened, fit; else at least once each, and
 * off by less than one entry.
 * @param weights of 1 or more
 */
export function sharesOf(weights: readonly number[]): number[] {
  const common = weights.reduce(divisor, 0) || 1;
  const total = weights.reduce((sum, weight) => sum + weight / common, 0);
  const most = Math.min(Math.max(MAX_SEQUENCE, SLOTS_EACH * weights.length), MOST);
  if (total <= most) return weights.map((weight) => weight / common);
  return weights.map((weight) => Math.max(1, Math.round((weight / common / total) * most)));
}

/** @returns offsets in turn, those of each backend as evenly apart as can be. */
export function smoothSequence(shares: readonly number[]): number[] {
  const places = shares.flatMap((share, offset) =>
    Array.from({ length: share }, (_, turn) => ({ offset, at: (turn + 0.5) / share })),
  );
  return places.sort((a, b) => a.at - b.at || a.offset - b.offset).map(({ offset }) => offset);
}

/** @returns offsets by number; empty: every offset once, in order, and no table is needed. */
function tableOf(algorithm: Algorithm, list: readonly Backend[]): readonly number[] {
  switch (algorithm) {
    case 'mh':
    case 'mh-source':
      return maglevTable(
        list.map(({ address, port }) => `${address} ${port}`),
        list.map(weightOf),
      );
    case 'fo': {
      const most = Math.max(...list.map(weightOf));
      return [list.findIndex((backend) => weightOf(backend) === most)];
    }
    case 'wrandom':
    case 'wrr':
    case 'sh':
      return differ(list) ? smoothSequence(sharesOf(list.map(weightOf))) : [];
    default:
      return [];
  }
}

const tables = new WeakMap<readonly Backend[], Map<Algorithm, readonly number[]>>();

/** Ports of a Service share lists: a table is made once for each. */
function tableFor(algorithm: Algorithm, list: readonly Backend[]): readonly number[] {
  let known = tables.get(list);
  if (known === undefined) {
    known = new Map();
    tables.set(list, known);
  }
  let table = known.get(algorithm);
  if (table === undefined) {
    table = tableOf(algorithm, list);
    known.set(algorithm, table);
  }
  return table;
}

const showsWeights = (algorithm: Algorithm, list: readonly Backend[]) => usesWeights(algorithm) && differ(list);
const slotsFor = (numbers: number) => Math.ceil(numbers / NUMBERS);

/** @returns slots that a list needs beside those of its backends. */
export function choiceLength(algorithm: Algorithm | undefined, list: readonly Backend[]): number {
  if (algorithm === undefined || algorithm === 'random' || list.length === 0) return 0;
  const weights = showsWeights(algorithm, list) ? slotsFor(list.length) : 0;
  return 1 + weights + slotsFor(tableFor(algorithm, list).length);
}

/**
 * @param name of the ServicePort, the same on every node: hashes of two differ
 * @param turn index into choice_turns
 * @returns the slots behind the backends; undefined when they are chosen at random
 */
export function choiceSlots(
  algorithm: Algorithm | undefined,
  list: readonly Backend[],
  name: string,
  turn: number,
): SlotBuffer | undefined {
  const length = choiceLength(algorithm, list);
  if (algorithm === undefined || length === 0) return undefined;
  const slots = createSlotBuffer(length);
  const table = tableFor(algorithm, list);
  const flags = BACKEND_KEPT | BACKEND_CHOICE;
  const weights = showsWeights(algorithm, list) ? slotsFor(list.length) : 0;
  choiceCodec.write(slots.bytes, 0, {
    entries: table.length,
    table: list.length + 1 + weights,
    turn,
    seed: hash32(name),
    algorithm: ALGORITHMS.indexOf(algorithm),
    by: BY[algorithm],
    flags,
    backendId: 0,
  });
  for (let slot = 1; slot < length; slot++) slots.bytes.writeUInt16LE(flags, slot * SLOT + FLAGS_AT);
  if (weights > 0) for (const [i, backend] of list.entries()) writeNumber(slots, 1, i, weightOf(backend));
  for (const [i, offset] of table.entries()) writeNumber(slots, 1 + weights, i, offset);
  return slots;
}

function writeNumber({ bytes }: SlotBuffer, first: number, index: number, value: number): void {
  bytes.writeUInt16LE(value, numberAt(first, index));
}

/** @returns the byte of a number in a run of them. */
function numberAt(first: number, index: number): number {
  return (first + Math.floor(index / NUMBERS)) * SLOT + (index % NUMBERS) * 2;
}

export interface ChoiceView {
  readonly algorithm: Algorithm;
  /** Of each backend of the extent, in order; undefined: all are the same. */
  readonly weights: readonly number[] | undefined;
  /** What part of the numbers leads to each backend, in order: 0…1. */
  readonly shares: readonly number[];
  /** Numbers in the table; 0: there is none. */
  readonly entries: number;
}

/**
 * Reads what choiceSlots wrote.
 * @param view the map backend_slots, or a copy of an extent with `base` 0
 * @returns undefined when there is none: backends are chosen at random
 */
export function readChoice(view: Buffer, base: number, count: number): ChoiceView | undefined {
  const at = (base + count) * SLOT;
  if (count === 0 || at + SLOT > view.length) return undefined;
  const { entries, table, algorithm, flags } = choiceCodec.read(view, at);
  const name = ALGORITHMS[algorithm];
  if ((flags & BACKEND_CHOICE) === 0 || name === undefined || table <= count) return undefined;
  if (entries > 0 && numberAt(base + table, entries - 1) + 2 > view.length) return undefined;
  const numbers = (first: number, length: number) =>
    Array.from({ length }, (_, i) => view.readUInt16LE(numberAt(first, i)));
  const times = new Array<number>(count).fill(entries === 0 ? 1 : 0);
  for (const offset of numbers(base + table, entries)) if (offset < count) times[offset] = (times[offset] ?? 0) + 1;
  const total = entries === 0 ? count : entries;
  return {
    algorithm: name,
    weights: table > count + 1 ? numbers(base + count + 1, count) : undefined,
    shares: times.map((n) => n / total),
    entries,
  };
}
