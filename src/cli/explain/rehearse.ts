/** Runs the first packet of an explained connection through the real programs, and compares. */
import { encode } from '../../../maps-schema/codec.ts';
import { affinityKey, DEVICE_POD } from '../../../maps-schema/gen/codecs.ts';
import type { Rehearsal, Rehearsed } from '../../bpf/rehearsal.ts';
import type { Address } from '../../model/address.ts';
import type { Route } from '../routes.ts';
import type { Devices } from './client.ts';
import { firstFrame, readTuple, type Tuple } from './frame.ts';
import type { Explanation, Verdict } from './model.ts';

export interface Rehearsing {
  readonly verdict: Verdict;
  /** As counted; "" when nothing is. */
  readonly reason: string;
  /** The packet as it came, and as it leaves for the backend; undefined: it leaves for none. */
  readonly sent: Tuple;
  readonly left?: Tuple;
  /** The tables say the same. */
  readonly agrees: boolean;
}

/** Of a device that the programs do not know. */
const ANY_MAC = '02:00:00:00:00:01';
/** Without a port of the client's own, this one. */
const SOME_PORT = 41_234;

/** Why the programs cannot be asked, or undefined. */
export function whyNotRehearsed({ by, flow, from }: Explanation): string | undefined {
  if (by === 'socket') return 'the socket hook decides: its programs cannot be run apart';
  if (flow !== undefined) return 'a connection decides that is there already';
  return from.address === undefined ? 'give an address of the node, by which the packet would leave' : undefined;
}

/** @param route to the client @param towards routes to the backends */
export function rehearse(
  rehearsal: Rehearsal,
  explained: Explanation,
  route: Route | undefined,
  towards: ReadonlyMap<Address, Route>,
  devices: Devices,
): Rehearsing {
  const { from, to, frontend } = explained;
  const source = from.address ?? '';
  const sent = {
    source,
    sourcePort: from.port ?? SOME_PORT,
    destination: to.address,
    destinationPort: to.port,
  };
  if (frontend !== undefined && frontend.affinitySeconds > 0)
    rehearsal.copyAffinity(encode(affinityKey, { client: source, servicePortId: frontend.servicePortId }));
  const output = from.kind === 'node';
  const entrance = output ? (towards.values().next().value?.ifindex ?? 0) : entranceOf(route, devices);
  const frame = firstFrame(sent, to.protocol, devices.get(entrance)?.mac ?? ANY_MAC);
  const first = rehearsal.run(output ? 'egress' : 'ingress', frame, entrance);
  const last =
    first.verdict === 'next' && first.reasons.includes('NEW_FLOW') ? leave(rehearsal, first, entrance, towards) : first;
  const verdict = verdictOf(first);
  const reason = last.reasons.find((name) => name !== 'FORWARDED') ?? first.reasons[0] ?? '';
  const left = verdict === 'forwarded' ? readTuple(last.frame) : undefined;
  return {
    verdict,
    reason: first.reasons[0] ?? reason,
    sent,
    ...(left && { left }),
    agrees: verdict === explained.verdict && (left === undefined || agrees(explained, sent, left)),
  };
}

/** A packet that goes through the stack meets egress where it leaves: source NAT is done there. */
function leave(
  rehearsal: Rehearsal,
  first: Rehearsed,
  entrance: number,
  towards: ReadonlyMap<Address, Route>,
): Rehearsed {
  const tuple = readTuple(first.frame);
  const next = tuple && towards.get(tuple.destination);
  if (next === undefined || next.local) return first;
  try {
    return rehearsal.run('egress', first.frame, next.ifindex, entrance);
  } catch {
    // Before kernel 5.16 a run cannot be told by which device the packet came in.
    return first;
  }
}

/** By a bridge any of its ports: which one, routes do not tell. */
function entranceOf(route: Route | undefined, devices: Devices): number {
  if (route === undefined) return 0;
  if (devices.get(route.ifindex)?.flags) return route.ifindex;
  for (const [ifindex, row] of devices) if (row.flags & DEVICE_POD && row.master === route.ifindex) return ifindex;
  return route.ifindex;
}

function verdictOf({ verdict, reasons }: Rehearsed): Verdict {
  if (reasons.some((name) => name.startsWith('REJECT_'))) return 'refused';
  if (verdict === 'drop') return 'dropped';
  return reasons.length === 0 ? 'left' : 'forwarded';
}

function agrees({ backends }: Explanation, sent: Tuple, left: Tuple): boolean {
  const backend = backends.find(({ address, port }) => address === left.destination && port === left.destinationPort);
  // Inside another packet the backend stands in it, not outside.
  if (backend === undefined) return backends.some(({ path, chance }) => path === 'dsr' && chance > 0);
  return backend.chance > 0 && left.source === (backend.sourceNat ?? sent.source);
}
