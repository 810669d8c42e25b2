/** Links and programs: is each where it belongs, and are the programs' settings those that are wanted? */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Knobs, maps as shapes } from '../../maps-schema/gen/codecs.ts';
import { CGROUP_ATTACH_TYPES } from '../bpf/attach-cgroup.ts';
import { listLinks, type PinnedLink } from '../bpf/links.ts';
import { linkName, listPins, mapPin } from '../bpf/paths.ts';
import { findStrayMaps } from '../bpf/program-maps.ts';
import { listPrograms } from '../bpf/programs.ts';
import { haveTcx, queryTcx } from '../bpf/tcx.ts';
import { isXdpAttached } from '../model/xdp.ts';
import type { NodeView } from '../reconcile/node-view.ts';
import { compareTexts, type Finding } from './difference.ts';

export interface AttachmentInputs {
  readonly pinDirectory: string;
  readonly node: string;
  readonly cgroupRoot: string;
  readonly view: NodeView;
  /** Nothing is to be attached: another proxy serves. */
  readonly detached: boolean;
  /** What became of XDP on a device, as the agent wrote it down: XDP_CHOICE_*. */
  readonly xdpChoice: (ifindex: number) => number;
}

const DIRECTIONS = ['ingress', 'egress'] as const;
/** It comes and goes with sockets whose backend has gone. */
const SOMETIMES = 'skb_egress';

/** @returns findings, and how many links and programs were looked at. */
export function compareAttachments(inputs: AttachmentInputs): {
  readonly findings: Finding[];
  readonly looked: number;
} {
  const { pinDirectory, node } = inputs;
  const programs = new Map(listPrograms(pinDirectory).map(({ name, id }) => [name, id]));
  const links = listLinks(pinDirectory);
  const wanted = inputs.detached ? new Map<string, Place>() : wantedLinks(inputs, programs);
  const actual = new Map<string, string>();
  for (const link of links) actual.set(link.name, stateOf(link, wanted.get(link.name), programs));
  if (!haveTcx()) addFilters(pinDirectory, actual);
  actual.delete(linkName('cgroup', SOMETIMES));
  const texts = new Map([...wanted].map(([name, { text }]) => [name, text]));
  return {
    findings: [...compareTexts('links', node, texts, actual), ...stray(inputs, programs)],
    looked: texts.size + programs.size,
  };
}

interface Place {
  readonly program: string;
  readonly target: bigint;
  readonly text: string;
  /** Of a tcx link. */
  readonly direction?: (typeof DIRECTIONS)[number];
}

function wantedLinks(
  { cgroupRoot, view, xdpChoice }: AttachmentInputs,
  programs: ReadonlyMap<string, number>,
): Map<string, Place> {
  const wanted = new Map<string, Place>();
  const cgroup = statSync(cgroupRoot, { bigint: true, throwIfNoEntry: false })?.ino ?? 0n;
  for (const program of Object.keys(CGROUP_ATTACH_TYPES)) {
    // Older kernels lack some.
    if (program === SOMETIMES || !programs.has(program)) continue;
    wanted.set(linkName('cgroup', program), { program, target: cgroup, text: `${program} on ${cgroupRoot}` });
  }
  for (const { ifindex, name } of [...view.nodeDevices, ...view.podDevices])
    for (const direction of DIRECTIONS) {
      const text = `${direction} on ${name}`;
      wanted.set(linkName(`dev${ifindex}`, direction), {
        program: direction,
        target: BigInt(ifindex),
        text,
        direction,
      });
    }
  for (const { device, place } of view.xdp) {
    if (place === undefined || !isXdpAttached(xdpChoice(device.ifindex))) continue;
    const text = `xdp_ingress on ${device.name} (${place})`;
    wanted.set(linkName(`xdp${device.ifindex}`, place), {
      program: 'xdp_ingress',
      target: BigInt(device.ifindex),
      text,
    });
  }
  return wanted;
}

/** @returns the wanted text when the link is as it should be. */
function stateOf(link: PinnedLink, place: Place | undefined, programs: ReadonlyMap<string, number>): string {
  if (!link.attached) return 'detached';
  const [own] = [...programs].filter(([, id]) => id === link.programId).map(([name]) => name);
  const where = `${link.kind} link on ${link.kind === 'cgroup' ? 'cgroup' : 'device'} ${link.target}`;
  if (own === undefined) return `${where}, with program ${link.programId}, which is not pinned`;
  if (place === undefined || own !== place.program || link.target !== place.target) return `${where}, with ${own}`;
  if (link.kind === 'tcx' && place.direction !== undefined) {
    const there = queryTcx(Number(link.target), place.direction);
    if (!Array.isArray(there) || !there.includes(link.id)) return `${where}, in another network namespace`;
  }
  return place.text;
}

/** Without tcx a record says what is attached; the filter itself stands in no pin. */
function addFilters(pinDirectory: string, actual: Map<string, string>): void {
  const records = join(pinDirectory, 'clsact');
  for (const name of listPins(records))
    for (const entry of listPins(join(records, name))) {
      const [ifindex, direction = ''] = entry.split('_');
      actual.set(name, `${direction} on device ${ifindex}`);
    }
}

/** Pins of maps that are gone, and programs that look into maps that are not pinned. */
function stray({ pinDirectory, node }: AttachmentInputs, programs: ReadonlyMap<string, number>): Finding[] {
  const where = 'programs';
  const pinned = new Set(listPins(mapPin(pinDirectory, '')));
  return [
    ...(programs.size === 0
      ? [{ kind: 'missing' as const, object: node, where, row: 'all', is: '', shouldBe: 'pinned' }]
      : []),
    ...Object.values(shapes).flatMap(({ name }): Finding[] =>
      pinned.has(name) ? [] : [{ kind: 'missing', object: node, where: name, row: 'pin', is: '', shouldBe: 'pinned' }],
    ),
    ...findStrayMaps(pinDirectory).map(
      ({ program, map }): Finding => ({
        kind: 'different',
        object: node,
        where,
        row: program,
        is: `looks into another map ${map} than the one that is pinned`,
        shouldBe: `looks into the pinned map ${map}`,
      }),
    ),
  ];
}

/** Drawn by each agent for itself. */
const OWN: readonly (keyof Knobs)[] = ['selectSeed'];

/** @returns settings that the programs in force were loaded with, and are wanted otherwise. */
export function compareKnobs(node: string, wanted: Knobs, actual: Knobs): Finding[] {
  const texts = (knobs: Knobs) =>
    new Map(
      Object.entries(knobs).flatMap(([name, value]): [string, string][] =>
        OWN.includes(name as keyof Knobs) ? [] : [[name, String(value)]],
      ),
    );
  return compareTexts('settings', node, texts(wanted), texts(actual));
}
