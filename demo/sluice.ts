/** The `sluice` command, as a person would use it on a node of the lab. */
import { sluiceCommand } from '../test/support/lab/agent.ts';
import type { LabNode } from '../test/support/lab/node.ts';

/** Runs `sluice ... --bpf-root` of the node. @returns what it printed @throws Error when it fails */
export function sluice(node: LabNode, ...args: string[]): Promise<string> {
  return node.run(sluiceCommand(...args, '--bpf-root', node.bpfRoot));
}
