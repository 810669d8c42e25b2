import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { createApiSource } from '../../../src/kube/api-source.ts';
import { loadKubeConfig } from '../../../src/kube/kubeconfig.ts';
import { makeKubeconfig } from '../../support/apiserver/kubeconfig.ts';
import { SHORT, startServer, temporaryDirectory } from './fixture.ts';
import { createRecorder, until } from './recorder.ts';

async function refusal(text: string): Promise<string> {
  const kubeconfigFile = join(await temporaryDirectory(), 'kubeconfig');
  await writeFile(kubeconfigFile, text);
  const error = await loadKubeConfig({ kubeconfigFile }).catch((e) => e);
  expect(error).toMatchObject({ name: 'SluiceError', code: 'SOURCE_INVALID' });
  expect(error.message).toContain(kubeconfigFile);
  return error.message;
}

const CONFIG = makeKubeconfig({ server: 'https://192.0.2.1', ca: 'x', user: 'u', token: 't' });

describe('loadKubeConfig', () => {
  it('says what is wrong with a file', async () => {
    expect(await refusal('')).toMatch(/is it a kubeconfig/);
    expect(await refusal('{')).toMatch(/is it a kubeconfig/);
    expect(await refusal(CONFIG.replace('current-context', 'other'))).toMatch(/current-context/);
    expect(await refusal(CONFIG.replace('cluster: sluice', 'cluster: lost'))).toMatch(/names no cluster/);
    expect(await refusal(CONFIG.replace('user: u', 'user: lost'))).toMatch(/names no user/);
    expect(await refusal(CONFIG.replace('https:', 'http:'))).toMatch(/plain http/);
  });

  it('says what to do without a file', async () => {
    await expect(loadKubeConfig({ kubeconfigFile: '/nowhere/kubeconfig' })).rejects.toThrow(/readable kubeconfig/);
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '');
    await expect(loadKubeConfig()).rejects.toThrow(/--kubeconfig FILE or --manifests DIR/);
    vi.unstubAllEnvs();
  });

  it("reads a token from a file, as kube-proxy's own kubeconfig asks, newline or not", async () => {
    const server = await startServer();
    const directory = await temporaryDirectory();
    const kubeconfigFile = join(directory, 'kubeconfig');
    await writeFile(join(directory, 'token'), `${server.token('proxier')}\n`);
    const text = makeKubeconfig({ server: server.url, ca: server.ca, user: 'u', token: 'T' });
    await writeFile(kubeconfigFile, text.replace('token: T', 'tokenFile: token'));
    const kubeConfig = await loadKubeConfig({ kubeconfigFile });
    const recorder = createRecorder();
    const controller = new AbortController();
    const running = createApiSource({ kubeConfig, nodeName: 'n', reflector: SHORT }).run(recorder, controller.signal);
    await until(() => recorder.syncs === 1);
    controller.abort();
    await running;
  });

  it('does not trust a server that another authority signed', async () => {
    const server = await startServer();
    const other = await startServer({ addresses: ['127.0.0.1', 'other'] });
    const kubeconfigFile = join(await temporaryDirectory(), 'kubeconfig');
    const text = makeKubeconfig({ server: server.url, ca: other.ca, user: 'u', token: server.token() });
    await writeFile(kubeconfigFile, text);
    const kubeConfig = await loadKubeConfig({ kubeconfigFile });
    const recorder = createRecorder();
    const controller = new AbortController();
    const running = createApiSource({ kubeConfig, nodeName: 'n', reflector: SHORT }).run(recorder, controller.signal);
    await until(() => recorder.problems.length > 0);
    expect(recorder.problems[0]?.message).toMatch(/certificate/);
    expect(server.requests.count()).toBe(0);
    controller.abort();
    await running;
  });
});
