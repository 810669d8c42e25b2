/**
 * Why a packet goes where it goes, from the kernel's own tables: the story of bpf/tc.bpf.c (begin) and bpf/lib/sock.h
 * told of one client and one destination. Nothing is written and no packet is sent.
 */
import { encode } from '../../../maps-schema/codec.ts';
import {
  affinity as affinityCodec,
  affinityKey,
  BACKEND_STATE_SERVING,
  type BackendSlot,
  backendSlot,
  backendState,
  FRONTEND_BY_SOURCE,
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_HOST_ALLOWED,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_INTERNAL_LOCAL,
  FRONTEND_ROUTER,
  FRONTEND_SOURCE_RANGES,
  type Frontend,
  HOOK_EGRESS,
  HOOK_INGRESS,
  type Knobs,
} from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { type Address, familyOf } from '../../model/address.ts';
import type { AgentReport } from '../../model/agent-report.ts';
import { cidrContains, parseCidr } from '../../model/cidr.ts';
import { PROTOCOL_NUMBERS } from '../../model/compiled.ts';
import { IN_CLUSTER_LIST, IN_LISTS, IN_LOCAL_LIST } from '../../model/history.ts';
import { EMPTY_PICTURE } from '../../tables/picture.ts';
import { endpoint } from '../format.ts';
import type { FlowClock } from '../kernel.ts';
import type { Route } from '../routes.ts';
import { findFlow } from '../views/flows.ts';
import { flagWords, readFrontends, readSourceRanges } from '../views/frontends.ts';
import { nameOf, readNames } from '../views/names.ts';
import { readPictures } from '../views/pictures.ts';
import { elementOf } from '../views/rows.ts';
import { adviceFor } from './advice.ts';
import { explainBackends, placesOf } from './backends.ts';
import { explainChoice } from './choice.ts';
import { type Client, classify, readDevices } from './client.ts';
import { frontendOf, whyNoFrontend } from './frontend.ts';
import type { DialledFrontend, Explanation, Verdict } from './model.ts';
import type { Request } from './request.ts';

export interface Sight {
  readonly maps: Maps;
  /** undefined: no program is in force. */
  readonly knobs: Knobs | undefined;
  readonly report: AgentReport | undefined;
  readonly routes: (addresses: readonly Address[]) => ReadonlyMap<Address, Route>;
  /** bpf_ktime_get_ns() */
  readonly monotonic: bigint;
  readonly clock: FlowClock | undefined;
}

/** Backends whose route is asked for: `ip` is asked once for all. */
const ROUTED = 256;

export function explain(sight: Sight, request: Request): Explanation {
  const { maps, knobs, report } = sight;
  const { from, to } = request;
  const client = classify(maps, knobs, from.address, routeTo(sight, from.address));
  const isNode = client.kind === 'node';
  const localhost = isNode && knobs?.localhostNodePorts !== 0;
  const row = frontendOf(maps, to, localhost);
  const problems = problemsAbout(report, to.address, undefined);
  const common = { from: { ...from, ...client }, to, backends: [], notes: notesOf(sight) };
  if (row === undefined) {
    const none = whyNoFrontend(
      maps,
      to,
      [...readFrontends(maps.frontends.entries(), readNames(maps.servicePorts.entries()))],
      backendsAt(maps),
    );
    const advice = none.advice ?? (none.reason && adviceFor(none.reason));
    return { ...common, ...none, ...(advice && { advice }), problems };
  }
  const frontend = dialled(maps, row);
  const by = decidedBy(knobs, client, to, row);
  const found = { ...common, frontend, by, problems: problemsAbout(report, to.address, frontend) };
  const end = (verdict: Verdict, reason: string, why: string, more: Partial<Explanation> = {}): Explanation => {
    const advice = adviceFor(reason);
    return { ...found, ...more, verdict, reason, why, ...(advice !== '' && { advice }) };
  };
  const packets = by === 'packets';
  if (packets && client.source === 'impossible') return end('dropped', 'DROP_SOURCE', client.why);
  const flow = packets ? livingFlow(sight, request, isNode) : undefined;
  if (packets && flow === undefined && !isAllowed(maps, row, from.address, to.address))
    return end('dropped', 'DROP_SOURCE_RANGE', "the client is in none of the Service's loadBalancerSourceRanges");

  const inside = !packets || client.source !== 'outside';
  const list = listOf(row.flags, inside);
  const bits = list.name === 'local' ? IN_LOCAL_LIST : IN_CLUSTER_LIST;
  const picture = [...readPictures(maps, { namespace: frontend.namespace, name: frontend.name }).values()].find(
    ({ servicePortId }) => servicePortId === row.servicePortId,
  );
  const places = placesOf(picture?.picture ?? EMPTY_PICTURE);
  const listed = places.filter((place) => place.bits & bits);
  const routes = sight.routes([...new Set(listed.map(({ address }) => address))].slice(0, ROUTED));
  const kept = affinityOf(
    sight,
    row,
    by === 'socket' ? undefined : from.address,
    places.filter((place) => place.bits & bits),
  );
  const decided = flow?.backendServes ? flow.backend : kept?.backend;
  const only = places.find(({ address, port }) => endpoint(address, port) === decided);
  const way = { maps, knobs, client, clientAddress: from.address, frontend, by, routes, devices: readDevices(maps) };
  const choice = explainChoice(maps, row, inside);
  const sole = only && `${only.address} ${only.port}`;
  const backends = explainBackends(way, places, bits, sole, choice?.shares);
  const shown = { list, backends, ...(kept && { affinity: kept }), ...(flow && { flow }) };
  if (flow !== undefined)
    return end(
      'forwarded',
      'FORWARDED',
      `a connection from this address and port is there already, ${flow.state}: it goes on to ${flow.backend}`,
      shown,
    );
  if (listed.length === 0) return { ...emptyList(row, inside, list, end, shown) };
  const failing = backends.find(({ chance, fails }) => chance > 0 && fails !== undefined)?.fails;
  const all = backends.every(({ chance, fails }) => chance === 0 || fails !== undefined);
  if (failing !== undefined && all) return end('dropped', failing, failureText(failing), shown);
  const reason = by === 'socket' ? 'SOCKET_CONNECT' : 'NEW_FLOW';
  return end('forwarded', reason, whyForwarded(by, listed.length, kept?.backend, choice?.how), shown);
}

