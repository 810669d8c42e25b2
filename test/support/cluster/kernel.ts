/** What the kernel holds for one node, as `sluice` reads it from the pins; and what bpftool says of it. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { sluiceCommand } from '../lab/agent.ts';
import { run } from '../lab/command.ts';
import type { LabNode } from '../lab/node.ts';

/** Runs `sluice … -o json` on a node. @throws Error when it fails */
export async function sluiceJson<T>(node: LabNode, ...command: string[]): Promise<T> {
  const { stdout, stderr } = await node.exec(sluiceCommand(...command, '--bpf-root', node.bpfRoot, '-o', 'json'));
  // Of a dead agent `status` tells all, and its exit code is 1.
  if (stdout === '') throw new Error(`sluice ${command.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

export interface FrontendJson {
  readonly name: string;
  readonly port: string;
  readonly servicePortId: number;
  readonly types: readonly string[];
  readonly address: string;
  readonly frontendPort: number;
  readonly protocol: string;
  readonly internal: { readonly base: number; readonly count: number };
  readonly external: { readonly base: number; readonly count: number };
}

export async function frontends(node: LabNode): Promise<readonly FrontendJson[]> {
  return (await sluiceJson<{ items: FrontendJson[] }>(node, 'service', 'list')).items;
}

interface StatusJson {
  readonly attachments: readonly Record<'program' | 'hook' | 'target' | 'state', string>[];
  readonly maps: readonly { readonly map: string; readonly entries?: number }[];
}

/** Tables that only the agent writes, apart from those of the node itself. */
const SERVICE_MAPS = [
  'frontends',
  'backend_slots',
  'backend_states',
  'affinity_members',
  'source_ranges',
  'service_ports',
];

/** Rows in use of each table that Services fill. */
export async function rowCounts(node: LabNode): Promise<Record<string, number | undefined>> {
  const { maps } = await sluiceJson<StatusJson>(node, 'status');
  return Object.fromEntries(
    maps.filter(({ map }) => SERVICE_MAPS.includes(map)).map(({ map, entries }) => [map, entries]),
  );
}

const pinDirectory = (node: LabNode): string => {
  const version = readdirSync(node.bpfRoot).find((name) => /^v\d+$/.test(name));
  if (version === undefined) throw new Error(`find the pins of ${node.name}: nothing is pinned`);
  return join(node.bpfRoot, version);
};

/** Paths of the pinned links, by name. */
export function linkPins(node: LabNode): Record<string, string> {
  const directory = join(pinDirectory(node), 'links');
  return Object.fromEntries(readdirSync(directory).map((name) => [name, join(directory, name)]));
}

/** Kernel ids of the pinned maps or links: another id is another object. */
export async function pinnedIds(node: LabNode, kind: 'map' | 'link'): Promise<Record<string, number>> {
  const directory = join(pinDirectory(node), `${kind}s`);
  const entries = readdirSync(directory).map(async (name): Promise<[string, number]> => {
    const { id } = JSON.parse(await run('bpftool', ['-j', kind, 'show', 'pinned', join(directory, name)])) as {
      id: number;
    };
    return [name, id];
  });
  return Object.fromEntries((await Promise.all(entries)).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What is attached where, and whether it still is, a line each. */
export async function attachments(node: LabNode): Promise<string[]> {
  const { attachments: rows } = await sluiceJson<StatusJson>(node, 'status');
  return rows.map(({ program, hook, target, state }) => `${program} ${hook} ${target}: ${state}`).sort();
}

/** Kernel ids of all links, programs or maps of this machine, whoever made them. */
export async function allIds(kind: 'link' | 'prog' | 'map'): Promise<Set<number>> {
  const objects = JSON.parse((await run('bpftool', ['-j', kind, 'show'])) || '[]') as { id: number }[];
  return new Set(objects.map(({ id }) => id));
}

/** Ids of the programs that links keep attached. */
export async function programsOf(links: readonly number[]): Promise<number[]> {
  const all = JSON.parse(await run('bpftool', ['-j', 'link', 'show'])) as { id: number; prog_id: number }[];
  return [...new Set(all.filter(({ id }) => links.includes(id)).map((link) => link.prog_id))];
}
