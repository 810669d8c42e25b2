/** The backends of a frontend: who is in the client's list and why, and how a connection would go there. */
import { encode } from '../../../maps-schema/codec.ts';
import {
  dsrBackend,
  dsrBackendKey,
  FRONTEND_DSR,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  type Knobs,
} from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { type Address, familyOf } from '../../model/address.ts';
import { IN_CLUSTER_LIST, IN_LISTS, IN_LOCAL_LIST, IS_LOCAL, IS_TERMINATING } from '../../model/history.ts';
import { decodeEndpoint, type Picture } from '../../tables/picture.ts';
import { compareBy } from '../format.ts';
import type { Route } from '../routes.ts';
import type { Client, Devices } from './client.ts';
import type { DialledFrontend, ExplainedBackend } from './model.ts';

export interface Way {
  readonly maps: Maps;
  readonly knobs: Knobs | undefined;
  readonly client: Client;
  readonly clientAddress: Address | undefined;
  readonly frontend: DialledFrontend;
  readonly by: 'socket' | 'packets';
  readonly routes: ReadonlyMap<Address, Route>;
  readonly devices: Devices;
}

interface Placed {
  readonly address: Address;
  readonly port: number;
  readonly bits: number;
}

export function placesOf(picture: Picture): Placed[] {
  const places = [...picture.backends].map(([key, bits]) => ({ ...decodeEndpoint(key), bits }));
  return places.sort(
    compareBy(
      (row) => row.address,
      (row) => row.port,
    ),
  );
}

/** @param list the client's @param only by affinity or a flow this backend alone @param shares by address and port, where they differ */
export function explainBackends(
  way: Way,
  places: readonly Placed[],
  list: number,
  only?: string,
  shares?: ReadonlyMap<string, number>,
): ExplainedBackend[] {
  const count = places.filter(({ bits }) => bits & list).length;
  return places.map(({ address, port, bits }) => {
    const listed = (bits & list) !== 0;
    const chosen = only === undefined ? listed : only === `${address} ${port}`;
    return {
      address,
      port,
      chance: chosen ? (only === undefined ? (shares?.get(`${address} ${port}`) ?? 1 / count) : 1) : 0,
      lists: [
        ...(bits & IN_CLUSTER_LIST ? (['cluster'] as const) : []),
        ...(bits & IN_LOCAL_LIST ? (['local'] as const) : []),
      ],
      why: whyListed(bits, list),
      local: (bits & IS_LOCAL) !== 0,
      ...(listed && wayTo(way, address, (bits & IS_LOCAL) !== 0)),
    };
  });
}

function whyListed(bits: number, list: number): string {
  if (bits & list) {
    if (bits & IS_TERMINATING) return 'terminates, and no ready one is left';
    return list === IN_LOCAL_LIST ? 'ready, and on this node' : 'ready';
  }
  if ((bits & IN_LISTS) === 0)
    return 'keeps the connections it has, gets no new ones: not ready, terminating, or left to others by topology hints';
  return list === IN_LOCAL_LIST
    ? 'on another node, and the traffic policy is Local'
    : 'left to others by topology hints (on this node for clients of the local list)';
}

/** bpf/lib/new_flow.h: flow_route and route_redirects. */
function wayTo(way: Way, backend: Address, local: boolean): Partial<ExplainedBackend> {
  const { knobs, client, clientAddress, frontend, by, routes, devices } = way;
  const route = routes.get(backend);
  const next = {
    ...(route && { device: route.device }),
    ...(route?.gateway !== undefined && { gateway: route.gateway }),
  };
  if (by === 'socket') return { path: 'socket', ...next, ...(route === undefined && { fails: 'DROP_NO_ROUTE' }) };
  const output = client.kind === 'node';
  const podDevice = client.kind === 'local-pod';
  const respects = knobs?.respectNetfilter === 1;
  if (!respects && frontend.flags & FRONTEND_DSR && client.source === 'outside' && !local && hasNode(way, backend))
    return { path: 'dsr', ...next, whySource: 'the backend answers the client directly' };
  const rule = {
    pod: FRONTEND_SNAT_POD,
    node: FRONTEND_SNAT_HOST,
    outside: FRONTEND_SNAT_OUTSIDE,
    impossible: 0,
  }[client.source];
  const asked = (frontend.flags & rule) !== 0;
  const hairpin = backend === clientAddress;
  const elsewhere = !podDevice && !output && !local;
  const translated = (asked || hairpin || elsewhere) && !route?.local;
  if (output && (route === undefined || route.local)) return { path: 'redirect', fails: 'DROP_NO_ROUTE', ...next };
  const redirect = output || (!respects && translated && route !== undefined && !podDevice && !local);
  const path = redirect ? 'redirect' : 'stack';
  if (!translated) return { path, ...next };
  const row = route && devices.get(route.ifindex);
  const source = familyOf(backend) === 'IPv4' ? row?.masquerade4 : row?.masquerade6;
  if (source === undefined || source === '::')
    return { path, ...next, fails: route === undefined ? 'DROP_NO_ROUTE' : 'DROP_NO_SNAT_ADDRESS' };
  return { path, ...next, sourceNat: source, whySource: whyTranslated(way, hairpin, asked) };
}

function whyTranslated({ client, frontend }: Way, hairpin: boolean, asked: boolean): string {
  if (hairpin) return 'the backend is its own client, and would answer itself';
  if (!asked) return 'answers of a backend on another node have to come back by this one';
  if (client.source === 'outside' && !frontend.types.includes('ClusterIP'))
    return 'externalTrafficPolicy is Cluster: any node may be asked, and answers come back by this one';
  return client.source === 'pod'
    ? 'pods that dial this address are translated (masqueradeAll, or an external address of the Service)'
    : 'clients that are no pods are translated towards this address';
}

/** Does this node know where the backend's node is? */
function hasNode({ maps, frontend }: Way, address: Address): boolean {
  const key = encode(dsrBackendKey, { address, servicePortId: frontend.servicePortId });
  const value = maps.dsrBackends.lookup(key);
  return value !== undefined && dsrBackend.read(value, 0).node !== '::';
}