function routeTo({ routes }: Sight, address: Address | undefined): Route | undefined {
  return address === undefined ? undefined : routes([address]).get(address);
}

function whyForwarded(
  by: 'socket' | 'packets',
  count: number,
  kept: string | undefined,
  how = 'with the same chance',
): string {
  const what =
    by === 'socket'
      ? 'connect() is pointed at a backend: no packet is translated'
      : 'a backend is chosen and a flow made';
  if (kept !== undefined) return `${what}: ${kept}, as before (session affinity)`;
  return `${what}: ${count === 1 ? 'the only one' : `any of ${count}, ${how}`}`;
}

function failureText(reason: string): string {
  return reason === 'DROP_NO_ROUTE'
    ? 'no route leads to the backends'
    : 'the device towards the backends has no address';
}

function emptyList(
  { flags }: Frontend,
  inside: boolean,
  { name }: NonNullable<Explanation['list']>,
  end: (verdict: Verdict, reason: string, why: string, more: Partial<Explanation>) => Explanation,
  shown: Partial<Explanation>,
): Explanation {
  if (flags & FRONTEND_ROUTER)
    return end(
      'left',
      'NOT_OURS',
      'no backend can be used, and with ipMode Router the packet goes on by routing',
      shown,
    );
  if (flags & (inside ? FRONTEND_INTERNAL_DROP : FRONTEND_EXTERNAL_DROP))
    return end(
      'dropped',
      'DROP_NO_LOCAL_BACKEND',
      `no backend of the ${name} list can be used, though there are some elsewhere`,
      shown,
    );
  return end('refused', 'REJECT_NO_BACKEND', 'the Service has no endpoint that can be used', shown);
}

function dialled(maps: Maps, { servicePortId, flags, affinitySeconds }: Frontend): DialledFrontend {
  const { types } = flagWords(flags);
  return {
    ...nameOf(readNames(maps.servicePorts.entries()), servicePortId),
    types,
    servicePortId,
    flags,
    affinitySeconds,
  };
}

/** bpf/lib/sock.h: sock_translate, sock_needs_packets. */
function decidedBy(
  knobs: Knobs | undefined,
  client: Client,
  { protocol }: Request['to'],
  row: Frontend,
): 'socket' | 'packets' {
  if (protocol === 'SCTP' || client.kind === 'remote') return 'packets';
  const ranges = (row.flags & FRONTEND_SOURCE_RANGES) !== 0;
  if (client.kind === 'node') return ranges && !(row.flags & FRONTEND_HOST_ALLOWED) ? 'packets' : 'socket';
  const bySource = (row.flags & FRONTEND_BY_SOURCE) !== 0;
  return knobs?.socketLbPods !== 1 || row.affinitySeconds > 0 || bySource || ranges ? 'packets' : 'socket';
}

