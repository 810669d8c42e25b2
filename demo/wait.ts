/** When what was applied is in force: the kernel of every node has every backend, and no other. */
import { objectKey } from '../src/model/kubernetes.ts';
import type { Cluster } from '../test/support/lab/cluster.ts';
import type { LabNode } from '../test/support/lab/node.ts';
import { poll } from '../test/support/lab/poll.ts';
import { sluice } from './sluice.ts';

interface BackendRow {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly backendPort: number;
  /** Empty for one that only keeps the flows it has. */
  readonly lists: readonly string[];
}

const text = (namespace: string, name: string, address: string, port: number) =>
  `${namespace}/${name} ${address} ${port}`;

async function actual(node: LabNode): Promise<string[]> {
  const { items } = JSON.parse(await sluice(node, 'backend', 'list', '-o', 'json')) as { items: BackendRow[] };
  const chosen = items.filter(({ lists }) => lists.length > 0);
  return chosen.map((row) => text(row.namespace, row.name, row.address, row.backendPort));
}

/** Endpoints that every node has, by Service: not those of a Local policy, which each node has for itself. */
async function wantedEverywhere(cluster: Cluster): Promise<Map<string, string[]>> {
  const wanted = new Map<string, string[]>();
  for (const { metadata, spec } of await cluster.services()) {
    if (spec?.clusterIP !== 'None' && spec?.internalTrafficPolicy !== 'Local') wanted.set(objectKey({ metadata }), []);
  }
  for (const { metadata, endpoints, ports } of await cluster.slices()) {
    const namespace = metadata?.namespace ?? '';
    const name = metadata?.labels?.['kubernetes.io/service-name'] ?? '';
    const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
    for (const { addresses } of ready) {
      for (const { port } of ports ?? [])
        wanted.get(`${namespace}/${name}`)?.push(text(namespace, name, addresses?.[0] ?? '', port ?? 0));
    }
  }
  return wanted;
}

/** Waits until each node can give new connections to the ready endpoints of all Services, and to no other. */
export async function waitForBackends(cluster: Cluster): Promise<void> {
  const wanted = await wantedEverywhere(cluster);
  const everywhere = new Set([...wanted.values()].flat());
  const complete = async (node: LabNode) => {
    const have = new Set((await actual(node)).filter((row) => wanted.has(row.split(' ')[0] ?? '')));
    const missing = [...everywhere].filter((row) => !have.has(row)).map((row) => `no ${row}`);
    const wrong = [...missing, ...[...have].filter((row) => !everywhere.has(row)).map((row) => `still ${row}`)];
    if (wrong.length > 0)
      throw new Error(`${node.name} has ${wrong.slice(0, 3).join(', ')}${wrong.length > 3 ? ', …' : ''}`);
    return true;
  };
  const what = 'have the backends of every Service in every kernel';
  await Promise.all(cluster.lab.nodes.map((node) => poll(what, () => complete(node), { everyMs: 100 })));
}
