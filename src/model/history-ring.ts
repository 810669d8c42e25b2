/**
 * A ring of records in memory that outlives its writer (the map `history`). One writes, many read meanwhile.
 *
 *   0   u64  tail: where the oldest record begins
 *   8   u64  head: where the next record will begin
 *   16  records: u32 length, u32 sum, then so many bytes of JSON
 *
 * Positions count all bytes ever written; a record lies at 16 + position % room, and goes on at the start where the
 * ring ends. Numbers are little-endian.
 */
import type { HistoryRecord } from './history.ts';

const HEADER = 16;
const PREFIX = 8;
/** Longer records are not written. */
const MAX_RECORD = 32_768;

export interface PlacedRecord {
  /** Grows from record to record, and is never used again. */
  readonly position: bigint;
  readonly record: HistoryRecord;
}

/** @returns false when the record is too long for the ring: nothing was written. */
export function appendRecord(view: Buffer, record: HistoryRecord): boolean {
  const text = Buffer.from(JSON.stringify(record));
  const room = BigInt(view.length - HEADER);
  const length = BigInt(PREFIX + text.length);
  if (text.length > MAX_RECORD || length > room) return false;
  const { tail, head } = positionsOf(view) ?? { tail: 0n, head: 0n };
  let first = tail;
  while (head + length - first > room) first += recordLength(view, first, head) ?? head - first;
  // Readers leave alone what lies before the tail: it goes first.
  view.writeBigUInt64LE(first, 0);
  const bytes = Buffer.alloc(PREFIX);
  bytes.writeUInt32LE(text.length, 0);
  bytes.writeUInt32LE(sumOf(text), 4);
  copyIn(view, head, Buffer.concat([bytes, text]));
  view.writeBigUInt64LE(head + length, 8);
  return true;
}

/**
 * @param after only records behind this position
 * @returns the oldest first; records that are overwritten or were spoilt meanwhile are left out.
 */
export function readRecords(view: Buffer, after = -1n): PlacedRecord[] {
  const positions = positionsOf(view);
  if (positions === undefined) return [];
  const copy = Buffer.from(view);
  const found: PlacedRecord[] = [];
  const { head } = positions;
  for (let at = positions.tail; at < head; ) {
    const length = recordLength(copy, at, head);
    if (length === undefined) break;
    if (at > after) {
      const record = parse(copy, at, Number(length) - PREFIX);
      if (record !== undefined) found.push({ position: at, record });
    }
    at += length;
  }
  const tail = positionsOf(view)?.tail ?? head;
  return found.filter(({ position }) => position >= tail);
}

/** @returns undefined for a ring that was never written, or makes no sense: it begins anew. */
function positionsOf(view: Buffer): { readonly tail: bigint; readonly head: bigint } | undefined {
  const tail = view.readBigUInt64LE(0);
  const head = view.readBigUInt64LE(8);
  return tail <= head && head - tail <= BigInt(view.length - HEADER) ? { tail, head } : undefined;
}

/** Bytes of a record with what stands before it; undefined when it makes no sense. */
function recordLength(view: Buffer, at: bigint, head: bigint): bigint | undefined {
  const length = BigInt(copyOut(view, at, 4).readUInt32LE(0)) + BigInt(PREFIX);
  return at + length <= head && length <= BigInt(PREFIX + MAX_RECORD) ? length : undefined;
}

function parse(view: Buffer, at: bigint, length: number): HistoryRecord | undefined {
  const text = copyOut(view, at + BigInt(PREFIX), length);
  if (copyOut(view, at + 4n, 4).readUInt32LE(0) !== sumOf(text)) return undefined;
  try {
    const record: unknown = JSON.parse(text.toString());
    const known = typeof record === 'object' && record !== null && 'at' in record && Number.isFinite(record.at);
    return known ? (record as HistoryRecord) : undefined;
  } catch {
    return undefined;
  }
}

function copyIn(view: Buffer, position: bigint, bytes: Buffer): void {
  const room = view.length - HEADER;
  const at = Number(position % BigInt(room));
  const first = Math.min(bytes.length, room - at);
  bytes.copy(view, HEADER + at, 0, first);
  bytes.copy(view, HEADER, first);
}

function copyOut(view: Buffer, position: bigint, length: number): Buffer {
  const room = view.length - HEADER;
  const at = Number(position % BigInt(room));
  const first = Math.min(length, room - at);
  return Buffer.concat([
    view.subarray(HEADER + at, HEADER + at + first),
    view.subarray(HEADER, HEADER + length - first),
  ]);
}

/** FNV-1a: tells a record that was half written. */
function sumOf(bytes: Buffer): number {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}
