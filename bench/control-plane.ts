/**
 * Control plane: how long the first sync takes from the arrival of the lists, how long one
 * endpoint's change takes from the API write to the kernel's map, and what memory that needs.
 *
 *   npx tsx bench/control-plane.ts [services] [endpoints] [changes]
 *
 * Prints one JSON object. Times are in milliseconds. The agent runs in a namespace of its own, fed
 * by the embedded API server in this process, so both share the machine's cores.
 */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { encode } from '../maps-schema/codec.ts';
import { frontendKey } from '../maps-schema/gen/codecs.ts';
import { openMaps } from '../src/bpf/open-maps.ts';
import { pinDirectoryOf } from '../src/bpf/paths.ts';
import { PROTOCOL_NUMBERS } from '../src/model/compiled.ts';
import { startLabApi } from '../test/support/lab/api.ts';
import { createLab } from '../test/support/lab/lab.ts';

const [services = 1000, endpoints = 10, changes = 200] = process.argv.slice(2).map(Number);
const clusterIp = (i: number) => `10.96.${i >> 8}.${i & 255}`;
const podIp = (n: number) => `10.${200 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;

function service(i: number) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `svc-${i}`, namespace: 'bench' },
    spec: {
      type: 'ClusterIP',
      clusterIP: clusterIp(i),
      clusterIPs: [clusterIp(i)],
      ipFamilies: ['IPv4'],
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    },
  };
}

function slice(i: number, first: number) {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `svc-${i}-abc`, namespace: 'bench', labels: { 'kubernetes.io/service-name': `svc-${i}` } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: endpoints }, (_, k) => ({
      addresses: [podIp(first + k)],
      nodeName: `node${k % 3}`,
      conditions: { ready: true, serving: true, terminating: false },
    })),
  };
}

const quantile = (sorted: readonly number[], q: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
const round = (value: number) => Math.round(value * 10) / 10;

const lab = await createLab({ nodes: 1 });
const node = lab.node(1);
try {
  const labApi = await startLabApi(lab);
  const { server: api, kubeconfig } = labApi;
  for (let i = 1; i <= services; i++) {
    api.store.apply(service(i));
    api.store.apply(slice(i, i * endpoints));
  }
  const started = performance.now();
  const agent = await lab.startAgent(1, { kubeconfig, timeoutMs: 60_000 });
  const start = performance.now() - started;
  const synced = agent.logs.find(({ msg }) => msg === 'synced');

  const maps = openMaps(pinDirectoryOf(node.bpfRoot), { readOnly: true });
  const times: number[] = [];
  for (let n = 0; n < changes; n++) {
    const i = 1 + ((n * 7919) % services);
    const key = encode(frontendKey, { address: clusterIp(i), port: 80, proto: PROTOCOL_NUMBERS.TCP });
    const before = maps.frontends.lookup(key)?.toString('hex');
    const from = performance.now();
    api.store.apply(slice(i, i * endpoints + 1 + n));
    while (maps.frontends.lookup(key)?.toString('hex') === before) {
      if (performance.now() - from > 5000) throw new Error(`change ${n} of svc-${i} is not in force after 5 s`);
      await setImmediate();
    }
    times.push(performance.now() - from);
  }
  times.sort((a, b) => a - b);
  const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
  const resident = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  console.log(
    JSON.stringify({
      services,
      endpoints,
      startMs: round(start),
      firstSyncMs: synced?.durationMs,
      change: {
        count: times.length,
        p50: round(quantile(times, 0.5)),
        p99: round(quantile(times, 0.99)),
        max: round(times.at(-1) ?? 0),
      },
      residentMiB: round(resident),
    }),
  );
  maps.close();
  await agent.stop();
  await labApi.close();
} finally {
  await lab.destroy();
}
