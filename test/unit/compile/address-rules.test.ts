/** CVE-2020-8554: whoever may write a Service names no address that others rely on. */
import { describe, expect, test } from 'vitest';
import type { AddressRules } from '../../../src/compile/address-rules.ts';
import { createCompiler } from '../../../src/compile/compiler.ts';
import { endpoint, nodeContext, service, slice } from './objects.ts';

const API = { address: '192.0.2.100', port: 6443 };
const METADATA = '169.254.169.254';
const KUBERNETES = slice([endpoint('192.0.2.101')], {
  of: 'kubernetes',
  ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
});

function running(addressRules?: AddressRules) {
  const compiler = createCompiler(nodeContext({ ...(addressRules && { addressRules }) }));
  const served = () => {
    const [web] = compiler.take().changed;
    return {
      frontends: web?.ports.flatMap((port) => port.frontends.map((row) => `${row.address}:${row.port}`)),
      problems: web?.problems.map(({ field, message }) => `${field}: ${message}`),
    };
  };
  return { compiler, served };
}

const ask = (externalIPs: string[], balancers: string[], more: object = {}) =>
  service(
    { type: 'LoadBalancer', externalIPs, ports: [{ name: 'http', port: 6443 }], ...more },
    { ingress: balancers.map((ip) => ({ ip })) },
  );

describe('what Services may not have', () => {
  test("the API server's own address and port, whichever way it is known", () => {
    const { compiler, served } = running({ apiServers: [API] });
    compiler.setSlice('default/kubernetes', KUBERNETES);
    compiler.setService('default/web', ask([API.address], ['192.0.2.101', '192.0.2.102']));
    const { frontends, problems } = served();
    expect(frontends).toEqual(['10.96.0.10:6443', '192.0.2.102:6443']);
    expect(problems).toEqual([
      "spec.externalIPs[0]: 192.0.2.100 port 6443 is the API server's own: not served without --allow-reserved-addresses",
      "status.loadBalancer.ingress[0].ip: 192.0.2.101 port 6443 is the API server's own: not served without --allow-reserved-addresses",
    ]);
  });

  test('other ports and protocols there are served, as with kube-proxy', () => {
    const { compiler, served } = running({ apiServers: [API] });
    const ports = [
      { name: 'http', port: 443 },
      { name: 'udp', port: 6443, protocol: 'UDP' },
    ];
    compiler.setService('default/web', ask([API.address], [], { ports }));
    expect(served().frontends).toContain('192.0.2.100:443');
    expect(served().problems ?? []).toEqual([]);
  });

  test('API servers that come and go, with Services that are there already', () => {
    const { compiler, served } = running();
    compiler.setService('default/web', ask(['192.0.2.101'], []));
    expect(served().frontends).toContain('192.0.2.101:6443');
    compiler.setSlice('default/kubernetes', KUBERNETES);
    expect(served().frontends).toEqual(['10.96.0.10:6443']);
    compiler.setSlice('default/kubernetes', undefined);
    expect(served().frontends).toContain('192.0.2.101:6443');
  });

  test.each([METADATA, 'fe80::1'])('link-local addresses: %s', (address) => {
    const { compiler, served } = running();
    const dualStack = { clusterIPs: ['10.96.0.10', 'fd00:10:96::a'] };
    compiler.setService('default/web', ask([], [address], dualStack));
    const { frontends, problems } = served();
    expect(frontends).toEqual(['10.96.0.10:6443', 'fd00:10:96::a:6443']);
    expect(problems).toEqual([
      `status.loadBalancer.ingress[0].ip: ${address} is a link-local address: not served without --allow-reserved-addresses`,
    ]);
  });

  test('all of that when the administrator says so', () => {
    const { compiler, served } = running({ apiServers: [API], allowReserved: true });
    compiler.setService('default/web', ask([API.address], [METADATA]));
    expect(served()).toEqual({
      frontends: ['10.96.0.10:6443', `${API.address}:6443`, `${METADATA}:6443`],
      problems: [],
    });
  });

  test('a refused address is left to another Service, and to a cluster IP', () => {
    const { compiler } = running({ apiServers: [API] });
    compiler.setService('default/web', ask([API.address], []));
    const late = service({ clusterIP: API.address, ports: [{ port: 6443 }] }, { created: '2026-02-01T00:00:00Z' });
    compiler.setService('default/late', late);
    const [found] = compiler.take().changed;
    expect(found).toMatchObject({ name: 'late', problems: [], ports: [{ frontends: [{ address: API.address }] }] });
  });
});

describe('what the administrator may refuse', () => {
  test('external IPs: not one that a load balancer has given too', () => {
    const { compiler, served } = running({ refuseExternalIps: true });
    compiler.setService('default/web', ask(['198.51.100.1', '203.0.113.1'], ['203.0.113.1']));
    const { frontends, problems } = served();
    expect(frontends).toEqual(['10.96.0.10:6443', '203.0.113.1:6443']);
    expect(problems).toEqual(['spec.externalIPs[0]: external IPs are not served here: --refuse-external-ips']);
  });

  test('addresses of nodes, which are served otherwise', () => {
    const { compiler, served } = running();
    compiler.setService('default/web', ask(['192.0.2.1'], ['192.0.2.2']));
    expect(served().frontends).toHaveLength(3);
    compiler.setContext(nodeContext({ addressRules: { nodeAddresses: ['192.0.2.1', '192.0.2.2'] } }));
    const { frontends, problems } = served();
    expect(frontends).toEqual(['10.96.0.10:6443']);
    expect(problems?.[0]).toBe(
      'spec.externalIPs[0]: 192.0.2.1 is an address of a node: not served with --refuse-node-addresses',
    );
  });
});
