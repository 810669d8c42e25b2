/** The API server of a lab: runs in this process, reached from the nodes at the router's address. */

import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { NODE_PROXIER_RULES } from '../apiserver/auth.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from '../apiserver/server.ts';
import { eachFamily, routerAddresses, SERVICE_CIDRS } from './addressing.ts';
import { KubeClient } from './kube-client.ts';
import type { Lab } from './lab.ts';

const PORT = 6443;
const PROXY_USER = 'system:kube-proxy';

export interface LabApi {
  /** The server itself: faults, counters, objects without a request. */
  readonly server: ApiServer;
  /** For agents on the nodes: the rights of system:node-proxier. */
  readonly kubeconfig: string;
  /** For kubectl on this machine: may do everything. */
  readonly adminKubeconfig: string;
  readonly client: KubeClient;
  close(): Promise<void>;
}

/** Starts the server and opens it to the lab. @param options as those of the server */
export async function startLabApi(
  lab: Lab,
  options: Pick<ApiServerOptions, 'validation' | 'authorize'> = {},
): Promise<LabApi> {
  const inside = eachFamily(routerAddresses('nodes', lab.families)).map(([, address]) => address);
  const serviceCidrs = lab.families.map((family) => SERVICE_CIDRS[family]);
  const authorize = { [PROXY_USER]: NODE_PROXIER_RULES, ...options.authorize };
  const addresses = ['127.0.0.1', ...inside];
  const server = await startApiServer({ ...options, addresses, serviceCidrs, authorize });
  const socket = join(lab.directory, 'api.sock');
  const bridge = await bridgeSocket(socket, Number(new URL(server.url).port));
  const kubeconfig = join(lab.directory, 'kubeconfig');
  const adminKubeconfig = join(lab.directory, 'admin.kubeconfig');
  await server.writeKubeconfig(kubeconfig, { user: PROXY_USER, server: `https://${await lab.expose(socket, PORT)}` });
  await server.writeKubeconfig(adminKubeconfig);
  const client = new KubeClient({ server: server.url, ca: server.ca, token: server.token() });
  const close = async () => {
    client.close();
    bridge.close();
    await server.close();
  };
  return { server, kubeconfig, adminKubeconfig, client, close };
}

/** A Unix socket that leads to a port of this machine's loopback: sockets cross namespaces, addresses do not. */
async function bridgeSocket(path: string, port: number): Promise<Server> {
  const bridge = createServer((peer) => {
    const upstream = connect(port, '127.0.0.1');
    peer.pipe(upstream).pipe(peer);
    peer.on('error', () => upstream.destroy());
    upstream.on('error', () => peer.destroy());
  });
  bridge.listen(path);
  await once(bridge, 'listening');
  return bridge;
}
