/**
 * Rows of `sluice flow list`: a flow is its forward entry, which rewrites what the client sends,
 * joined with the entries of the answers (bpf/lib/flow.h draws them).
 */

import { encode } from '../../../maps-schema/codec.ts';
import {
  BACKEND_STATE_SERVING,
  backendState,
  FLOW_CLOSING_NO,
  FLOW_DSR,
  FLOW_FOREIGN,
  FLOW_GENEVE,
  FLOW_OUTPUT,
  FLOW_REDIRECT,
  FLOW_REPLY,
  FLOW_STAGED,
  type Flow,
  type FlowKey,
  flow as flowCodec,
  flowKey,
  HOOK_EGRESS,
  HOOK_INGRESS,
} from '../../../maps-schema/gen/codecs.ts';
import type { KernelArray, KernelFlowTable } from '../../bpf/kernel-map.ts';
import { compareBy, endpoint, protocolName } from '../format.ts';
import type { FlowClock } from '../kernel.ts';
import { type Names, nameOf, type ServicePortName } from './names.ts';
import { elementOf } from './rows.ts';

export interface FlowMaps {
  readonly flows: Pick<KernelFlowTable, 'entries' | 'lookup'>;
  readonly halfOpenFlows: Pick<KernelFlowTable, 'entries' | 'lookup'>;
  readonly backendStates: Pick<KernelArray, 'view' | 'stride'>;
}

export interface Traffic {
  readonly packets: number;
  /** From the network header on. */
  readonly bytes: number;
}

export interface FlowRow extends ServicePortName {
  readonly protocol: string;
  /** address:port, as are the next three. */
  readonly client: string;
  readonly frontend: string;
  readonly backend: string;
  /** What the backend sees as its client, where that is not the client. */
  readonly sourceNat?: string;
  readonly state: 'half-open' | 'established' | 'closing';
  /** False: the backend is gone, or the flow was made for another one with its id. */
  readonly backendServes: boolean;
  /** Sent out again from the hook; else through the stack. */
  readonly redirected: boolean;
  /**
   * The backend answers the client directly: its node is sent the packets in others of this kind; `received`:
   * this is the backend's node.
   */
  readonly directReturn?: 'ipip' | 'geneve' | 'received';
  /** undefined: the kernel's clock could not be read. */
  readonly ageSeconds?: number;
  /** Since the last packet either way. */
  readonly idleSeconds?: number;
  readonly fromClient: Traffic;
  readonly fromBackend: Traffic;
  readonly servicePortId: number;
  readonly backendId: number;
}

export interface FlowFilter {
  /** undefined: every ServicePort. */
  readonly servicePortIds?: ReadonlySet<number>;
  /** A canonical address, or with its port as `endpoint` writes it. */
  readonly backend?: string;
}

export interface FlowContext {
  readonly names: Names;
  readonly clock: FlowClock | undefined;
}

/** Reads flows one by one; nothing is held. A flow that moves between the tables meanwhile may be missed. */
export function* readFlows(maps: FlowMaps, filter: FlowFilter, context: FlowContext): Generator<FlowRow> {
  for (const halfOpen of [false, true]) {
    for (const row of (halfOpen ? maps.halfOpenFlows : maps.flows).entries()) {
      const key = flowKey.read(row.key, 0);
      const flow = flowCodec.read(row.value, 0);
      if (!isFirstStage(key, flow) || !matches(flow, filter)) continue;
      // A promotion writes to flows before it deletes from half_open_flows.
      if (halfOpen && maps.flows.lookup(row.key) !== undefined) continue;
      yield rowOf(maps, key, flow, halfOpen, context);
    }
  }
}

/** @returns the flow that has a client's packet, by the packet as its first hook sees it. */
export function findFlow(maps: FlowMaps, key: FlowKey, context: FlowContext): FlowRow | undefined {
  const bytes = encode(flowKey, key);
  const established = maps.flows.lookup(bytes);
  const value = established ?? maps.halfOpenFlows.lookup(bytes);
  if (value === undefined) return undefined;
  const flow = flowCodec.read(value, 0);
  return isFirstStage(key, flow) ? rowOf(maps, key, flow, established === undefined, context) : undefined;
}

/**
 * The entry that a client's own packet meets first: the node's own packets meet it where they leave. Answers to others'
 * traffic are no Service's.
 */
function isFirstStage(key: FlowKey, flow: Flow): boolean {
  if ((flow.flags & FLOW_FOREIGN) !== 0) return false;
  return (flow.flags & FLOW_REPLY) === 0 && (key.hook === HOOK_INGRESS || (flow.flags & FLOW_OUTPUT) !== 0);
}

