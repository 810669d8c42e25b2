/** Servers that say nothing, and credentials that are refused: how soon a change is learnt all the same. */
import { writeFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { service, startServer, startSource, startSynced, temporaryDirectory } from './fixture.ts';
import { until } from './recorder.ts';

const SILENCE = { silentMs: 300, answerMs: 1500 };

describe('a server that says nothing any more', () => {
  it('is asked, given up, and the next one is read', async () => {
    const first = await startServer();
    const second = await startServer({ adminToken: first.token() });
    const reflector = { silence: SILENCE, headersMs: 1500 };
    const answered: string[] = [];
    const { recorder, source } = await startSynced(first, {
      user: 'admin',
      reflector,
      kubeconfig: (text) => text.replace(/certificate-authority-data: .*/, 'insecure-skip-tls-verify: true'),
      more: { servers: [first.url, second.url], answered: (server) => answered.push(server) },
    });
    expect(source.contact?.()?.silentMs).toBeLessThan(10_000);
    second.store.apply(service('of-the-second'));
    first.faults.freeze();
    await until(() => recorder.state.services.has('default/of-the-second'));
    expect(answered).toEqual([first.url, second.url]);
    expect(source.contact?.()?.server).toBe(second.url);
  });

  it('is waited for when there is no other', async () => {
    const server = await startServer();
    const { recorder, source } = await startSynced(server, { reflector: { silence: SILENCE, headersMs: 1500 } });
    server.faults.freeze();
    server.store.apply(service('meanwhile'));
    await until(() => recorder.problems.length > 0);
    expect(recorder.problems[0]?.message).toMatch(/no answer|silent|no data/);
    await until(() => (source.contact?.()?.silentMs ?? 0) > 400);
    server.faults.thaw();
    await until(() => recorder.state.services.has('default/meanwhile'));
    expect(source.contact?.()?.silentMs).toBeLessThan(10_000);
    await until(() => recorder.problems.at(-1)?.message === 'is back');
  });

  it('is not given up while it answers', async () => {
    const server = await startServer();
    const { recorder } = await startSynced(server, { reflector: { silence: { silentMs: 20, answerMs: 5000 } } });
    const watches = server.requests.count('watch');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([server.requests.count('watch'), recorder.problems]).toEqual([watches, []]);
  });
});

describe('a token that was revoked', () => {
  it('is read anew at once from its file', async () => {
    const server = await startServer();
    const file = join(await temporaryDirectory(), 'token');
    await writeFile(file, server.token('proxier'));
    const { recorder } = await startSynced(server, {
      kubeconfig: (text) => text.replace(/token: .*/, `tokenFile: ${file}`),
    });
    await writeFile(file, server.renewToken('proxier'));
    server.faults.resetWatches();
    server.store.apply(service('after'));
    const start = performance.now();
    await until(() => recorder.state.services.has('default/after'));
    expect(performance.now() - start).toBeLessThan(2000);
    expect(recorder.problems).toEqual([]);
  });

  it('is replaced as soon as its file is, however long the next try is away', async () => {
    const server = await startServer();
    const file = join(await temporaryDirectory(), 'token');
    await writeFile(file, server.token('proxier'));
    const { recorder } = await startSynced(server, {
      kubeconfig: (text) => text.replace(/token: .*/, `tokenFile: ${file}`),
      reflector: { backoff: { initialMs: 60_000, maxMs: 60_000 }, steadyMs: 0 },
    });
    const token = server.renewToken('proxier');
    server.faults.resetWatches();
    server.store.apply(service('after'));
    await until(() => recorder.problems.some(({ message }) => /HTTP 401/.test(message)));
    writeFileSync(file, token);
    await until(() => recorder.state.services.has('default/after'));
  });
});

describe('an exec plugin', () => {
  async function plugin(script: string) {
    const command = join(await temporaryDirectory(), 'plugin');
    await writeFile(command, `#!/bin/sh\n${script}\n`);
    await chmod(command, 0o755);
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never' };
    return (text: string) => text.replace(/token: .*/, `exec: ${JSON.stringify(exec)}`);
  }

  it('that hangs, with children that hold its output, does not keep the agent from ending', async () => {
    const server = await startServer();
    const { stop } = await startSource(server, { kubeconfig: await plugin('sleep 60 & sleep 60') });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const start = performance.now();
    await stop();
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('is asked again when what it gave is refused', async () => {
    const server = await startServer();
    const file = join(await temporaryDirectory(), 'token');
    await writeFile(file, server.token('proxier'));
    const credential = (token: string) =>
      `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"expirationTimestamp":"2999-01-01T00:00:00Z","token":"${token}"}}`;
    const kubeconfig = await plugin(`token=$(cat ${file}); echo '${credential("'$token'")}'`);
    const { recorder } = await startSynced(server, { kubeconfig });
    await writeFile(file, server.renewToken('proxier'));
    server.faults.resetWatches();
    server.store.apply(service('after'));
    await until(() => recorder.state.services.has('default/after'));
  });
});
