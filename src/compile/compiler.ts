/**
 * The incremental compiler: remembers objects, stripped to what is used, and recompiles the Services
 * that a change touches. No clock, no I/O; the rows depend on the objects, never on their order.
 */
import { FRONTEND_EXTERNAL_IP, FRONTEND_LOAD_BALANCER } from '../../maps-schema/gen/codecs.ts';
import type { CompiledService, Problem } from '../model/compiled.ts';
import { exact } from '../model/exact.ts';
import { atOnce } from '../model/steps.ts';
import { API_SERVICE, apiServersText, createRefusal } from './address-rules.ts';
import { type Claimant, createClaims } from './claims.ts';
import { compileService } from './compile-service.ts';
import { compareContexts, type NodeContext } from './context.ts';
import { forwardingModeOf } from './forwarding.ts';
import { createProblems } from './problems.ts';
import { type ParsedService, parseService } from './service.ts';
import { type ParsedSlice, parseSlice, serviceOfSlice } from './slice.ts';
import { isLabel, isSubdomain, show, splitKey } from './validate.ts';

export interface Taken {
  /** Services whose inputs changed, sorted by `namespace/name`; the rows may be what they were. */
  readonly changed: CompiledService[];
  /** `namespace/name` of Services that were returned before and are served no more. */
  readonly removed: string[];
  /** Objects that were skipped because their names cannot be used. */
  readonly problems: readonly Problem[];
}

export interface Compiler {
  /**
   * @param key `namespace/name`; decides the names, metadata is not asked
   * @param service as it came, of any shape; undefined: deleted. It is read by the next `take`, not kept any longer.
   */
  setService(key: string, service: unknown): void;
  /** The same for an EndpointSlice. @returns `namespace/name` of the Services whose it is, or was. */
  setSlice(key: string, slice: unknown): readonly string[];
  setContext(context: NodeContext): void;
  /** @returns what changed since the last call. */
  take(): Taken;
  /** The same, an object a step. What comes meanwhile is left to the next; to be run to its end. */
  takeSteps(): Generator<void, Taken>;
}

/** A Service that is ours to serve, with what it claims. */
interface ServiceState {
  readonly service: ParsedService;
  readonly claimant: Claimant | undefined;
}

const NO_SLICES: readonly ParsedSlice[] = [];

/** External IPs or load-balancer addresses, which rules may refuse. */
function hasExternalAddresses({ ports }: ParsedService): boolean {
  const kinds = FRONTEND_EXTERNAL_IP | FRONTEND_LOAD_BALANCER;
  return ports.some(({ candidates }) => candidates.some((candidate) => (candidate.kinds & kinds) !== 0));
}

