/** The state of a Service at a time in the past: what is in force now, and the changes since undone. */
import { frontendKey } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import {
  type HistoryRecord,
  IN_CLUSTER_LIST,
  IN_LOCAL_LIST,
  IS_KEPT,
  IS_LOCAL,
  IS_TERMINATING,
} from '../../model/history.ts';
import { decodeEndpoint, EMPTY_PICTURE, servingOf, undo } from '../../tables/picture.ts';
import { decodeKey } from '../../tables/rows.ts';
import { compareBy } from '../format.ts';
import { flagWords } from './frontends.ts';
import { matchesService, type ServiceFilter, type ServicePortName } from './names.ts';
import { type PortPicture, portKey, readPictures } from './pictures.ts';

export interface PastFrontend {
  readonly address: string;
  readonly port: number;
  readonly types: readonly string[];
  readonly traits: readonly string[];
  readonly affinitySeconds: number;
}

export interface PastBackend {
  readonly address: string;
  readonly port: number;
  readonly lists: readonly ('cluster' | 'local')[];
  readonly state: 'serving' | 'terminating' | 'kept';
  /** On this node. */
  readonly local: boolean;
}

export interface PastPort extends ServicePortName {
  readonly protocol: string;
  readonly family: string;
  readonly serving: { readonly inside: number; readonly outside: number };
  readonly frontends: readonly PastFrontend[];
  readonly backends: readonly PastBackend[];
  /** False: more changed at once than was written down; what is shown may be wrong. */
  readonly complete: boolean;
}

interface Entry extends PortPicture {
  complete: boolean;
}

/**
 * @param records of the history, the oldest first
 * @param at ms since the epoch
 * @returns the ServicePorts that had frontends then
 */
export function readPast(maps: Maps, records: readonly HistoryRecord[], filter: ServiceFilter, at: number): PastPort[] {
  const ports = new Map<string, Entry>(
    [...readPictures(maps, filter)].map(([id, port]) => [id, { ...port, complete: true }]),
  );
  let overflow = false;
  for (const record of [...records].reverse()) {
    if (record.at <= at) break;
    overflow ||= record.kind === 'overflow';
    if (record.kind !== 'change' || !matchesService(filter, { ...record, name: record.service })) continue;
    const known = ports.get(portKey(record)) ?? { id: record, picture: EMPTY_PICTURE, complete: true };
    ports.set(portKey(record), known);
    known.picture = undo(known.picture, record);
    if (record.moreFrontends !== undefined || record.moreBackends !== undefined) known.complete = false;
  }
  return [...ports.values()]
    .filter(({ picture }) => picture.frontends.size > 0)
    .map((entry) => rowOf(entry, !overflow))
    .sort(
      compareBy(
        (row) => row.namespace,
        (row) => row.name,
        (row) => row.port,
        (row) => row.protocol,
        (row) => row.family,
      ),
    );
}

function rowOf({ id, picture, complete }: Entry, whole: boolean): PastPort {
  const { inside, outside } = servingOf(picture);
  const frontends = [...picture.frontends].map(([key, { flags, affinitySeconds }]) => {
    const { address, port } = decodeKey(frontendKey, key);
    const { types, traits } = flagWords(flags);
    return { address, port, types, traits, affinitySeconds };
  });
  const backends = [...picture.backends].map(([key, bits]) => ({ ...decodeEndpoint(key), ...backendWords(bits) }));
  return {
    namespace: id.namespace,
    name: id.service,
    port: id.port,
    protocol: id.protocol,
    family: id.family,
    serving: { inside, outside },
    frontends: frontends.sort(
      compareBy(
        (row) => row.address,
        (row) => row.port,
      ),
    ),
    backends: backends.sort(
      compareBy(
        (row) => row.address,
        (row) => row.port,
      ),
    ),
    complete: complete && whole,
  };
}

function backendWords(bits: number): Pick<PastBackend, 'lists' | 'state' | 'local'> {
  return {
    lists: [
      ...(bits & IN_CLUSTER_LIST ? (['cluster'] as const) : []),
      ...(bits & IN_LOCAL_LIST ? (['local'] as const) : []),
    ],
    state: bits & IS_KEPT ? 'kept' : bits & IS_TERMINATING ? 'terminating' : 'serving',
    local: (bits & IS_LOCAL) !== 0,
  };
}
