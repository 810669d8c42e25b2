/** When what was applied is in force: the kernel of every node has every backend, and no other. */
import type { Cluster } from '../test/support/lab/cluster.ts';
import type { LabNode } from '../test/support/lab/node.ts';
import { poll } from '../test/support/lab/poll.ts';
import { sluice } from './sluice.ts';

interface BackendRow {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly backendPort: number;
  readonly state: string;
}

const text = (namespace: string, name: string, address: string, port: number) =>
  `${namespace}/${name} ${address} ${port}`;

async function actual(node: LabNode): Promise<Set<string>> {
  const rows = JSON.parse(await sluice(node, 'backend', 'list', '-o', 'json')) as BackendRow[];
  return new Set(rows.map((row) => text(row.namespace, row.name, row.address, row.backendPort)));
}

/** Waits until each node has the ready endpoints of all slices of Services with a cluster address. */
export async function waitForBackends(cluster: Cluster): Promise<void> {
  const wanted = new Set<string>();
  for (const slice of await cluster.slices()) {
    const { namespace = '', labels = {} } = slice.metadata ?? {};
    if ('service.kubernetes.io/headless' in labels) continue;
    const name = labels['kubernetes.io/service-name'] ?? '';
    for (const endpoint of slice.endpoints ?? []) {
      for (const { port } of slice.ports ?? [])
        wanted.add(text(namespace, name, endpoint.addresses?.[0] ?? '', port ?? 0));
    }
  }
  const missing = async (node: LabNode) => {
    const have = await actual(node);
    const wrong = [...wanted].filter((row) => !have.has(row)).concat([...have].filter((row) => !wanted.has(row)));
    if (wrong.length > 0)
      throw new Error(`${node.name}: ${wrong.slice(0, 3).join(', ')}${wrong.length > 3 ? ', …' : ''}`);
    return true;
  };
  const inForce = (node: LabNode) =>
    poll(`have every backend in the kernel of ${node.name}`, () => missing(node), { everyMs: 100 });
  await Promise.all(cluster.lab.nodes.map(inForce));
}
