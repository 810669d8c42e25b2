/** The rows of the maps: what an agent would write that begins with nothing, beside what the kernel has. */
import {
  CONTROL_ATTACHED,
  CONTROL_SERVICE_CIDRS4,
  CONTROL_SERVICE_CIDRS6,
  device,
  deviceKey,
} from '../../maps-schema/gen/codecs.ts';
import type { Maps } from '../bpf/open-maps.ts';
import { familyOf } from '../model/address.ts';
import type { Budgets } from '../model/budgets.ts';
import type { CompiledService } from '../model/compiled.ts';
import { DSR_ENCAPSULATIONS, FORWARDING_MODES, type ForwardingOptions } from '../model/forwarding.ts';
import type { NodeView } from '../reconcile/node-view.ts';
import { type Facts, factsOf, unknownOf } from '../tables/facts.ts';
import { createShadowMaps } from '../tables/shadow-maps.ts';
import { createTables } from '../tables/tables.ts';
import { compareTexts, type Finding } from './difference.ts';

export interface RowInputs {
  readonly maps: Maps;
  readonly node: string;
  readonly services: readonly CompiledService[];
  readonly view: NodeView;
  /** Ids of cgroups; undefined: not known. */
  readonly optOuts: readonly bigint[] | undefined;
  readonly budgets: Budgets;
  readonly forwarding: ForwardingOptions;
  readonly detached: boolean;
  readonly xdpChoice: (ifindex: number) => number;
}

export interface ComparedRows {
  readonly findings: Finding[];
  /** Rows that were compared. */
  readonly looked: number;
  /** Why, by Service that there is no room for: what is in force of it is not looked at. */
  readonly refused: ReadonlyMap<string, string>;
}

/** @returns what the agent wrote of a device's XDP. */
export function xdpChoices(maps: Pick<Maps, 'devices'>): (ifindex: number) => number {
  const choices = new Map<number, number>();
  for (const { key, value } of maps.devices.entries())
    choices.set(deviceKey.read(key, 0).ifindex, device.read(value, 0).xdp);
  return (ifindex) => choices.get(ifindex) ?? 0;
}

/** @throws SluiceError MAP_FAILED when a map cannot be read */
export function compareRows(inputs: RowInputs): ComparedRows {
  const { maps, node, view, optOuts, xdpChoice } = inputs;
  const shadow = createShadowMaps(maps);
  const tables = createTables(shadow, { budgets: inputs.budgets });
  tables.applyNodeTables({
    nodeAddresses: view.addresses,
    devices: view.deviceRows.map(({ ifindex, ...row }) => {
      const plan = view.xdp.find((one) => one.device.ifindex === ifindex);
      // Where it is planned the kernel had a say.
      const xdp = plan?.place === undefined ? (plan?.choice ?? 0) : xdpChoice(ifindex);
      return { ifindex, device: { ...row, xdp } };
    }),
    podCidrs: view.podCidrs,
    serviceCidrs: view.serviceCidrs,
    reservedPorts: view.reservedPorts,
    peers: view.peers,
    socketOptOuts: optOuts,
  });
  const applied = tables.apply({ changed: inputs.services, removed: [] }, { complete: true });
  const refused = new Map(
    [...applied.refused, ...applied.failed].map(({ namespace, name, message }) => [`${namespace}/${name}`, message]),
  );
  const unknown = new Set([...(view.peers ? [] : ['peers']), ...(optOuts ? [] : ['socket_opt_outs'])]);
  const [wanted, actual] = [factsOf(shadow), factsOf(maps)];
  const findings: Finding[] = [];
  for (const key of new Set([...wanted.keys(), ...actual.keys()])) {
    const finding = compareFact(key, wanted, actual, node);
    if (finding !== undefined && !refused.has(finding.object) && !unknown.has(finding.where)) findings.push(finding);
  }
  for (const { map, row, is } of unknownOf(shadow, maps))
    findings.push({ kind: 'missing', object: node, where: map, row, is: '', shouldBe: is });
  findings.push(...compareControl(inputs));
  return { findings, looked: wanted.size, refused };
}

function compareFact(key: string, wanted: Facts, actual: Facts, node: string): Finding | undefined {
  const [want, have] = [wanted.get(key), actual.get(key)];
  if (want?.is === have?.is) return undefined;
  const kind = have === undefined ? 'missing' : want === undefined ? 'unexpected' : 'different';
  const { map: where = '', row = '', service = '' } = want ?? have ?? {};
  return { kind, object: service || node, where, row, is: have?.is ?? '', shouldBe: want?.is ?? '' };
}

/** Offsets in `control`: the forwarding mode, its encapsulation, and the byte of flags that is the agent's. */
const MODE = 4;
const ENCAPSULATION = 5;
const FLAGS = 6;

function compareControl({ maps, node, view, forwarding, detached }: RowInputs): Finding[] {
  const { view: control } = maps.control;
  const flags = control.readUInt8(FLAGS);
  const said = (yes: boolean) => (yes ? 'yes' : 'no');
  const families = new Set(view.serviceCidrs.map(({ address }) => familyOf(address)));
  const actual = {
    'default forwarding mode': FORWARDING_MODES[control.readUInt8(MODE)] ?? 'unknown',
    encapsulation: DSR_ENCAPSULATIONS[control.readUInt8(ENCAPSULATION)] ?? 'unknown',
    'everything is attached': said((flags & CONTROL_ATTACHED) !== 0),
    'IPv4 cluster IPs are known': said((flags & CONTROL_SERVICE_CIDRS4) !== 0),
    'IPv6 cluster IPs are known': said((flags & CONTROL_SERVICE_CIDRS6) !== 0),
  };
  const wanted: typeof actual = {
    'default forwarding mode': forwarding.mode,
    encapsulation: forwarding.encapsulation,
    'everything is attached': said(!detached),
    'IPv4 cluster IPs are known': said(families.has('IPv4')),
    'IPv6 cluster IPs are known': said(families.has('IPv6')),
  };
  return compareTexts('control', node, new Map(Object.entries(wanted)), new Map(Object.entries(actual)));
}
