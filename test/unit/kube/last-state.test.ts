/** The last good state: kept, served when no API server answers, put right when one does, believed only when it is whole. */
import { setMaxListeners } from 'node:events';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createApiSource } from '../../../src/kube/api-source.ts';
import { loadKubeConfig } from '../../../src/kube/kubeconfig.ts';
import { createLastState } from '../../../src/kube/last-state.ts';
import type { ApiServer } from '../../support/apiserver/server.ts';
import { node, SHORT, service, slice, startServer, temporaryDirectory } from './fixture.ts';
import { createRecorder, until } from './recorder.ts';

async function setUp() {
  const server = await startServer();
  for (const name of ['kept', 'gone']) server.store.apply(service(name));
  server.store.apply(slice('kept', ['10.0.0.1']));
  server.store.apply(node('node-1'));
  const directory = await temporaryDirectory();
  const kubeconfig = join(directory, 'kubeconfig');
  await server.writeKubeconfig(kubeconfig, { user: 'proxier' });
  return { server, kubeconfig, file: join(directory, 'state/node-1') };
}

/** An agent's source, from its start to its end. */
async function start(kubeconfigFile: string, file: string, served = false) {
  const warnings: string[] = [];
  const kubeConfig = await loadKubeConfig({ kubeconfigFile });
  const lastState = await createLastState({
    file,
    nodeName: 'node-1',
    served: () => served,
    warn: (message) => warnings.push(message),
    inform: () => {},
    patienceMs: 300,
    spacingMs: 20,
  });
  const source = lastState.wrap(createApiSource({ kubeConfig, nodeName: 'node-1', reflector: SHORT }));
  const recorder = createRecorder();
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  const running = source.run(recorder, controller.signal);
  const stop = async () => {
    controller.abort();
    await running;
  };
  onTestFinished(stop);
  return { recorder, warnings, lastState, stop };
}

async function keepState(kubeconfig: string, file: string): Promise<void> {
  const { recorder, stop } = await start(kubeconfig, file);
  await until(() => recorder.syncs === 1 && recorder.state.node !== undefined && existsSync(file));
  await until(() => readFileSync(file, 'utf8').includes('"kind":"cidrs"'));
  await stop();
}

const again = (first: ApiServer) =>
  startServer({
    port: Number(new URL(first.url).port),
    adminToken: first.token('proxier'),
  });

it('is kept for this user alone, served without an API server, and put right when there is one', async () => {
  const { server, kubeconfig, file } = await setUp();
  await keepState(kubeconfig, file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await server.close();

  const { recorder, lastState, stop } = await start(kubeconfig, file);
  await until(() => recorder.syncs === 1);
  expect([...recorder.state.services.keys()].sort()).toEqual(['default/gone', 'default/kept']);
  expect([recorder.state.slices.size, recorder.state.node?.metadata?.name]).toEqual([1, 'node-1']);
  expect(recorder.networks.at(-1)).toHaveLength(2);
  expect(lastState.serving()).toMatch(/^20\d\d-/);

  const back = await again(server);
  for (const name of ['kept', 'new']) back.store.apply(service(name));
  back.store.apply(slice('kept', ['10.0.0.2']));
  back.store.apply(node('node-1'));
  await until(() => lastState.serving() === undefined);
  expect([...recorder.state.services.keys()].sort()).toEqual(['default/kept', 'default/new']);
  expect(recorder.state.slices.get('default/kept')?.endpoints?.[0]?.addresses).toEqual(['10.0.0.2']);
  expect(recorder.syncs).toBe(1);
  await stop();
});

it('is of no use where something is in force already', async () => {
  const { server, kubeconfig, file } = await setUp();
  await keepState(kubeconfig, file);
  await server.close();
  const { recorder, lastState } = await start(kubeconfig, file, true);
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect([recorder.syncs, recorder.state.services.size, lastState.serving()]).toEqual([0, 0, undefined]);
});

it('knows the addresses of the API servers', async () => {
  const { server, kubeconfig, file } = await setUp();
  server.store.apply({ ...slice('kubernetes', ['192.0.2.1', '192.0.2.2']), ports: [{ port: 6443 }] });
  await keepState(kubeconfig, file);
  const { lastState } = await start(kubeconfig, file);
  expect(lastState.apiServers).toEqual(['https://192.0.2.1:6443', 'https://192.0.2.2:6443']);
  expect(lastState.lastServer).toBe(server.url);
});

it.each([
  [
    'changed',
    /its checksum is wrong/,
    (file: string) => writeFileSync(file, readFileSync(file, 'utf8').replace('gone', 'evil')),
  ],
  ['cut', /its checksum is wrong/, (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 900))],
  ['empty', /its checksum is wrong/, (file: string) => writeFileSync(file, '')],
  ['open to others', /others may read or write it/, (file: string) => chmodSync(file, 0o644)],
])('is not believed when it was %s', async (_, why, spoil) => {
  const { server, kubeconfig, file } = await setUp();
  await keepState(kubeconfig, file);
  await server.close();
  spoil(file);
  const { recorder, warnings } = await start(kubeconfig, file);
  expect(warnings).toEqual([expect.stringMatching(why)]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(recorder.syncs).toBe(0);
});