export function createCompiler(initial: NodeContext): Compiler {
  let context = initial;
  const services = new Map<string, ServiceState>();
  const slices = new Map<string, ParsedSlice>();
  /** By Service, in the order of their keys. */
  const slicesOf = new Map<string, ParsedSlice[]>();
  const claims = createClaims();
  /** As they came: read when there is time. */
  const newServices = new Map<string, unknown>();
  const newSlices = new Map<string, unknown>();
  const dirty = new Set<string>();
  const returned = new Set<string>();
  let nameProblems: Problem[] = [];

  /** whether the Service is left to another proxy. */
  const isOurs = ({ proxyName }: ParsedService) => proxyName === undefined || proxyName === context.serviceProxyName;

  const asksForPeers = (service: ParsedService) => isOurs(service) && forwardingModeOf(service, context) !== 'snat';

  let apiServers = apiServersText(NO_SLICES);
  let refusal = createRefusal(context.addressRules ?? {}, NO_SLICES);

  function claimantOf(service: ParsedService): Claimant | undefined {
    if (!isOurs(service)) return undefined;
    const claimed: string[] = [];
    for (const { family, protocol, candidates } of service.ports) {
      if (!context.families.includes(family)) continue;
      for (const candidate of candidates) if (refusal(candidate, protocol) === undefined) claimed.push(candidate.claim);
    }
    return { key: service.key, created: service.created, claims: exact(claimed) };
  }

  function store(key: string, service: ParsedService | undefined): void {
    const claimant = service === undefined ? undefined : claimantOf(service);
    const before = services.get(key);
    for (const other of claims.update(before?.claimant, claimant)) dirty.add(other);
    if (service === undefined) services.delete(key);
    else services.set(key, { service, claimant });
    dirty.add(key);
  }

  /** The API servers' own addresses are other ones: some Service may have asked for them. */
  function followApiServers(): void {
    const own = slicesOf.get(API_SERVICE) ?? NO_SLICES;
    const text = apiServersText(own);
    if (text === apiServers) return;
    apiServers = text;
    refusal = createRefusal(context.addressRules ?? {}, own);
    for (const [key, { service }] of services) if (hasExternalAddresses(service)) store(key, service);
  }

  function detachSlice(key: string): void {
    const before = slices.get(key);
    if (before === undefined) return;
    slices.delete(key);
    const left = slicesOf.get(before.serviceKey)?.filter((slice) => slice !== before) ?? [];
    if (left.length > 0) slicesOf.set(before.serviceKey, left);
    else slicesOf.delete(before.serviceKey);
    dirty.add(before.serviceKey);
  }

  function attachSlice(slice: ParsedSlice): void {
    const siblings = slicesOf.get(slice.serviceKey) ?? [];
    const after = siblings.findIndex((other) => other.key > slice.key);
    siblings.splice(after < 0 ? siblings.length : after, 0, slice);
    slicesOf.set(slice.serviceKey, siblings);
    slices.set(slice.key, slice);
    dirty.add(slice.serviceKey);
  }

  /** Whether both names of a key can be used; reports when not. */
  function isUsable(kind: 'Service' | 'EndpointSlice', key: string): boolean {
    const [namespace, name] = splitKey(key);
    if (isLabel(namespace) && (kind === 'Service' ? isLabel(name) : isSubdomain(name))) return true;
    const problems = createProblems(kind, namespace.slice(0, 63), name.slice(0, 253));
    const [field, value] = isLabel(namespace) ? ['metadata.name', name] : ['metadata.namespace', namespace];
    problems.add(field, `${show(value)} cannot be used as a name: the object is skipped`);
    nameProblems.push(...problems.list());
    return false;
  }

  function compileOne(key: string): CompiledService | undefined {
    const state = services.get(key);
    if (state === undefined || !isOurs(state.service)) return undefined;
    const own = slicesOf.get(key) ?? NO_SLICES;
    return compileService({ service: state.service, slices: own, context, holder: claims.holder, refusal });
  }

  function readService(key: string, object: unknown): void {
    const usable = object !== undefined && isUsable('Service', key);
    store(key, usable ? parseService(key, object, context.routerIpMode === true) : undefined);
  }

  function readSlice(key: string, object: unknown): void {
    const usable = object !== undefined && isUsable('EndpointSlice', key);
    const slice = usable ? parseSlice(key, object) : undefined;
    const before = slices.get(key);
    detachSlice(key);
    const isOfApi = slice?.serviceKey === API_SERVICE || before?.serviceKey === API_SERVICE;
    if (slice !== undefined) attachSlice(slice);
    if (isOfApi) followApiServers();
  }

  function* takeSteps(): Generator<void, Taken> {
    for (const key of [...newServices.keys()]) {
      const object = newServices.get(key);
      newServices.delete(key);
      readService(key, object);
      yield;
    }
    for (const key of [...newSlices.keys()]) {
      const object = newSlices.get(key);
      newSlices.delete(key);
      readSlice(key, object);
      yield;
    }
    const changed: CompiledService[] = [];
    const removed: string[] = [];
    const keys = [...dirty].sort();
    for (const key of keys) {
      dirty.delete(key);
      const compiled = compileOne(key);
      if (compiled !== undefined) {
        returned.add(key);
        changed.push(compiled);
      } else if (returned.delete(key)) removed.push(key);
      yield;
    }
    const problems = nameProblems;
    nameProblems = [];
    return { changed, removed, problems };
  }

  return {
    setService(key, object) {
      newServices.set(key, object);
    },

    setSlice(key, object) {
      newSlices.set(key, object);
      const owners = [slices.get(key)?.serviceKey, serviceOfSlice(key, object)];
      return [...new Set(owners)].filter((owner) => owner !== undefined);
    },

    setContext(next) {
      const change = compareContexts(context, next);
      context = next;
      refusal = createRefusal(context.addressRules ?? {}, slicesOf.get(API_SERVICE) ?? NO_SLICES);
      for (const [key, { service }] of services) {
        if (change.scope) store(key, service);
        else if (change.rows || (change.sourceRanges && Object.keys(service.sourceRanges).length > 0)) dirty.add(key);
        else if (change.peers && asksForPeers(service)) dirty.add(key);
      }
    },

    take: () => atOnce(takeSteps()),
    takeSteps,
  };
}
