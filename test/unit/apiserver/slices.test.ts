import { expect, it } from 'vitest';
import { buildSlices } from '../../support/apiserver/slices.ts';

const service = {
  metadata: { name: 'web', namespace: 'shop', uid: 'u' },
  spec: {
    ipFamilies: ['IPv4', 'IPv6'],
    ports: [
      { name: 'http', port: 80, targetPort: 'http' },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ],
  },
};

it('builds slices a family, and a port list each for pods whose named ports differ (R-7)', () => {
  const pods = [
    { name: 'a', addresses: ['10.0.0.1', 'fd00::1'], nodeName: 'n1', namedPorts: { http: 8080 } },
    { name: 'b', addresses: ['10.0.0.2'], terminating: true, namedPorts: { http: 9090 } },
  ];
  const slices = buildSlices(service, pods);
  expect(
    slices.map(({ addressType, ports, endpoints }) => [addressType, ports?.[0]?.port, endpoints?.[0]?.addresses?.[0]]),
  ).toEqual([
    ['IPv4', 8080, '10.0.0.1'],
    ['IPv4', 9090, '10.0.0.2'],
    ['IPv6', 8080, 'fd00::1'],
  ]);
  expect(slices[1]?.endpoints?.[0]?.conditions).toEqual({ ready: false, serving: true, terminating: true });
  expect(slices[0]?.metadata?.labels?.['kubernetes.io/service-name']).toBe('web');
  expect(new Set(slices.map(({ metadata }) => metadata?.name)).size).toBe(3);
  expect(buildSlices(service, pods)).toEqual(slices);
});

it('fills slices of at most so many endpoints, and gives an empty one for no pods', () => {
  const pods = Array.from({ length: 5 }, (_, i) => ({ addresses: [`10.0.0.${i}`] }));
  const v4 = { ...service, spec: { ports: [{ port: 80 }] } };
  expect(buildSlices(v4, pods, { maxEndpoints: 2 }).map(({ endpoints }) => endpoints?.length)).toEqual([2, 2, 1]);
  expect(buildSlices(v4, []).map(({ endpoints }) => endpoints)).toEqual([[]]);
});
