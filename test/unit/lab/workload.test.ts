import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Service } from '../../../src/model/kubernetes.ts';
import { buildSlices, type PodView } from '../../support/lab/slices.ts';
import { isWorkload, placePod, readWorkload, servedPorts } from '../../support/lab/workload.ts';

const examples = new URL('../../../examples/', import.meta.url);

function manifests(): { kind?: string }[] {
  const files = readdirSync(examples).filter((name) => name.endsWith('.yaml'));
  return files.flatMap((name) =>
    parseAllDocuments(readFileSync(new URL(name, examples), 'utf8')).map((doc) => doc.toJS()),
  );
}

const deployment = {
  kind: 'Deployment' as const,
  metadata: { namespace: 'shop', name: 'web' },
  spec: {
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ ports: [{ name: 'http', containerPort: 80 }] }] },
    },
  },
};

describe('workloads', () => {
  it('fill in what Kubernetes would', () => {
    expect(readWorkload(deployment)).toEqual({
      namespace: 'shop',
      name: 'web',
      labels: { app: 'web' },
      replicas: 1,
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      hostNetwork: false,
      nodeName: undefined,
    });
    expect(readWorkload({ ...deployment, kind: 'DaemonSet' }).replicas).toBeUndefined();
  });

  it('spread over nodes, the emptier one first', () => {
    const workload = readWorkload(deployment);
    const place = (...load: [string, number, number][]) =>
      placePod(workload, new Map(load.map(([name, own, all]) => [name, { own, all }])));
    expect(place(['node1', 1, 1], ['node2', 0, 9])).toBe('node2');
    expect(place(['node1', 1, 5], ['node2', 1, 4])).toBe('node2');
    expect(place(['node1', 0, 0], ['node2', 0, 0])).toBe('node1');
  });

  it('serve what their port names say', () => {
    const ports = ['http', 'dns', 'dns-tcp', 'sql', 'statsd'].map((name, i) => ({
      name,
      port: i,
      protocol: name === 'statsd' ? 'UDP' : 'TCP',
    }));
    expect(servedPorts(ports)).toEqual({ http: [0], dns: [1, 2], tcp: [3], udp: [4] });
  });
});

describe('the examples', () => {
  const services = manifests().filter((manifest): manifest is Service => manifest.kind === 'Service');
  const workloads = manifests().filter(isWorkload).map(readWorkload);

  it('hold a dozen Services of every type', () => {
    expect(services.length).toBeGreaterThanOrEqual(12);
    expect(new Set(services.map((service) => service.spec?.type ?? 'ClusterIP'))).toEqual(
      new Set(['ClusterIP', 'NodePort', 'LoadBalancer']),
    );
  });

  it.each(
    services.map((service) => [service.metadata?.name, service]),
  )('give %s pods that have all of its ports', (_, service) => {
    const views = workloads.map(
      (workload): PodView => ({ ...workload, nodeName: 'node1', addresses: { IPv4: '10.0.0.1' }, phase: 'running' }),
    );
    const slices = buildSlices(
      { ...(service as Service), spec: { ...(service as Service).spec, ipFamilies: ['IPv4'] } },
      views,
    );
    expect(slices.length).toBeGreaterThan(0);
    for (const slice of slices) expect(slice.ports).toHaveLength((service as Service).spec?.ports?.length ?? 0);
  });
});
