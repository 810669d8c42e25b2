/** Of which exits of the data path `sluice monitor` is told, and how they are chosen by words. */
import { InvalidArgumentError } from 'commander';
import { reasons } from '../../maps-schema/gen/codecs.ts';
import { EVICTIONS_BIT } from '../bpf/monitor.ts';
import { kindOf } from './views/monitor.ts';

const KINDS = ['new', 'refused', 'dropped', 'told', 'evicted'] as const;
/** Packets of established flows, and what is neither new nor refused nor dropped. */
const UNTOLD = new Set([
  'NOT_OURS',
  'FORWARDED',
  'REDIRECTED',
  'REDIRECTED_XDP',
  'ENCAPSULATED',
  'DECAPSULATED',
  'ICMP_ERROR',
  'SOCKET_LOCALHOST',
  'SOCKET_LEFT_TO_PACKETS',
  'PIECE_HELD',
  'PING_ANSWERED',
]);

/** @returns bits of monitor_reasons. @throws InvalidArgumentError */
export function parseReasons(text: string): bigint {
  return text.split(',').reduce((bits, word) => bits | reasonsOf(word.trim()), 0n);
}

const told = ({ name }: { name: string }) => !UNTOLD.has(name);
const EVICTIONS = 1n << BigInt(EVICTIONS_BIT);

/** All that is told of. */
export const ALL_REASONS = reasons.reduce(
  (bits, reason, i) => (told(reason) ? bits | (1n << BigInt(i)) : bits),
  EVICTIONS,
);

function reasonsOf(word: string): bigint {
  const kind = KINDS.find((name) => name === word.toLowerCase());
  if (kind === 'evicted') return EVICTIONS;
  const wanted = word.toUpperCase().replaceAll('-', '_');
  let bits = 0n;
  for (const [i, reason] of reasons.entries())
    if (told(reason) && (kind === undefined ? reason.name === wanted : kindOf(i) === kind)) bits |= 1n << BigInt(i);
  if (bits !== 0n) return bits;
  if (reasons.some(({ name }) => name === wanted))
    throw new InvalidArgumentError(`Of ${wanted} nothing is told: "sluice status" counts it.`);
  throw new InvalidArgumentError(
    `There is no '${word}': give ${KINDS.join(', ')}, or ${reasons
      .filter(told)
      .map(({ name }) => name)
      .join(', ')}.`,
  );
}
