/**
 * The API server as a process of its own, inside the lab's router: agents reach it without a detour, and its
 * garbage collection is not the benchmark's. Told by IPC messages; each is answered with its id.
 */
import { subscribe } from 'node:diagnostics_channel';
import { NODE_PROXIER_RULES } from '../../test/support/apiserver/auth.ts';
import { startApiServer } from '../../test/support/apiserver/server.ts';
import { fillerService, modelServices, NAMESPACE, serviceObject, sliceObject } from '../rules/model.ts';
import type { ApiRequest } from './api.ts';

const [address = '', port = '', kubeconfig = ''] = process.argv.slice(2);
const server = await startApiServer({
  host: address,
  port: Number(port),
  addresses: [address],
  serviceCidrs: ['10.96.0.0/16'],
  validation: 'off',
  bookmarkMs: 5000,
  authorize: { 'system:kube-proxy': NODE_PROXIER_RULES },
});
await server.writeKubeconfig(kubeconfig, { user: 'system:kube-proxy' });

/** When the last answer that was not a watch had gone out: nanoseconds of CLOCK_MONOTONIC. */
let lastByte = 0n;
subscribe('http.server.response.finish', (message) => {
  const { request } = message as { request: { url?: string } };
  if (!request.url?.includes('watch=')) lastByte = process.hrtime.bigint();
});

let churn: NodeJS.Timeout | undefined;
let churned = 0;

function apply(objects: readonly object[]): void {
  for (const object of objects) server.store.apply(object);
}

/** Makes the stored Services exactly the wanted ones. */
function replace(request: Extract<ApiRequest, { op: 'set' }>): void {
  const { size, ports, endpoints, extra = [], fillerEndpoints } = request;
  const services =
    fillerEndpoints === undefined
      ? modelServices(size, ports, endpoints)
      : Array.from({ length: size }, (_, k) => fillerService(k + 1, fillerEndpoints));
  const wanted = new Set([...services, ...extra].map(({ name }) => name));
  for (const { metadata } of [...server.store.list('Service')] as {
    metadata: { name: string; namespace?: string };
  }[]) {
    if (metadata.namespace !== NAMESPACE || wanted.has(metadata.name)) continue;
    server.store.delete('Service', NAMESPACE, metadata.name);
    server.store.delete('EndpointSlice', NAMESPACE, `${metadata.name}-abcde`);
  }
  for (const service of [...services, ...extra]) {
    server.store.apply(serviceObject(service));
    server.store.apply(sliceObject(service));
  }
}

/** Changes one endpoint's readiness of one Service after another. */
function startChurn({ perSecond, size, endpoints }: Extract<ApiRequest, { op: 'churn' }>): void {
  churn = setInterval(() => {
    churned++;
    const service = fillerService(1 + ((churned * 7919) % size), endpoints);
    server.store.apply(sliceObject(service, (k) => k !== churned % endpoints));
  }, 1000 / perSecond);
}

async function answer(request: ApiRequest): Promise<object> {
  switch (request.op) {
    case 'set':
      replace(request);
      return {};
    case 'apply': {
      // The clock of the load generator: CLOCK_MONOTONIC.
      const at = process.hrtime.bigint();
      apply(request.objects);
      return { at: String(at) };
    }
    case 'churn':
      startChurn(request);
      return {};
    case 'calm':
      clearInterval(churn);
      return { changes: churned };
    case 'last-byte':
      return { at: String(lastByte) };
    case 'close':
      await server.close();
      process.disconnect();
      return {};
  }
}

process.on('message', async (message: { id: number; request: ApiRequest }) => {
  try {
    const value = await answer(message.request);
    if (process.connected) process.send?.({ id: message.id, value });
  } catch (error) {
    process.send?.({ id: message.id, error: (error as Error).message });
  }
});
process.on('disconnect', () => process.exit(0));
process.send?.({ id: 0, value: {} });
