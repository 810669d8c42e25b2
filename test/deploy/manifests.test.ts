/** Chart and kustomize say the same, and it is what an API server, Prometheus and the agent accept. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { loadConfiguration } from '../../src/config/load.ts';
import { createMetrics } from '../../src/serve/metrics.ts';
import { generate } from '../../tools/deploy/generate.ts';
import { NODE_PROXIER_RULES } from '../support/apiserver/auth.ts';
import { CHART, chart, haveKustomize, kustomize, overlays, REPOSITORY, valuesOf } from '../support/deploy/manifests.ts';
import { faultsOf } from '../support/deploy/openapi.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'sluice-deploy-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const validator = new Ajv({ strict: false }).compile(
  JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8')),
);
const values = (file: string) => parse(readFileSync(file, 'utf8'));
// biome-ignore lint/suspicious/noExplicitAny: objects of every kind, read by path
const daemonSet = (objects: Record<string, any>) => objects['DaemonSet kube-system/sluice'].spec.template.spec;

describe('one source', () => {
  it('what is committed is what the chart makes', () => {
    const copy = join(scratch, 'kustomize');
    cpSync(join(REPOSITORY, 'deploy/kustomize'), copy, { recursive: true });
    generate(copy);
    expect(execFileSync('diff', ['-r', copy, join(REPOSITORY, 'deploy/kustomize')], { encoding: 'utf8' })).toBe('');
  });

  it.skipIf(!haveKustomize)('the base is the chart with its default values (kubectl 1.24)', () => {
    expect(kustomize('base')).toEqual(chart());
  });

  it.skipIf(!haveKustomize).each(overlays)('%s is the chart with its values (kubectl 1.24)', (overlay) => {
    expect(kustomize(`overlays/${overlay}`)).toEqual(chart(valuesOf(overlay)));
  });
});

describe.skipIf(!haveKustomize).each(['base', ...overlays.map((name) => `overlays/${name}`)])(
  '%s (kubectl 1.24)',
  (directory) => {
    it('is valid by the OpenAPI of Kubernetes, without unknown keys', async () => {
      expect((await Promise.all(Object.values(kustomize(directory)).map(faultsOf))).flat()).toEqual([]);
    });

    it('has a configuration that the agent reads without a word about a key', () => {
      const file = join(scratch, 'config.conf');
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const map = kustomize(directory)['ConfigMap kube-system/sluice'] as any;
      writeFileSync(file, map.data['config.conf']);
      const { notes } = loadConfiguration(file);
      expect(notes.filter(({ set, disposition }) => set && disposition === 'refused')).toEqual([]);
    });
  },
);

it('finds an unknown key, a wrong type and a missing field', async () => {
  const faulty = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', lables: {} }, data: { a: 1 } };
  expect((await faultsOf(faulty as never)).join('\n')).toMatch(/lables.*[\s\S]*string/);
  expect(
    (await faultsOf({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: {}, spec: {} } as never)).join(),
  ).toMatch(/selector|template/);
});

describe('values.schema.json', () => {
  it.each([join(CHART, 'values.yaml'), ...overlays.map(valuesOf)])('accepts %s', (file) => {
    expect(validator(values(file)) || validator.errors).toBe(true);
  });

  it('knows every value of the chart', () => {
    const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'));
    expect(
      Object.keys(schema.properties)
        .filter((key) => key !== 'global')
        .sort(),
    ).toEqual(Object.keys(values(join(CHART, 'values.yaml'))).sort());
  });

  it.each([
    [{ agent: { xdp: 'of' } }],
    [{ kubernetesServiceHost: 'https://192.0.2.1' }],
    [{ imgae: {} }],
    [{ image: { digest: 'latest' } }],
  ])('refuses %j', (wrong) => {
    expect(validator(wrong)).toBe(false);
  });
});

describe('rights', () => {
  it('are those of system:node-proxier at most, and events cannot be replaced (R-93)', () => {
    // biome-ignore lint/suspicious/noExplicitAny: as above
    const { rules } = chart()['ClusterRole /sluice'] as any;
    expect(rules).toEqual([
      { apiGroups: [''], resources: ['services', 'nodes'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['networking.k8s.io'], resources: ['servicecidrs'], verbs: ['list', 'watch'] },
      { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
    ]);
    const known = NODE_PROXIER_RULES.flatMap(({ resources }) => resources);
    for (const { resources } of rules) for (const resource of resources) expect(known).toContain(resource);
  });

  it('reach pods and namespaces only where these may opt out of the socket hook', () => {
    const file = join(scratch, 'watch-pods.yaml');
    writeFileSync(file, stringify({ agent: { watchPods: true } }));
    const objects = chart(file);
    // biome-ignore lint/suspicious/noExplicitAny: as above
    const { rules } = objects['ClusterRole /sluice'] as any;
    expect(rules).toContainEqual({
      apiGroups: [''],
      resources: ['pods', 'namespaces'],
      verbs: ['get', 'list', 'watch'],
    });
    expect(daemonSet(objects).containers[0].args).toContain('--watch-pods');
    expect(daemonSet(chart()).containers[0].args).not.toContain('--watch-pods');
  });

  it('are few in the node: no host process table, a root that is read only, every capability dropped first', () => {
    const pod = daemonSet(chart());
    expect(pod).toMatchObject({ hostNetwork: true, priorityClassName: 'system-node-critical' });
    expect(pod).not.toHaveProperty('hostPID');
    expect(pod.securityContext.seccompProfile).toEqual({ type: 'RuntimeDefault' });
    const { securityContext } = pod.containers[0];
    expect(securityContext).toMatchObject({ readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } });
    expect(securityContext).not.toHaveProperty('privileged');
  });
});

describe('values', () => {
  const rendered = (given: object) => {
    const file = join(scratch, 'values.yaml');
    writeFileSync(file, stringify(given));
    return chart(file);
  };

  it('the address of the API server reaches the agent', () => {
    const { env } = daemonSet(rendered({ kubernetesServiceHost: '2001:db8::1', kubernetesServicePort: 8443 }))
      .containers[0];
    expect(env).toContainEqual({ name: 'KUBERNETES_SERVICE_HOST', value: '2001:db8::1' });
    expect(env).toContainEqual({ name: 'KUBERNETES_SERVICE_PORT', value: '8443' });
  });

  it('another configuration starts the pods again', () => {
    const checksum = (objects: ReturnType<typeof chart>) =>
      // biome-ignore lint/suspicious/noExplicitAny: as above
      (objects['DaemonSet kube-system/sluice'] as any).spec.template.metadata.annotations['sluice.io/config-checksum'];
    expect(checksum(rendered({ config: { mode: 'nftables' } }))).not.toBe(checksum(chart()));
  });

  it('a digest wins over the tag', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(daemonSet(rendered({ image: { digest, tag: 'x' } })).containers[0].image).toBe(`localhost/sluice@${digest}`);
  });

  it('a ServiceMonitor of a loopback address is refused with what to write', () => {
    expect(() => rendered({ metrics: { serviceMonitor: { enabled: true } } })).toThrow(/set it to 0\.0\.0\.0:10249/);
  });
});

describe('Prometheus', () => {
  const promtool = (...args: string[]) =>
    execFileSync(join(REPOSITORY, 'tools/deploy/promtool.sh'), args, { encoding: 'utf8' });

  it('accepts the rules', () => {
    expect(promtool('check', 'rules', join(CHART, 'files/rules.yaml'))).toMatch(/SUCCESS: \d+ rules found/);
  });

  it('fires them when it should, and only then', () => {
    expect(promtool('test', 'rules', join(import.meta.dirname, 'rules.test.yaml'))).toContain('SUCCESS');
  });

  it('knows every metric that rules and dashboard name', async () => {
    const known = new Set((await createMetrics().scrape()).match(/^# TYPE \S+/gm)?.map((line) => line.slice(7)));
    const text = ['rules.yaml', 'dashboard.json']
      .map((file) => readFileSync(join(CHART, 'files', file), 'utf8'))
      .join();
    const named = new Set(text.match(/\b(sluice|kubeproxy)_[a-z_]+/g));
    expect(named.size).toBeGreaterThan(8);
    expect([...named].filter((name) => !known.has(name.replace(/_bucket$/, '')))).toEqual([]);
  });

  it('reads the scrape; it minds only names that are kube-proxy’s or those of Node.js', async () => {
    const input = await createMetrics().scrape();
    const program = join(REPOSITORY, 'tools/deploy/promtool.sh');
    const { status, stderr } = spawnSync(program, ['check', 'metrics'], { input, encoding: 'utf8' });
    expect([0, 3]).toContain(status); // 1: it cannot be read
    const lines = stderr.split('\n').filter((line) => line !== '' && !/^(nodejs|kubeproxy)_/.test(line));
    expect(lines).toEqual([]);
  });

  it('is shown a dashboard that is JSON, with an expression in each panel', () => {
    const { panels } = JSON.parse(readFileSync(join(CHART, 'files/dashboard.json'), 'utf8'));
    for (const { targets } of panels) for (const { expr } of targets) expect(expr).toMatch(/\(/);
  });
});

it('names the version of the package everywhere', () => {
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));
  expect(values(join(CHART, 'Chart.yaml'))).toMatchObject({ version, appVersion: version });
  expect(readdirSync(join(CHART, 'templates'))).toContain('daemonset.yaml');
});
