/** What arrived without Sluice and with it, side by side. */
import type { Conversation, Packet } from './conversation.ts';
import type { Sight } from './record.ts';

/** What only one side has. */
export interface Difference {
  readonly conversation: number;
  readonly without: readonly Sight[];
  readonly with: readonly Sight[];
}

/** Lines of either side that a report shows. */
const SHOWN_LINES = 6;

const textOf = ({ at, line }: Sight) => `${at}: ${line}`;

function byConversation(sights: readonly Sight[]): Map<number, Sight[]> {
  const found = new Map<number, Sight[]>();
  for (const sight of sights) {
    const list = found.get(sight.conversation);
    if (list === undefined) found.set(sight.conversation, [sight]);
    else list.push(sight);
  }
  return found;
}

function minus(sights: readonly Sight[], others: readonly Sight[]): Sight[] {
  const left = others.map(textOf);
  return sights.filter((sight) => {
    const at = left.indexOf(textOf(sight));
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** @returns a difference for each conversation that has one, in their order */
export function differences(without: readonly Sight[], withSluice: readonly Sight[]): Difference[] {
  const [before, after] = [byConversation(without), byConversation(withSluice)];
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort((x, y) => x - y)
    .map((conversation) => {
      const [lost, gained] = [before.get(conversation) ?? [], after.get(conversation) ?? []];
      return { conversation, without: minus(lost, gained), with: minus(gained, lost) };
    })
    .filter((difference) => difference.without.length + difference.with.length > 0);
}

function packetText({ by, what, ...network }: Packet, i: number): string {
  const { kind, ...rest } = what;
  const words = (fields: object) => Object.entries(fields).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `  ${i}. ${by} sends ${kind} ${[...words(rest), ...words(network)].join(' ')}`;
}

/** A conversation up to where the two sides part, and what came of that, for a person. */
export function differenceText(conversation: Conversation, found: Difference): string {
  const { id, family, a, b, transport, aPort, bPort, packets } = conversation;
  const round = Math.min(...[...found.without, ...found.with].map((sight) => sight.round));
  const linesOf = (sights: readonly Sight[], words: string): string[] => {
    const lines = sights.filter((sight) => sight.round === round).map((sight) => `  ${words} Sluice, ${textOf(sight)}`);
    const more = lines.length > SHOWN_LINES ? [`    and ${lines.length - SHOWN_LINES} more`] : [];
    return [...lines.slice(0, SHOWN_LINES), ...more];
  };
  return [
    `conversation ${id}: a ${a} port ${aPort}, b ${b} port ${bPort}, ${transport}, IPv${family}`,
    ...packets.slice(0, round + 1).map(packetText),
    ...linesOf(found.without, '- only without'),
    ...linesOf(found.with, '+ only with'),
  ].join('\n');
}

/** @returns what a person has to know of all differences; empty when there is none */
export function reportText(conversations: readonly Conversation[], found: readonly Difference[]): string {
  return found
    .flatMap((difference) => {
      const conversation = conversations[difference.conversation];
      return conversation === undefined ? [] : [differenceText(conversation, difference)];
    })
    .join('\n');
}
