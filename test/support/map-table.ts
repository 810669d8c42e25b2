/**
 * The agent's maps as text for golden tests, read from the kernel: stable, because extents, backend
 * ids and service_port_ids are numbered in the order in which they are met here.
 */
import {
  affinityMember,
  affinityMemberKey,
  BACKEND_CHOICE,
  BACKEND_KEPT,
  BACKEND_STATE_SERVING,
  backendFlags,
  backendSlot,
  backendState,
  FRONTEND_CHOICE,
  frontend,
  frontendFlags,
  frontendKey,
  servicePort,
  servicePortKey,
  sourceRangeKey,
} from '../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../src/bpf/open-maps.ts';
import { familyOf } from '../../src/model/address.ts';
import { PROTOCOL_NUMBERS } from '../../src/model/compiled.ts';
import { readChoice } from '../../src/tables/choice.ts';
import { endpointText, table } from './golden-table.ts';

type Row = readonly string[];

const PROTOCOLS = new Map(Object.entries(PROTOCOL_NUMBERS).map(([name, number]) => [number, name]));

function flagsText(flags: number, names: Readonly<Record<number, string>>): string {
  const set = Object.entries(names).flatMap(([bit, name]) => (flags & (1 << Number(bit)) ? [name] : []));
  return set.join(' ') || '-';
}

/** Gives numbers from 1 on, in the order of asking. */
function numbering(): (id: number) => string {
  const numbers = new Map<number, number>();
  return (id) => {
    if (!numbers.has(id)) numbers.set(id, numbers.size + 1);
    return `${numbers.get(id)}`;
  };
}

function readServicePorts(maps: Maps): Map<number, string> {
  return new Map(
    [...maps.servicePorts.entries()].map(({ key, value }) => {
      const { namespace, service, portName, proto, family } = servicePort.read(value, 0);
      const name = `${namespace}/${service}:${portName || '-'}/${PROTOCOLS.get(proto)}/IPv${family}`;
      return [servicePortKey.read(key, 0).id, name];
    }),
  );
}

function readFrontends(maps: Maps, names: ReadonlyMap<number, string>) {
  return [...maps.frontends.entries()]
    .map(({ key, value }) => {
      const { address, port, proto } = frontendKey.read(key, 0);
      const row = frontend.read(value, 0);
      const owner = names.get(row.servicePortId) ?? 'nobody';
      return { ...row, dialled: `${endpointText(address, port)}/${PROTOCOLS.get(proto)}`, owner };
    })
    .sort((a, b) => compare(a.owner, b.owner) || compare(a.dialled, b.dialled));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** Slots of an extent: `count` that new flows are given, then those that only remember a backend's id. */
function readExtent(maps: Maps, base: number, count: number) {
  const { view, stride, shape } = maps.backendSlots;
  const slots = [];
  for (let offset = 0; base + offset < shape.maxEntries; offset++) {
    const slot = backendSlot.read(view, (base + offset) * stride);
    const kept = (slot.flags & BACKEND_KEPT) !== 0;
    if (offset < count ? kept : !kept) break;
    // Tables by which a backend is chosen: their numbers are shown as one line.
    if ((slot.flags & BACKEND_CHOICE) === 0) slots.push({ ...slot, offset });
  }
  return slots;
}

function stateText(maps: Maps, id: number): string {
  const { generation, flags } = backendState.read(maps.backendStates.view, id * maps.backendStates.stride);
  return `${flags & BACKEND_STATE_SERVING ? 'serving' : 'not serving'}${generation === 0 ? ', no generation' : ''}`;
}

/**
 * Renders what the agent wrote for its Services; what belongs to the node is left out.
 * @param kept false: leave out slots that remember a backend which only keeps its flows; they tell of
 * what was there before.
 */
export function renderMaps(maps: Maps, { kept = true } = {}): string {
  const names = readServicePorts(maps);
  const frontends = readFrontends(maps, names);
  const extentNumber = numbering();
  const backendNumber = numbering();
  const extents = new Map<number, Row[]>();

  const extentText = (base: number, count: number, flags: number): string => {
    if (base === 0 && count === 0) return '-';
    const number = extentNumber(base);
    const slots = readExtent(maps, base, count).slice(0, kept ? undefined : count);
    const seen = extents.get(base);
    if (seen === undefined || seen.length < slots.length) {
      extents.set(
        base,
        slots.map((slot) => [
          number,
          `${slot.offset}`,
          endpointText(slot.address, slot.port),
          backendNumber(slot.backendId),
          flagsText(slot.flags, backendFlags),
          stateText(maps, slot.backendId),
        ]),
      );
    }
    const chosen = flags & FRONTEND_CHOICE ? readChoice(maps.backendSlots.view, base, count) : undefined;
    const weights = chosen?.weights === undefined ? '' : ` ${chosen.weights.join('+')}`;
    return `${number} (${count}${chosen === undefined ? '' : ` by ${chosen.algorithm}${weights}`})`;
  };

  const frontendRows = frontends.map(
    (row): Row => [
      row.dialled,
      row.owner,
      extentText(row.internalBase, row.internalCount, row.flags),
      extentText(row.externalBase, row.externalCount, row.flags),
      `${row.affinitySeconds}`,
      flagsText(row.flags, frontendFlags),
    ],
  );
  const members = [...maps.affinityMembers.entries()].map(({ key, value }): Row => {
    const { base, backendId } = affinityMemberKey.read(key, 0);
    return [extentNumber(base), backendNumber(backendId), `${affinityMember.read(value, 0).offset}`];
  });
  const ranges = [...maps.sourceRanges.entries()].map(({ key }): Row => {
    const { prefixlen, servicePortId, address } = sourceRangeKey.read(key, 0);
    const bits = prefixlen - 32 - (familyOf(address) === 'IPv4' ? 96 : 0);
    return [names.get(servicePortId) ?? 'nobody', `${address}/${bits}`];
  });
  const sorted = (rows: Row[]) => rows.sort((a, b) => compare(a.join('\n'), b.join('\n')));
  const byNumber = (rows: Row[]) => rows.sort((a, b) => Number(a[0]) - Number(b[0]) || Number(a[2]) - Number(b[2]));
  return `${[
    table(['SERVICE PORT'], sorted([...names.values()].map((name): Row => [name]))),
    table(['FRONTEND', 'SERVICE PORT', 'INTERNAL', 'EXTERNAL', 'AFFINITY', 'FLAGS'], frontendRows),
    table(['EXTENT', 'OFFSET', 'ENDPOINT', 'BACKEND', 'FLAGS', 'STATE'], [...extents.values()].flat()),
    table(['AFFINITY IN EXTENT', 'BACKEND', 'OFFSET'], byNumber(members)),
    table(['SOURCE RANGES OF', 'RANGE'], sorted(ranges)),
  ].join('\n\n')}\n`;
}
