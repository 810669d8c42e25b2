/** The judge: what the rules ask for, against what happened. */
import type { Expected } from '../model/decide.ts';
import type { Observed } from './observe.ts';

/** Exits of the data path that stand for a rule. */
const DROPS: Readonly<Record<string, string>> = { 'R-61': 'DROP_SOURCE_RANGE', 'R-29, R-30': 'DROP_NO_LOCAL_BACKEND' };

/** @returns what is wrong, in a few words that stay the same for one fault; undefined when nothing is. */
export function compare(expected: Expected, observed: Observed): string | undefined {
  const { outcome, choices } = expected;
  if (observed.outcome === 'dropped' && observed.why === 'DROP_NO_ROUTE' && choices.some((one) => one.unreachable))
    return undefined;
  if (observed.outcome === 'over') {
    const here = outcome === 'not ours' ? expected.local : choices.some((one) => one.local) && expected.at === 'socket';
    return here ? undefined : `refused by this node, not ${outcome}`;
  }
  if (outcome !== observed.outcome) return `${observed.outcome}, not ${outcome}`;
  if (outcome === 'dropped') return observed.why === DROPS[expected.why] ? undefined : 'dropped for another reason';
  if (outcome === 'not ours') return undefined;
  if (expected.at !== observed.at) return `${outcome} at the ${observed.at}`;
  if (outcome === 'rejected') return undefined;
  const { address, port } = observed.backend ?? {};
  const choice = choices.find((one) => one.address === address && one.port === port);
  if (choice === undefined) return 'a backend that must not be chosen';
  return observed.at === 'socket' || choice.source === observed.source ? undefined : 'another source';
}

export function expectedText({ outcome, at, why, choices }: Expected): string {
  if (outcome !== 'forwarded') return `${outcome} (${why})`;
  const source = (text: string) => (at === 'packet' ? ` from ${text}` : '');
  return `forwarded at the ${at} (${why}) to one of: ${choices.map((one) => `${one.address} ${one.port}${source(one.source)}`).join(', ')}`;
}

export function observedText({ outcome, at, backend, source, why }: Observed): string {
  const to = backend === undefined ? '' : ` to ${backend.address} ${backend.port}`;
  const from = source === undefined ? '' : ` from ${source}`;
  return `${outcome}${outcome === 'not ours' || outcome === 'broken' ? '' : ` at the ${at}`}${to}${from}${why ? ` (${why})` : ''}`;
}
