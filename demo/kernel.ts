/** The kernel's own tables: read from the pins, as with a dead agent. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../test/support/lab/cluster.ts';
import { attempt } from '../test/support/lab/command.ts';
import type { LabNode } from '../test/support/lab/node.ts';
import type { Checks } from './checks.ts';
import { sluice } from './sluice.ts';
import { excerpt, scene } from './terminal.ts';

/** The path of a pinned map below the node's --bpf-root. */
export function pinOf(node: LabNode, map: string): string | undefined {
  const paths = readdirSync(node.bpfRoot, { recursive: true, encoding: 'utf8' });
  const found = paths.find((path) => path === map || path.endsWith(`/${map}`));
  return found === undefined ? undefined : join(node.bpfRoot, found);
}

async function show(checks: Checks, node: LabNode, lines: number, ...args: string[]): Promise<void> {
  try {
    excerpt(`sluice ${args.join(' ')}`, await sluice(node, ...args), lines);
  } catch (error) {
    checks.expect(false, `sluice ${args.join(' ')}`, (error as Error).message);
  }
}

export async function showKernel(cluster: Cluster, checks: Checks): Promise<void> {
  const node = cluster.lab.node(1);
  scene(`In the kernel of ${node.name}`);
  await show(checks, node, 16, 'status');
  await show(checks, node, 14, 'service', 'list');
  await show(checks, node, 8, 'backend', 'list', '-n', 'shop');
  await show(checks, node, 8, 'flow', 'list');
  const pin = pinOf(node, 'frontends');
  if (pin === undefined) return checks.expect(false, 'the pin of map frontends', `none below ${node.bpfRoot}`);
  const dump = await attempt('bpftool', ['map', 'dump', 'pinned', pin]).catch(() => undefined); // not installed: nothing to show
  if (dump?.code === 0) excerpt(`bpftool map dump pinned ${pin}`, dump.stdout, 14);
}
