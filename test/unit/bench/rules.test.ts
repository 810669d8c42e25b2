import { describe, expect, it } from 'vitest';
import { base32 } from '../../../bench/rules/base32.ts';
import { iptablesRules } from '../../../bench/rules/iptables.ts';
import {
  clusterIpOf,
  HTTP,
  type ModelService,
  modelServices,
  NAMESPACE,
  targetNumbers,
} from '../../../bench/rules/model.ts';
import { nftablesRules } from '../../../bench/rules/nftables.ts';

const endpoints = [
  { address: '10.244.1.2', nodeName: 'node1' },
  { address: '10.244.2.2', nodeName: 'node2' },
];
const services: ModelService[] = [
  { namespace: NAMESPACE, name: 'web', clusterIp: '10.96.0.1', ports: [{ ...HTTP, nodePort: 30080 }], endpoints },
  {
    namespace: NAMESPACE,
    name: 'here',
    clusterIp: '10.96.0.2',
    ports: [{ ...HTTP, nodePort: 30081 }],
    endpoints,
    external: 'Local',
  },
];
const options = { nodeName: 'node1', nodeIps: ['172.30.0.11'] };

describe('rules as kube-proxy lays them out', () => {
  it('hashes names as RFC 4648 says', () => {
    const text = (content: string) => base32(new TextEncoder().encode(content));
    expect(['f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map(text)).toEqual([
      'MY',
      'MZXQ',
      'MZXW6',
      'MZXW6YQ',
      'MZXW6YTB',
      'MZXW6YTBOI',
    ]);
  });

  it('iptables mode', async () => {
    await expect(iptablesRules(services, options)).toMatchFileSnapshot('expected/iptables.txt');
  });

  it('nftables mode', async () => {
    await expect(nftablesRules(services, options).join('\n')).toMatchFileSnapshot('expected/nftables.txt');
  });

  it('iptables mode leaves comments out of the rules of large clusters', () => {
    const comments = (size: number) =>
      iptablesRules(modelServices(size, [HTTP], endpoints), options).match(/svc-\d+:http/g)?.length ?? 0;
    expect(comments(100)).toBeGreaterThan(100);
    expect(comments(2000)).toBe(0);
  });

  it('gives each rule of a Service its share of what the ones before left', () => {
    const three = [...endpoints, { address: '10.244.3.2', nodeName: 'node3' }];
    const rules = iptablesRules(modelServices(1, [HTTP], three), options);
    expect(rules.match(/--probability [\d.]+/g)).toEqual(['--probability 0.3333333333', '--probability 0.5000000000']);
  });

  it('loads nftables rules in several transactions, each Service once', () => {
    const transactions = nftablesRules(modelServices(2500, [HTTP], endpoints), options);
    expect(transactions).toHaveLength(5);
    expect(transactions.join('\n').match(/goto service-/g)).toHaveLength(2500);
  });
});

describe('the Services of a benchmark', () => {
  it('dials Services that are spread over the whole list', () => {
    expect(targetNumbers(1)).toEqual([1]);
    expect(targetNumbers(16)).toHaveLength(16);
    const numbers = targetNumbers(30_000);
    expect(numbers).toHaveLength(16);
    expect(numbers.reduce((sum, n) => sum + n, 0) / 16).toBeCloseTo(15_000, -2);
    expect(new Set(numbers).size).toBe(16);
  });

  it('leads only those to backends', () => {
    const model = modelServices(100, [HTTP], endpoints);
    const dialled = model.filter((service) => service.endpoints === endpoints).map(({ clusterIp }) => clusterIp);
    expect(dialled).toEqual(targetNumbers(100).map(clusterIpOf));
    expect(new Set(model.map(({ clusterIp }) => clusterIp)).size).toBe(100);
  });
});
