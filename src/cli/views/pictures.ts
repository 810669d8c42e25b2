/** What the kernel's maps hold of each ServicePort, as the history has it (src/tables/picture.ts). */
import { BACKEND_KEPT, backendSlot, frontend, type ServicePort } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import type { ChangeRecord } from '../../model/history.ts';
import { type ExtentBytes, type Picture, pictureOf } from '../../tables/picture.ts';
import { protocolName } from '../format.ts';
import { matchesService, readNames, type ServiceFilter } from './names.ts';

/** What names a ServicePort, as records and the kernel have it. */
export type PortId = Pick<ChangeRecord, 'namespace' | 'service' | 'port' | 'protocol' | 'family'>;
export const portKey = ({ namespace, service, port, protocol, family }: PortId) =>
  `${namespace}/${service}:${port}/${protocol}/${family}`;

export interface PortPicture {
  readonly id: PortId;
  readonly servicePortId?: number;
  picture: Picture;
}

/** @returns by `portKey`: what is in force of the Services that match. */
export function readPictures(maps: Maps, filter: ServiceFilter): Map<string, PortPicture> {
  const names = readNames(maps.servicePorts.entries());
  const rows = new Map<number, { key: string; value: Buffer }[]>();
  const bases = new Set<number>();
  for (const { key, value } of maps.frontends.entries()) {
    const { servicePortId, internalBase, externalBase } = frontend.read(value, 0);
    bases.add(internalBase).add(externalBase);
    const name = names.get(servicePortId);
    if (name === undefined || !matchesService(filter, nameOf(name))) continue;
    const known = rows.get(servicePortId);
    if (known === undefined) rows.set(servicePortId, [{ key: key.toString('latin1'), value }]);
    else known.push({ key: key.toString('latin1'), value });
  }
  const ports = new Map<string, PortPicture>();
  for (const [servicePortId, found] of rows) {
    const name = names.get(servicePortId);
    if (name === undefined) continue;
    const id = portIdOf(name);
    const values = Buffer.concat(found.map(({ value }) => value));
    const picture = pictureOf({ keys: found.map(({ key }) => key), values, extents: extentsOf(maps, values, bases) });
    ports.set(portKey(id), { id, servicePortId, picture });
  }
  return ports;
}

const nameOf = ({ namespace, service, portName }: ServicePort) => ({ namespace, name: service, port: portName });

function portIdOf({ namespace, service, portName, proto, family }: ServicePort): PortId {
  return {
    namespace,
    service,
    port: portName,
    protocol: protocolName(proto) as PortId['protocol'],
    family: family === 4 ? 'IPv4' : 'IPv6',
  };
}

/** @param bases of all extents: one ends where the next begins. */
function extentsOf({ backendSlots }: Maps, values: Buffer, bases: ReadonlySet<number>): ExtentBytes[] {
  const counts = new Map<number, number>();
  for (let at = 0; at < values.length; at += frontend.size) {
    const row = frontend.read(values, at);
    for (const [base, count] of [
      [row.internalBase, row.internalCount],
      [row.externalBase, row.externalCount],
    ] as const)
      counts.set(base, Math.max(count, counts.get(base) ?? 0));
  }
  const { view, stride } = backendSlots;
  return [...counts].map(([base, count]) => {
    let end = base + count;
    while (end > 0 && (end === base || !bases.has(end)) && isKept(view, end * stride)) end++;
    return { base, count, slots: Buffer.from(view.subarray(base * stride, end * stride)) };
  });
}

function isKept(view: Buffer, at: number): boolean {
  return at + backendSlot.size <= view.length && (backendSlot.read(view, at).flags & BACKEND_KEPT) !== 0;
}
