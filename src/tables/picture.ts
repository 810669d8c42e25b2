/**
 * What of a ServicePort is in force, as bytes of its rows, and what became another between two such pictures.
 * The same picture is taken of what the agent has written and of the kernel's maps.
 */
import {
  BACKEND_LOCAL,
  BACKEND_TERMINATING,
  backendSlot,
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_INTERNAL_LOCAL,
  frontend,
  frontendKey,
} from '../../maps-schema/gen/codecs.ts';
import {
  type BackendChange,
  type FrontendChange,
  type FrontendTraits,
  IN_CLUSTER_LIST,
  IN_LISTS,
  IN_LOCAL_LIST,
  IS_KEPT,
  IS_LOCAL,
  IS_TERMINATING,
  type PortChange,
  type Serving,
} from '../model/history.ts';
import { decodeKey, frontendKeyOf } from './rows.ts';

/** Rows of a ServicePort: copies. */
export interface PortBytes {
  /** Keys of frontends as latin1 text, and their values one after another. */
  readonly keys: readonly string[];
  readonly values: Buffer;
  readonly extents: readonly ExtentBytes[];
}

export interface ExtentBytes {
  readonly base: number;
  /** Slots that frontends lead to; those behind remember backends. */
  readonly count: number;
  readonly slots: Buffer;
}

export interface Picture {
  /** By the bytes of the key. */
  readonly frontends: ReadonlyMap<string, FrontendTraits>;
  /** Where each stands (src/model/history.ts), by the bytes of address and port. */
  readonly backends: ReadonlyMap<string, number>;
}

export const EMPTY_PICTURE: Picture = { frontends: new Map(), backends: new Map() };
const SLOT = backendSlot.size;
const ENDPOINT = 18;

export function sameBytes(a: PortBytes, b: PortBytes): boolean {
  return (
    a.keys.length === b.keys.length &&
    a.keys.every((key, i) => key === b.keys[i]) &&
    a.values.equals(b.values) &&
    a.extents.length === b.extents.length &&
    a.extents.every((extent, i) => extent.slots.equals(b.extents[i]?.slots ?? Buffer.alloc(0)))
  );
}

export function pictureOf({ keys, values, extents }: PortBytes): Picture {
  const frontends = new Map<string, FrontendTraits>();
  const backends = new Map<string, number>();
  const lists = new Map<number, number>();
  keys.forEach((key, i) => {
    const row = frontend.read(values, i * frontend.size);
    const { flags, affinitySeconds } = row;
    frontends.set(key, { flags, affinitySeconds });
    const { inside, outside } = listsOf(flags);
    for (const [base, list] of [
      [row.internalBase, inside],
      [row.externalBase, outside],
    ] as const)
      lists.set(base, (lists.get(base) ?? 0) | list);
  });
  for (const { base, count, slots } of extents) {
    const list = lists.get(base) ?? 0;
    for (let at = 0; at < slots.length; at += SLOT) {
      if (slots.readUInt32LE(at + 20) === 0) continue;
      const key = slots.toString('latin1', at, at + ENDPOINT);
      const flags = slots.readUInt16LE(at + ENDPOINT);
      const here = (flags & BACKEND_LOCAL ? IS_LOCAL : 0) | (flags & BACKEND_TERMINATING ? IS_TERMINATING : 0);
      backends.set(key, (backends.get(key) ?? 0) | here | (at < count * SLOT ? list : IS_KEPT));
    }
  }
  // What one list remembers, the other may still give to clients.
  for (const [key, bits] of backends) if (bits & IN_LISTS && bits & IS_KEPT) backends.set(key, bits & ~IS_KEPT);
  return { frontends, backends };
}

/** Which list each side's clients are given (src/compile/frontends.ts). */
export function listsOf(flags: number): { readonly inside: number; readonly outside: number } {
  const inside = flags & FRONTEND_INTERNAL_LOCAL ? IN_LOCAL_LIST : IN_CLUSTER_LIST;
  if (flags & FRONTEND_CLUSTER_IP) return { inside, outside: inside };
  return { inside, outside: flags & FRONTEND_EXTERNAL_LOCAL ? IN_LOCAL_LIST : IN_CLUSTER_LIST };
}