function listOf(flags: number, inside: boolean): NonNullable<Explanation['list']> {
  const cluster = (flags & FRONTEND_CLUSTER_IP) !== 0;
  const side = inside ? 'inside' : 'outside';
  if (cluster) {
    const local = (flags & FRONTEND_INTERNAL_LOCAL) !== 0;
    return { name: local ? 'local' : 'cluster', side, why: `internalTrafficPolicy is ${local ? 'Local' : 'Cluster'}` };
  }
  if ((flags & FRONTEND_EXTERNAL_LOCAL) === 0)
    return { name: 'cluster', side, why: 'externalTrafficPolicy is Cluster' };
  return inside
    ? {
        name: 'cluster',
        side,
        why: 'externalTrafficPolicy is Local, which does not count for clients inside the cluster',
      }
    : { name: 'local', side, why: 'externalTrafficPolicy is Local' };
}

function isAllowed(maps: Maps, row: Frontend, client: Address | undefined, dialledAddress: Address): boolean {
  if ((row.flags & FRONTEND_SOURCE_RANGES) === 0) return true;
  const ranges = readSourceRanges(maps.sourceRanges.entries()).get(row.servicePortId) ?? [];
  if (client === undefined) return (row.flags & FRONTEND_HOST_ALLOWED) !== 0;
  const holds = (text: string) => {
    const cidr = parseCidr(text);
    return cidr !== undefined && familyOf(cidr.address) === familyOf(client) && cidrContains(cidr, client);
  };
  return ranges.some(holds) || ((row.flags & FRONTEND_HOST_ALLOWED) !== 0 && client === dialledAddress);
}

/** bpf/lib/select.h: affinity_backend. @param client undefined: the node's own sockets, which are one client */
function affinityOf(
  { maps, monotonic }: Sight,
  row: Frontend,
  client: Address | undefined,
  listed: readonly { readonly address: Address; readonly port: number }[],
): Explanation['affinity'] {
  if (row.affinitySeconds === 0) return undefined;
  const value = maps.affinities.lookup(
    encode(affinityKey, { client: client ?? '::', servicePortId: row.servicePortId }),
  );
  if (value === undefined) return undefined;
  const { lastNew, backendId, backendGeneration } = affinityCodec.read(value, 0);
  const secondsLeft = row.affinitySeconds - Number((monotonic - lastNew) / 1_000_000_000n);
  const state = elementOf(maps.backendStates, backendState, backendId);
  if (secondsLeft <= 0 || state?.generation !== backendGeneration || !(state.flags & BACKEND_STATE_SERVING))
    return undefined;
  const slot = slotOf(maps, row, backendId);
  const backend = slot && endpoint(slot.address, slot.port);
  const known = listed.some(({ address, port }) => endpoint(address, port) === backend);
  return backend !== undefined && known ? { backend, secondsLeft } : undefined;
}

function slotOf(maps: Maps, row: Frontend, id: number): BackendSlot | undefined {
  for (const [base, count] of [
    [row.internalBase, row.internalCount],
    [row.externalBase, row.externalCount],
  ] as const)
    for (let at = base; at < base + count; at++) {
      const slot = elementOf(maps.backendSlots, backendSlot, at);
      if (slot?.backendId === id) return slot;
    }
  return undefined;
}

function livingFlow({ maps, clock }: Sight, { from, to }: Request, output: boolean) {
  if (from.address === undefined || from.port === undefined) return undefined;
  const { address: daddr, port: dport, protocol } = to;
  const hook = output ? HOOK_EGRESS : HOOK_INGRESS;
  const key = { saddr: from.address, daddr, sport: from.port, dport, proto: PROTOCOL_NUMBERS[protocol], hook };
  return findFlow(maps, key, { names: readNames(maps.servicePorts.entries()), clock });
}

/** Backends by address, of all Services. */
function backendsAt(maps: Maps): (address: Address) => { port: number; service: string }[] {
  return (address) =>
    [...readPictures(maps, {}).values()].flatMap(({ id, picture }) =>
      placesOf(picture)
        .filter((place) => place.address === address && place.bits & IN_LISTS)
        .map(({ port }) => ({ port, service: `${id.namespace}/${id.service}` })),
    );
}

/** What the agent said of the Service, or with the address in it. */
function problemsAbout(
  report: AgentReport | undefined,
  address: Address,
  frontend: DialledFrontend | undefined,
): string[] {
  const words = new RegExp(`(?<![\\w.:])${address.replace(/[.]/g, '\\.')}(?![\\w:]|\\.\\d)`);
  return (report?.problems ?? [])
    .filter(
      ({ namespace, name, message }) =>
        words.test(message) || (frontend !== undefined && namespace === frontend.namespace && name === frontend.name),
    )
    .map(({ kind, namespace, name, field, message }) => `${kind} ${namespace}/${name}: ${field}: ${message}`);
}

function notesOf({ knobs, maps }: Sight): string[] {
  const optOuts = knobs?.socketOptOuts === 1 && !maps.socketOptOuts.entries().next().done;
  return [
    ...(knobs === undefined ? ['no program is in force on this node: this is what its tables say'] : []),
    ...(optOuts ? ['pods that opted out of the socket hook are served per packet'] : []),
  ];
}