function matches(flow: Flow, filter: FlowFilter): boolean {
  if (filter.servicePortIds !== undefined && !filter.servicePortIds.has(flow.servicePortId)) return false;
  return (
    filter.backend === undefined || filter.backend === flow.daddr || filter.backend === endpoint(flow.daddr, flow.dport)
  );
}

function rowOf(maps: FlowMaps, key: FlowKey, flow: Flow, halfOpen: boolean, context: FlowContext): FlowRow {
  const staged = (flow.flags & FLOW_STAGED) !== 0 ? find(maps, stagedKey(key, flow)) : undefined;
  const answer = find(maps, answerKey(key, flow));
  const closing = flow.closing !== FLOW_CLOSING_NO || (answer?.closing ?? FLOW_CLOSING_NO) !== FLOW_CLOSING_NO;
  const source = staged ?? flow;
  const directReturn = directReturnOf(flow);
  // An entry that sends encapsulated packets has the outer destination there.
  const sent = directReturn !== undefined && directReturn !== 'received';
  const translated = !sent && (source.saddr !== key.saddr || source.sport !== key.sport);
  const idle = answer === undefined ? [flow.lastSeen] : [flow.lastSeen, answer.lastSeen];
  const { namespace, name, port } = nameOf(context.names, flow.servicePortId);
  const { clock } = context;
  // One literal without spreads: half a million of these are made.
  return {
    namespace,
    name,
    port,
    protocol: protocolName(key.proto),
    client: endpoint(key.saddr, key.sport),
    frontend: endpoint(key.daddr, key.dport),
    backend: endpoint(flow.daddr, flow.dport),
    sourceNat: translated ? endpoint(source.saddr, source.sport) : undefined,
    state: closing ? 'closing' : halfOpen ? 'half-open' : 'established',
    backendServes: serves(maps, flow),
    redirected: (flow.flags & FLOW_REDIRECT) !== 0,
    directReturn,
    ageSeconds: clock && secondsSince(flow.created, clock),
    idleSeconds: clock && Math.min(...idle.map((then) => secondsSince(then, clock))),
    fromClient: traffic(flow),
    fromBackend: answer === undefined ? { packets: 0, bytes: 0 } : traffic(answer),
    servicePortId: flow.servicePortId,
    backendId: flow.backendId,
  };
}

function directReturnOf({ flags }: Flow): FlowRow['directReturn'] {
  if ((flags & FLOW_DSR) === 0) return undefined;
  if ((flags & FLOW_REDIRECT) === 0) return 'received';
  return (flags & FLOW_GENEVE) === 0 ? 'ipip' : 'geneve';
}

function serves(maps: FlowMaps, flow: Flow): boolean {
  // Chosen by another node, which knows whether it serves.
  if (flow.backendId === 0) return true;
  const state = elementOf(maps.backendStates, backendState, flow.backendId);
  if (state === undefined || state.generation !== flow.backendGeneration) return false;
  return (state.flags & BACKEND_STATE_SERVING) !== 0;
}

function find(maps: FlowMaps, key: FlowKey): Flow | undefined {
  const bytes = encode(flowKey, key);
  const value = maps.flows.lookup(bytes) ?? maps.halfOpenFlows.lookup(bytes);
  return value === undefined ? undefined : flowCodec.read(value, 0);
}

/** Where the rewritten packet leaves and its source is translated. */
function stagedKey(key: FlowKey, flow: Flow): FlowKey {
  const { saddr, daddr, sport, dport } = flow;
  return { saddr, daddr, sport, dport, proto: key.proto, hook: HOOK_EGRESS };
}

/** Where the answer gets the frontend's address back: at the hook that sends on, or where it leaves. */
function answerKey(key: FlowKey, flow: Flow): FlowKey {
  return {
    saddr: flow.daddr,
    daddr: flow.saddr,
    sport: flow.dport,
    dport: flow.sport,
    proto: key.proto,
    hook: (flow.flags & (FLOW_REDIRECT | FLOW_OUTPUT)) !== 0 ? HOOK_INGRESS : HOOK_EGRESS,
  };
}

function traffic(flow: Flow): Traffic {
  return { packets: Number(flow.packets), bytes: Number(flow.bytes) };
}

/** Whole seconds between a stamp and the clock; 0 for a stamp made after the clock was read. */
export function secondsSince(then: number, clock: FlowClock): number {
  const ticks = (clock.now - then) | 0;
  // Half the range back in time reads as negative, as a later stamp does: only the last minute is the future.
  const past = ticks < 0 && ticks > -60 * clock.jiffiesPerSecond ? 0 : ticks >>> 0;
  return Math.floor(past / clock.jiffiesPerSecond);
}

/** By Service, client and frontend. */
export const compareFlows = compareBy<FlowRow>(
  (row) => row.namespace,
  (row) => row.name,
  (row) => row.port,
  (row) => row.protocol,
  (row) => row.client,
  (row) => row.frontend,
);
