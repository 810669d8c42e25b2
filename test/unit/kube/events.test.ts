import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createEventRecorder } from '../../../src/kube/events.ts';
import { loadKubeConfig } from '../../../src/kube/kubeconfig.ts';
import { startServer, temporaryDirectory } from './fixture.ts';
import { until } from './recorder.ts';

async function start(user = 'proxier') {
  const server = await startServer();
  const kubeconfigFile = join(await temporaryDirectory(), 'kubeconfig');
  await server.writeKubeconfig(kubeconfigFile, { user });
  const time = { now: 0 };
  const log: string[] = [];
  const recorder = createEventRecorder({
    kubeConfig: await loadKubeConfig({ kubeconfigFile }),
    nodeName: 'node-1',
    signal: new AbortController().signal,
    log: (message, { reason }) => log.push(`${message}: ${reason}`),
    now: () => time.now,
  });
  const events = () => server.store.list('Event.events.k8s.io');
  const fail = (name: string) => recorder.healthCheckFailed({ namespace: 'default', name, port: 31999 }, 'taken');
  return { server, time, log, events, fail };
}

it('an event says which Service, node and port, as kube-proxy writes it (R-78)', async () => {
  const { events, fail } = await start();
  fail('web');
  await until(() => events().length === 1);
  expect(events()[0]).toMatchObject({
    metadata: { namespace: 'default', name: expect.stringMatching(/^web\.[0-9a-f]+$/) },
    type: 'Warning',
    reason: 'FailedToStartServiceHealthcheck',
    action: 'Listen',
    note: 'node node-1 failed to start healthcheck "default/web" on port 31999: taken',
    regarding: { kind: 'Service', namespace: 'default', name: 'web' },
    reportingController: 'sluice',
    reportingInstance: 'sluice-node-1',
    eventTime: expect.stringMatching(/\.\d{6}Z$/),
  });
});

it('a Service has one in five minutes, and all have 25 (R-78)', async () => {
  const { server, time, events, fail } = await start();
  for (let i = 0; i < 3; i++) fail('web');
  for (let i = 0; i < 40; i++) fail(`s${i}`);
  await until(() => events().length === 25);
  time.now += 300_000;
  fail('web');
  await until(() => events().length === 26);
  expect(server.requests.count('create')).toBe(26);
});

it('one that may not be written is forgotten (R-78)', async () => {
  const { log, events, fail } = await start('nobody');
  fail('web');
  await until(() => log.length === 1);
  expect(log[0]).toMatch(/^event not written: HTTP 403/);
  expect(events()).toEqual([]);
});
