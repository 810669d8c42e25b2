/**
 * The incremental compiler: remembers objects, stripped to what is used, and recompiles the Services
 * that a change touches. No clock, no I/O; the rows depend on the objects, never on their order.
 */
import type { CompiledService, Problem } from '../model/compiled.ts';
import { exact } from '../model/exact.ts';
import { type Claimant, createClaims } from './claims.ts';
import { compileService } from './compile-service.ts';
import { compareContexts, type NodeContext } from './context.ts';
import { createProblems } from './problems.ts';
import { type ParsedService, parseService } from './service.ts';
import { type ParsedSlice, parseSlice } from './slice.ts';
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
   * @param service as it came, of any shape; undefined: deleted. No reference to it is kept.
   */
  setService(key: string, service: unknown): void;
  /** The same for an EndpointSlice. @returns `namespace/name` of the Services whose it is, or was. */
  setSlice(key: string, slice: unknown): readonly string[];
  setContext(context: NodeContext): void;
  /** Whether some Service wants to know the other nodes' addresses: direct return does. */
  wantsPeers(): boolean;
  /** @returns what changed since the last call. */
  take(): Taken;
}

/** A Service that is ours to serve, with what it claims. */
interface ServiceState {
  readonly service: ParsedService;
  readonly claimant: Claimant | undefined;
  /** It wants to know the other nodes' addresses. */
  asks: boolean;
}

const NO_SLICES: readonly ParsedSlice[] = [];

export function createCompiler(initial: NodeContext): Compiler {
  let context = initial;
  const services = new Map<string, ServiceState>();
  const slices = new Map<string, ParsedSlice>();
  /** By Service, in the order of their keys. */
  const slicesOf = new Map<string, ParsedSlice[]>();
  const claims = createClaims();
  const dirty = new Set<string>();
  const returned = new Set<string>();
  let nameProblems: Problem[] = [];

  /** whether the Service is left to another proxy. */
  const isOurs = ({ proxyName }: ParsedService) => proxyName === undefined || proxyName === context.serviceProxyName;

  const asksForPeers = (service: ParsedService) =>
    isOurs(service) && (service.forwardingMode ?? context.forwardingMode ?? 'snat') !== 'snat';

  /** Services that want to know the other nodes' addresses: asked for with each sync. */
  let asking = 0;

  function claimantOf(service: ParsedService): Claimant | undefined {
    if (!isOurs(service)) return undefined;
    const claimed: string[] = [];
    for (const { family, candidates } of service.ports) {
      if (context.families.includes(family)) for (const { claim } of candidates) claimed.push(claim);
    }
    return { key: service.key, created: service.created, claims: exact(claimed) };
  }

  function store(key: string, service: ParsedService | undefined): void {
    const claimant = service === undefined ? undefined : claimantOf(service);
    const before = services.get(key);
    for (const other of claims.update(before?.claimant, claimant)) dirty.add(other);
    const asks = service !== undefined && asksForPeers(service);
    asking += Number(asks) - Number(before?.asks ?? false);
    if (service === undefined) services.delete(key);
    else services.set(key, { service, claimant, asks });
    dirty.add(key);
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
    return compileService({ service: state.service, slices: own, context, holder: claims.holder });
  }

  return {
    setService(key, object) {
      const usable = object !== undefined && isUsable('Service', key);
      store(key, usable ? parseService(key, object, context.routerIpMode === true) : undefined);
    },

    setSlice(key, object) {
      const usable = object !== undefined && isUsable('EndpointSlice', key);
      const slice = usable ? parseSlice(key, object) : undefined;
      const owners = [slices.get(key)?.serviceKey, slice?.serviceKey];
      detachSlice(key);
      if (slice !== undefined) attachSlice(slice);
      return [...new Set(owners)].filter((owner) => owner !== undefined);
    },

    setContext(next) {
      const change = compareContexts(context, next);
      context = next;
      for (const [key, { service }] of services) {
        if (change.scope) store(key, service);
        else if (change.rows || (change.sourceRanges && Object.keys(service.sourceRanges).length > 0)) dirty.add(key);
        else if (change.peers && asksForPeers(service)) dirty.add(key);
      }
      asking = 0;
      for (const state of services.values()) {
        state.asks = asksForPeers(state.service);
        asking += Number(state.asks);
      }
    },

    wantsPeers: () => asking > 0,

    take() {
      const changed: CompiledService[] = [];
      const removed: string[] = [];
      for (const key of [...dirty].sort()) {
        const compiled = compileOne(key);
        if (compiled !== undefined) {
          returned.add(key);
          changed.push(compiled);
        } else if (returned.delete(key)) removed.push(key);
      }
      dirty.clear();
      const problems = nameProblems;
      nameProblems = [];
      return { changed, removed, problems };
    },
  };
}
