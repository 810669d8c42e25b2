/** What a page is tried on: a cluster of one node with one pod, its API server, a client outside, and shells on all three. */
import { join } from 'node:path';
import type { KubernetesObject } from '../../../src/model/kubernetes.ts';
import { routerAddresses } from '../lab/addressing.ts';
import { startCluster } from '../lab/cluster.ts';
import { openHost, openNode } from './machine.ts';
import type { Session } from './session.ts';

export interface Stage {
  /** By the names that the directive `on` has. */
  readonly sessions: Readonly<Record<string, Session>> & { readonly node: Session };
  /** By the addresses for documentation (RFC 5737) that stand for them in the pages. */
  readonly addresses: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** The Service that every cluster has, and one whose backend is the pod. */
function objects(pod: string, apiServer: string): KubernetesObject[] {
  const pair = (name: string, port: number, targetPort: number, address: string, spec: object): KubernetesObject[] => [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { ports: [{ port, targetPort }], ...spec },
    } as KubernetesObject,
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: '', port: targetPort, protocol: 'TCP' }],
      endpoints: [{ addresses: [address], nodeName: 'node1', conditions: { ready: true } }],
    } as KubernetesObject,
  ];
  return [
    ...pair('kubernetes', 443, 6443, apiServer, { clusterIP: '10.96.0.1' }),
    ...pair('web', 80, 8080, pod, { type: 'NodePort', clusterIP: '10.96.0.80' }),
  ];
}

const START = `mount -t bpf bpf /sys/fs/bpf
sluice agent --node-name node1 --kubeconfig $KUBECONFIG > /var/log/sluice.log 2>&1 &
until grep -q '"msg":"synced"' /var/log/sluice.log; do sleep 0.2; done`;

/** Lays it out, with an agent on the node. */
export async function setStageWithAgent(): Promise<Stage> {
  const stage = await setStage();
  const { code, printed } = await stage.sessions.node.type(START);
  if (code !== 0) throw new Error(`start the agent of a page: ended with ${code}:\n${printed}`);
  return stage;
}

/** Lays it out. No agent runs, and bpffs is not mounted. */
export async function setStage(): Promise<Stage> {
  const cluster = await startCluster({ nodes: 1, podsPerNode: 1 });
  const { lab, api } = cluster;
  const router = routerAddresses('nodes', lab.families).IPv4 ?? '';
  const kubeconfig = join(lab.directory, 'outside.kubeconfig');
  await api.server.writeKubeconfig(kubeconfig, { server: `https://${router}:6443` });
  for (const object of objects(lab.pod(1, 1).ipv4, router)) await api.client.apply(object);
  await lab.pod(1, 1).actor.serve({ http: [8080] });
  const sessions = {
    node: openNode(lab, lab.node(1), { KUBECONFIG: kubeconfig }),
    client: openHost(lab.client()),
    pod: openHost(lab.pod(1, 1)),
  };
  return {
    sessions,
    addresses: { '192.0.2.10': router, '192.0.2.11': lab.node(1).ipv4 },
    async close() {
      await Promise.all(Object.values(sessions).map((session) => session.close()));
      await cluster.destroy();
    },
  };
}
