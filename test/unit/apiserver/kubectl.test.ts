import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { startApiServer } from '../../support/apiserver/server.ts';

function hasKubectl(): boolean {
  try {
    execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const MANIFEST = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, ports: [{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
`;

// Skipped where there is no kubectl: nothing else of the project needs it.
it.skipIf(!hasKubectl())(
  'serves kubectl: apply, get, describe, edit, create, delete',
  { timeout: 120_000 },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-kubectl-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const server = await startApiServer();
    onTestFinished(() => server.close());
    const file = (name: string) => join(directory, name);
    await server.writeKubeconfig(file('kubeconfig'));
    const env = {
      ...process.env,
      KUBECONFIG: file('kubeconfig'),
      HOME: directory,
      KUBE_EDITOR: "sed -i 's/port: 81/port: 82/'",
    };
    const kubectl = async (...args: string[]) => (await promisify(execFile)('kubectl', args, { env })).stdout;

    await writeFile(file('web.yaml'), MANIFEST);
    expect(await kubectl('apply', '-f', file('web.yaml'))).toMatch(/service\/web created\nendpointslice.*created/);
    expect(await kubectl('apply', '-f', file('web.yaml'))).toMatch(/service\/web unchanged/);
    await writeFile(file('web.yaml'), MANIFEST.replace('port: 80}', 'port: 81}'));
    await kubectl('apply', '-f', file('web.yaml'));
    await kubectl('edit', 'service', 'web');
    expect(await kubectl('get', 'svc', '-A')).toMatch(
      /^default +web +NodePort +10\.96\.1\.1 +<none> +82:30\d+\/TCP,53:30087\/UDP/m,
    );
    expect(await kubectl('get', 'endpointslices')).toMatch(/^web-1 +IPv4 +8080 +10\.0\.0\.1/m);
    expect(await kubectl('describe', 'svc', 'web')).toMatch(/Endpoints: +10\.0\.0\.1:8080/);
    await kubectl('create', 'namespace', 'shop');
    await kubectl('create', 'service', 'clusterip', 'api', '--tcp=80:8080', '-n', 'shop');
    expect(server.store.get('Service', 'shop', 'api')?.spec.ports).toMatchObject([{ port: 80, targetPort: 8080 }]);
    expect(await kubectl('delete', '-f', file('web.yaml'))).toMatch(/service "web" deleted/);
    expect(server.store.list('Service').map(({ metadata }) => metadata.name)).toEqual(['api']);
  },
);
