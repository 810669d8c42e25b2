import { renameSync } from 'node:fs';
import { mkdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createManifestSource } from '../../../src/kube/manifest-source.ts';
import { temporaryDirectory } from './fixture.ts';
import { createRecorder, type Recorder, until } from './recorder.ts';

const service = (name: string, extra = '') =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]${extra}}\n`;
const slice = (name: string, address: string) =>
  `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ${name}}\naddressType: IPv4\nendpoints: [{addresses: [${address}]}]\n`;
const node = (name: string) => `apiVersion: v1\nkind: Node\nmetadata: {name: ${name}}\n`;

/** @param rescanMs long, so that what a test sees is the kernel's notification */
async function start(directory: string, rescanMs = 3_600_000, watchPods = false): Promise<Recorder> {
  const source = createManifestSource({ directory, nodeName: 'node-1', watchPods, watch: { settleMs: 10, rescanMs } });
  const recorder = createRecorder();
  const controller = new AbortController();
  const running = source.run(recorder, controller.signal);
  onTestFinished(async () => {
    controller.abort();
    await running;
  });
  await until(() => recorder.syncs === 1);
  return recorder;
}

describe('manifest source', () => {
  it('reads YAML and JSON, several documents, Lists and folders, and passes over the rest', async () => {
    const directory = await temporaryDirectory();
    await mkdir(join(directory, 'sub'));
    await writeFile(
      join(directory, 'a.yaml'),
      `${service('a')}---\n${slice('a-1', '10.0.0.1')}---\n---\n${node('node-1')}`,
    );
    await writeFile(
      join(directory, 'sub/b.yml'),
      `apiVersion: v1\nkind: List\nitems:\n- ${service('b').replaceAll('\n', '\n  ')}`,
    );
    const items = [{ metadata: { name: 'c', namespace: 'shop' }, spec: { clusterIP: '10.96.0.3' } }];
    await writeFile(join(directory, 'c.json'), JSON.stringify({ apiVersion: 'v1', kind: 'ServiceList', items }));
    await writeFile(join(directory, 'd.yaml'), 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n');
    await writeFile(join(directory, 'e.yaml'), 'just text');
    await writeFile(join(directory, 'notes.txt'), service('never'));
    await writeFile(join(directory, '.hidden.yaml'), service('never'));
    const recorder = await start(directory);
    expect([...recorder.state.services.keys()].sort()).toEqual(['default/a', 'default/b', 'shop/c']);
    expect([...recorder.state.slices.keys()]).toEqual(['default/a-1']);
    expect(recorder.state.node?.metadata?.name).toBe('node-1');
    const object = join(directory, 'e.yaml');
    expect(recorder.problems).toEqual([
      {
        object,
        message: `read ${object}: line 1: this is no object of Kubernetes, for it has no kind; it is passed over`,
      },
    ]);
    expect(recorder.notes).toEqual(['read 5 files: 3 Service, 1 EndpointSlice, 1 Node; of no use here: 1 Deployment']);
  });

  it('tells the networks of ServiceCIDRs (R-32)', async () => {
    const directory = await temporaryDirectory();
    const write = (networks: string) =>
      writeFile(
        join(directory, 'cidrs.yaml'),
        `apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: kubernetes}\nspec: {cidrs: [${networks}]}`,
      );
    await write('10.96.0.0/16');
    const recorder = await start(directory);
    await write('10.96.0.0/16, "fd00::/112"');
    await until(() => recorder.networks.length === 2);
    expect(recorder.networks).toEqual([['10.96.0.0/16'], ['10.96.0.0/16', 'fd00::/112']]);
    await unlink(join(directory, 'cidrs.yaml'));
    await until(() => recorder.networks.at(-1)?.length === 0);
  });

  it('tells the pods that opt out of the socket hook, when asked to, and those whose cgroup nobody can tell', async () => {
    const directory = await temporaryDirectory();
    const off = 'annotations: {sluice.io/socket-lb: "false"}';
    const pod = (name: string, rest: string) =>
      `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${name}${rest}}\nspec: {nodeName: node-1}\n`;
    const namespace = (rest = '') => `---\napiVersion: v1\nkind: Namespace\nmetadata: {name: default${rest}}\n`;
    const write = (text: string) => writeFile(join(directory, 'pods.yaml'), text);
    await write(namespace() + pod('a', `, uid: A-1, ${off}`) + pod('b', ', uid: b-2') + pod('c', `, ${off}`));
    const silent = await start(directory);
    expect([silent.optOuts, silent.problems]).toEqual([[], []]);
    const recorder = await start(directory, undefined, true);
    expect(recorder.optOuts).toEqual([['a-1']]);
    expect(recorder.problems.map(({ message }) => message)).toEqual([
      'Pod default/c has no metadata.uid: the socket hook serves it',
    ]);
    await write(namespace(`, ${off}`) + pod('a', ', uid: A-1') + pod('b', ', uid: b-2'));
    await until(() => recorder.optOuts.length === 2);
    expect(recorder.optOuts[1]).toEqual(['a-1', 'b-2']);
    await unlink(join(directory, 'pods.yaml'));
    await until(() => recorder.optOuts.length === 3);
    expect(recorder.optOuts[2]).toEqual([]);
  });

  it('syncs an empty directory', async () => {
    const recorder = await start(await temporaryDirectory());
    expect(recorder.log).toEqual(['no node', 'synced']);
  });

  it('follows files added, changed, renamed over and deleted, with the least events', async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'a.yaml'), `${service('a')}---\n${service('same')}`);
    const recorder = await start(directory);
    recorder.log.length = 0;
    await writeFile(join(directory, 'b.yaml'), service('b'));
    await until(() => recorder.state.services.has('default/b'));
    await writeFile(join(directory, 'a.yaml'), `${service('a', ', type: NodePort')}---\n${service('same')}`);
    await until(() => recorder.state.services.get('default/a')?.spec?.type === 'NodePort');
    await writeFile(join(directory, '.tmp'), slice('b-1', '10.0.0.9'));
    await rename(join(directory, '.tmp'), join(directory, 'b.yaml'));
    await until(() => recorder.state.slices.has('default/b-1'));
    await unlink(join(directory, 'a.yaml'));
    await until(() => recorder.state.services.size === 0);
    expect(recorder.log).toEqual([
      'set service default/b',
      'set service default/a',
      'delete service default/b',
      'set slice default/b-1',
      'delete service default/a',
      'delete service default/same',
    ]);
    expect(recorder.notes).toEqual([
      'read 1 files: 2 Service',
      'b.yaml is new: added Service default/b',
      'a.yaml changed: changed Service default/a',
      'b.yaml changed: added EndpointSlice default/b-1; removed Service default/b',
      'a.yaml is gone: removed Service default/a, Service default/same',
    ]);
  });

  it('sees folders that come and go', async () => {
    const directory = await temporaryDirectory();
    const recorder = await start(directory);
    for (const round of ['one', 'two']) {
      await mkdir(join(directory, 'sub'));
      await writeFile(join(directory, 'sub/a.yaml'), service(round));
      await until(() => recorder.state.services.has(`default/${round}`));
      await writeFile(join(directory, 'sub/b.yaml'), service(`${round}-later`));
      await until(() => recorder.state.services.has(`default/${round}-later`));
      await rm(join(directory, 'sub'), { recursive: true });
      await until(() => recorder.state.services.size === 0);
    }
  });

  it('watches the folder that takes the place of another', async () => {
    const directory = await temporaryDirectory();
    const path = (name: string) => join(directory, name);
    await mkdir(path('sub'));
    await mkdir(path('.next'));
    await writeFile(path('sub/a.yaml'), service('old'));
    await writeFile(path('.next/a.yaml'), service('new'));
    const recorder = await start(directory);
    renameSync(path('sub'), path('.old'));
    renameSync(path('.next'), path('sub'));
    await until(() => recorder.state.services.has('default/new'));
    await writeFile(path('sub/b.yaml'), service('later'));
    await until(() => recorder.state.services.has('default/later'));
  });

  it('follows the links of a mounted ConfigMap when they are swapped', async () => {
    const directory = await temporaryDirectory();
    const data = async (version: string, name: string) => {
      await mkdir(join(directory, version));
      await writeFile(join(directory, version, 'a.yaml'), service(name));
      await symlink(version, join(directory, '..data_tmp'));
      await rename(join(directory, '..data_tmp'), join(directory, '..data'));
    };
    await data('..1', 'old');
    await symlink('..data/a.yaml', join(directory, 'a.yaml'));
    const recorder = await start(directory);
    expect([...recorder.state.services.keys()]).toEqual(['default/old']);
    await data('..2', 'new');
    await until(() => recorder.state.services.has('default/new'));
    expect(recorder.state.services.size).toBe(1);
  });

  it('keeps the last good contents of a file that breaks, tells it once with its line, and serves the rest', async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'a.yaml'), service('a'));
    await writeFile(join(directory, 'bad.json'), '{\n"kind": "Service",\n}');
    const recorder = await start(directory, 20);
    expect(recorder.problems).toEqual([
      {
        object: join(directory, 'bad.json'),
        message: expect.stringMatching(/bad\.json: line 1: .*; it is passed over$/),
      },
    ]);
    await writeFile(join(directory, 'a.yaml'), `${service('a')}---\nkind: Service\n  broken: [\n`);
    await until(() => recorder.problems.length === 2);
    expect(recorder.problems[1]?.message).toMatch(/a\.yaml: line [67]: .*; it is passed over$/);
    await writeFile(join(directory, 'c.yaml'), service('c'));
    await until(() => recorder.state.services.has('default/c'));
    expect(recorder.state.services.has('default/a')).toBe(true);
    await writeFile(join(directory, 'a.yaml'), service('a2'));
    await until(() => recorder.state.services.has('default/a2'));
    expect(recorder.state.services.has('default/a')).toBe(false);
    expect(recorder.problems).toHaveLength(3);
  });

  it('keeps what a file held in the place of a document that breaks, until all of it reads well', async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'a.yaml'), `${service('a')}---\n${service('b')}`);
    const recorder = await start(directory, 20);
    await writeFile(join(directory, 'a.yaml'), `${service('a', ', type: NodePort')}---\nkind: [\n---\n${service('c')}`);
    await until(() => recorder.state.services.has('default/c'));
    expect([...recorder.state.services.keys()].sort()).toEqual(['default/a', 'default/b', 'default/c']);
    expect(recorder.state.services.get('default/a')?.spec?.type).toBe('NodePort');
    expect(recorder.problems[0]?.message).toMatch(
      /: line 7: .*; what the file held before stays in force: Service default\/b$/,
    );
    await writeFile(join(directory, 'a.yaml'), service('c'));
    await until(() => recorder.state.services.size === 1);
    expect(recorder.problems.at(-1)?.message).toBe(`${join(directory, 'a.yaml')} reads well again`);
  });

  it('serves the first of two objects with one name and tells it', async () => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'a.yaml'), service('x'));
    await writeFile(join(directory, 'b.yaml'), service('x', ', type: NodePort'));
    const recorder = await start(directory, 20);
    expect(recorder.state.services.get('default/x')?.spec?.type).toBeUndefined();
    expect(recorder.problems.map(({ message }) => message)).toEqual([
      'Service default/x is in a.yaml and again in b.yaml; the first is taken',
    ]);
    await unlink(join(directory, 'a.yaml'));
    await until(() => recorder.state.services.get('default/x')?.spec?.type === 'NodePort');
    expect(recorder.log).not.toContain('delete service default/x');
  });

  it('survives objects that are nothing like what they say', async () => {
    const directory = await temporaryDirectory();
    const odd = [
      null,
      7,
      [],
      { kind: 'Service' },
      { kind: 'Service', metadata: 7 },
      { kind: 'constructor', metadata: { name: 'x' } },
    ];
    await writeFile(join(directory, 'a.json'), JSON.stringify({ kind: 'List', items: odd }));
    await writeFile(join(directory, 'b.yaml'), service('b'));
    const recorder = await start(directory);
    expect([...recorder.state.services.keys()]).toEqual(['default/b']);
  });

  it('keeps what it has when the directory goes, and says so once', async () => {
    const directory = join(await temporaryDirectory(), 'manifests');
    await mkdir(directory);
    await writeFile(join(directory, 'a.yaml'), service('a'));
    const recorder = await start(directory, 20);
    await rename(directory, `${directory}.gone`);
    await until(() => recorder.problems.length === 1);
    expect(recorder.state.services.size).toBe(1);
    await rename(`${directory}.gone`, directory);
    await writeFile(join(directory, 'b.yaml'), service('b'));
    await until(() => recorder.state.services.has('default/b'));
    expect(recorder.problems.at(-1)?.message).toBe(`${directory} reads well again`);
  });

  it('refuses a directory that is none', () => {
    expect(() => createManifestSource({ directory: '/nowhere', nodeName: 'n' })).toThrow(/\/nowhere is no directory/);
  });
});
