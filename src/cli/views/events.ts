/** Rows of `sluice events`: records of the history, in words. */
import {
  type AgentRecord,
  type BackendChange,
  type ChangeRecord,
  cleanText,
  type FrontendChange,
  type HistoryRecord,
  IN_LISTS,
  IN_LOCAL_LIST,
  IS_KEPT,
  IS_TERMINATING,
  type PortChange,
  type Serving,
} from '../../model/history.ts';
import { type PlacedRecord, readRecords } from '../../model/history-ring.ts';
import { endpoint } from '../format.ts';
import { flagWords } from './frontends.ts';
import type { ServicePortName } from './names.ts';

export interface EventRow extends ServicePortName {
  /** RFC 3339 */
  readonly time: string;
  readonly protocol: string;
  readonly family: string;
  /** What changed, in words. */
  readonly change: string;
  /** e.g. `EndpointSlice shop/web-x`; of several the first, `…` behind it. */
  readonly object: string;
  /** resourceVersion of that object. */
  readonly version: string;
  /** From the endpoints' change at the API to the kernel, ms; where that is not known, undefined. */
  readonly latencyMs?: number;
  /** From the agent's hearing of it to the kernel, ms. */
  readonly agentMs?: number;
  readonly record: HistoryRecord;
  /** Grows from row to row. */
  readonly position: string;
}

/** @param after only rows behind this position @returns the oldest first */
export function readEvents(view: Buffer, after?: bigint): EventRow[] {
  return readRecords(view, after).flatMap((placed) => rowOf(placed) ?? []);
}

/** @returns undefined for a record of a kind that this version does not know. */
function rowOf({ position, record }: PlacedRecord): EventRow | undefined {
  const common = { time: new Date(record.at).toISOString(), record, position: String(position) };
  const nobody = { namespace: '', name: '', port: '', protocol: '', family: '', object: '', version: '' };
  switch (record.kind) {
    case 'change':
      return { ...common, ...changeRow(record) };
    case 'start':
    case 'stop':
      return { ...common, ...nobody, object: 'agent', change: agentText(record) };
    case 'overflow':
      return { ...common, ...nobody, change: `${record.changes} more changes at once: not written down` };
    default:
      return undefined;
  }
}

function changeRow(record: ChangeRecord): Omit<EventRow, 'time' | 'record' | 'position'> {
  const { at, namespace, service, port, protocol, family, by, triggered, heard } = record;
  const first = by[0];
  const several = by.length + (record.moreBy ?? 0) > 1 ? ' …' : '';
  return {
    namespace: cleanText(namespace),
    name: cleanText(service),
    port: cleanText(port),
    protocol,
    family,
    change: changeText(record),
    object:
      first === undefined ? '' : `${first.kind} ${cleanText(first.name, 320)}${first.gone ? ' (gone)' : ''}${several}`,
    version: cleanText(first?.version),
    latencyMs: triggered === undefined ? undefined : Math.max(0, at - triggered),
    agentMs: heard === undefined ? undefined : Math.max(0, at - heard),
  };
}

function agentText({ kind, version, node, services }: AgentRecord): string {
  const who = `agent ${cleanText(version)} on ${cleanText(node, 253)}`;
  if (kind === 'stop') return `${who} ended; what is in force stays`;
  return `${who} started${services === undefined ? '' : `, ${services} Services in force`}`;
}

/** Of each kind so many are named. */
const NAMED = 4;

/** e.g. `backend 10.244.2.7:8080 left, serving 1 → none: refuse`. */
export function changeText(change: PortChange & Pick<ChangeRecord, 'moreFrontends' | 'moreBackends'>): string {
  const parts = [
    ...grouped(change.frontends, frontendText, change.moreFrontends ?? 0, 'frontend'),
    ...grouped(change.backends, backendText, change.moreBackends ?? 0, 'backend'),
    servingText(change.was, change.is),
  ];
  return parts.filter((part) => part !== '').join(', ');
}

/** Changes of one kind in one phrase: `backends A, B joined`. */
function grouped<T extends FrontendChange | BackendChange>(
  changes: readonly T[],
  text: (change: T) => string,
  more: number,
  noun: string,
): string[] {
  const groups = new Map<string, T[]>();
  for (const change of changes) {
    const known = groups.get(text(change));
    if (text(change) === '') continue;
    if (known === undefined) groups.set(text(change), [change]);
    else known.push(change);
  }
  const phrases = [...groups].map(([phrase, items]) => {
    const named = items.slice(0, NAMED).map(({ address, port }) => endpoint(address, port));
    const rest = items.length > NAMED ? ` and ${items.length - NAMED} more` : '';
    return `${noun}${items.length > 1 ? 's' : ''} ${named.join(' ')}${rest} ${phrase}`;
  });
  return more > 0 ? [...phrases, `${more} more ${noun}s changed`] : phrases;
}

/** "" for what the number that serve tells: whether an empty list drops. */
function frontendText({ was, is }: FrontendChange): string {
  if (is === undefined) return 'removed';
  if (was === undefined) return `(${flagWords(is.flags).types.join('+')}) added`;
  const [before, after] = [wordsOf(was.flags), wordsOf(is.flags)];
  const gained = after.filter((word) => !before.includes(word));
  const lost = before.filter((word) => !after.includes(word));
  return [
    ...(gained.length > 0 ? [`now ${gained.join(' ')}`] : []),
    ...(lost.length > 0 ? [`no longer ${lost.join(' ')}`] : []),
    ...(was.affinitySeconds !== is.affinitySeconds
      ? [`affinity ${was.affinitySeconds}s → ${is.affinitySeconds}s`]
      : []),
  ].join(' ');
}

function wordsOf(flags: number): string[] {
  const { types, traits, sourceNat } = flagWords(flags);
  const lasting = traits.filter((trait) => !trait.endsWith('-drop'));
  return [...types, ...lasting, ...sourceNat.map((who) => `source-nat=${who}`)];
}

function backendText({ was, is }: BackendChange): string {
  const [before, after] = [was & IN_LISTS, is & IN_LISTS];
  if (after !== 0 && before === 0) return is & IS_TERMINATING ? 'joined (it terminates: none other is left)' : 'joined';
  if (after === 0 && before !== 0) return is & IS_KEPT ? 'left, its connections go on' : 'left';
  if (after === 0) return is & IS_KEPT ? 'goes on with its connections' : 'ended';
  if (after !== before)
    return `${after & IN_LOCAL_LIST & ~before ? 'joined' : before & IN_LOCAL_LIST & ~after ? 'left' : 'changed'} the list of this node's`;
  return (is & IS_TERMINATING) !== (was & IS_TERMINATING)
    ? is & IS_TERMINATING
      ? 'terminates'
      : 'terminates no more'
    : 'changed';
}

function servingText(was: Serving, is: Serving): string {
  if (is.absent) return was.absent ? '' : 'served no more';
  const side = (before: number, after: number, dropped: true | undefined, drops: true | undefined) => {
    const now = after || `none: ${drops ? 'drop' : 'refuse'}`;
    if (was.absent) return String(now);
    if (before !== after) return `${before || 'none'} → ${now}`;
    return after === 0 && dropped !== drops ? `${now}, no longer ${dropped ? 'drop' : 'refuse'}` : '';
  };
  const inside = side(was.inside, is.inside, was.insideDrops, is.insideDrops);
  const outside = side(was.outside, is.outside, was.outsideDrops, is.outsideDrops);
  if (inside === outside) return inside === '' ? '' : `serving ${inside}`;
  return [inside && `serving inside ${inside}`, outside && `serving outside ${outside}`].filter(Boolean).join(', ');
}