/** @param name see servicePortName() @returns undefined when it is none, or nothing but places of rows changed. */
export function changeOf(name: string, was: Picture, is: Picture): PortChange | undefined {
  const [, namespace, service, port, protocol, family] =
    /^([^/]+)\/([^:]+):(.*)\/(TCP|UDP|SCTP)\/(IPv[46])$/.exec(name) ?? [];
  if (namespace === undefined) return undefined;
  const frontends = changedFrontends(was, is);
  const backends = changedBackends(was, is);
  if (frontends.length === 0 && backends.length === 0) return undefined;
  return {
    namespace,
    service,
    port,
    protocol,
    family,
    frontends,
    backends,
    was: servingOf(was),
    is: servingOf(is),
  } as PortChange;
}

/** The picture before a change, from the one after it. */
export function undo(picture: Picture, { frontends, backends, protocol }: PortChange): Picture {
  const before = { frontends: new Map(picture.frontends), backends: new Map(picture.backends) };
  for (const { address, port, was } of frontends) {
    const key = frontendKeyOf(address, port, protocol);
    if (was === undefined) before.frontends.delete(key);
    else before.frontends.set(key, was);
  }
  for (const { address, port, was } of backends) {
    const key = endpointBytes(address, port);
    if (was === 0) before.backends.delete(key);
    else before.backends.set(key, was);
  }
  return before;
}

function changedFrontends(was: Picture, is: Picture): FrontendChange[] {
  const changed: FrontendChange[] = [];
  for (const key of new Set([...was.frontends.keys(), ...is.frontends.keys()])) {
    const [before, after] = [was.frontends.get(key), is.frontends.get(key)];
    if (before?.flags === after?.flags && before?.affinitySeconds === after?.affinitySeconds) continue;
    const { address, port } = decodeKey(frontendKey, key);
    changed.push({ address, port, ...(before && { was: before }), ...(after && { is: after }) });
  }
  return changed;
}

function changedBackends(was: Picture, is: Picture): BackendChange[] {
  const changed: BackendChange[] = [];
  const note = (key: string, before: number, after: number) => {
    if (before !== after) changed.push({ ...decodeEndpoint(key), was: before, is: after });
  };
  for (const [key, before] of was.backends) note(key, before, is.backends.get(key) ?? 0);
  for (const [key, after] of is.backends) if (!was.backends.has(key)) note(key, 0, after);
  return changed;
}

/** Of the frontends that clients of each side use: outside that is a ClusterIP only when there is nothing else. */
export function servingOf({ frontends, backends }: Picture): Serving {
  const all = [...frontends.values()];
  const inside = all[0];
  if (inside === undefined) return { absent: true, inside: 0, outside: 0 };
  const outside = all.find(({ flags }) => (flags & FRONTEND_CLUSTER_IP) === 0) ?? inside;
  const count = (list: number) => {
    let found = 0;
    for (const bits of backends.values()) if (bits & list) found++;
    return found;
  };
  const [within, without] = [count(listsOf(inside.flags).inside), count(listsOf(outside.flags).outside)];
  return {
    inside: within,
    outside: without,
    ...(within === 0 && inside.flags & FRONTEND_INTERNAL_DROP && { insideDrops: true }),
    ...(without === 0 && outside.flags & FRONTEND_EXTERNAL_DROP && { outsideDrops: true }),
  };
}

export function decodeEndpoint(key: string): Pick<BackendChange, 'address' | 'port'> {
  const { address, port } = backendSlot.read(Buffer.concat([Buffer.from(key, 'latin1'), Buffer.alloc(SLOT)]), 0);
  return { address, port };
}

export function endpointBytes(address: string, port: number): string {
  const slot = Buffer.alloc(SLOT);
  backendSlot.write(slot, 0, { address, port, flags: 0, backendId: 0 });
  return slot.toString('latin1', 0, ENDPOINT);
}
