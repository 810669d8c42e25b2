import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { configz } from '../../../src/config/configz.ts';
import { loadConfiguration, parseConfiguration } from '../../../src/config/load.ts';
import { FATES } from '../../../src/config/notes.ts';
import { kubeProxyConfiguration } from '../../../src/config/schema.ts';

const file = (name: string) => join(import.meta.dirname, name);

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const load = (text: string) => parseConfiguration(HEAD + text, 'config.yaml').configuration;
const everyAddress = {
  primary: false,
  IPv4: [{ address: '0.0.0.0', bits: 0 }],
  IPv6: [{ address: '::', bits: 0 }],
};

/** Dotted paths of the schema's leaves. */
function leaves(schema: z.ZodType, prefix = ''): string[] {
  let inner: unknown = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable) inner = inner.unwrap();
  if (!(inner instanceof z.ZodObject)) return [prefix];
  return Object.entries(inner.shape).flatMap(([key, value]) =>
    leaves(value as z.ZodType, prefix === '' ? key : `${prefix}.${key}`),
  );
}

describe('loadConfiguration', () => {
  test("R-84: kubeadm's default file means the defaults, but for what it sets", () => {
    const { configuration } = loadConfiguration(file('kubeadm.yaml'));
    const { configuration: defaults } = loadConfiguration(undefined);
    expect(configuration).toEqual({
      ...defaults,
      clientKubeconfig: '/var/lib/kube-proxy/kubeconfig.conf',
      clusterCidrs: { IPv4: [{ address: '10.244.0.0', bits: 16 }], IPv6: [] },
      effective: {
        ...defaults.effective,
        clientConnection: {
          ...(defaults.effective.clientConnection as object),
          kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf',
        },
        clusterCIDR: '10.244.0.0/16',
      },
    });
  });

  test.each([
    ['ipvs', 'wrr', 'wrr', 'honoured'],
    ['ipvs', 'lc', 'rr', 'honoured'],
    ['ipvs', 'fastest', 'random', 'refused'],
    ['iptables', 'rr', 'random', 'not needed'],
  ])('mode %s, scheduler %s: %s, %s', (mode, scheduler, algorithm, disposition) => {
    const { configuration, notes } = parseConfiguration(
      `${HEAD}mode: ${mode}\nipvs: { scheduler: ${scheduler} }\n`,
      'config.yaml',
    );
    expect(configuration.algorithm).toBe(algorithm);
    expect(notes.find(({ key }) => key === 'ipvs.scheduler')?.disposition).toBe(disposition);
  });

  test('R-84: the defaults', () => {
    expect(loadConfiguration(undefined).configuration).toEqual({
      mode: 'iptables',
      algorithm: 'random',
      routerIpMode: false,
      clientKubeconfig: '',
      hostnameOverride: '',
      bindAddress: '0.0.0.0',
      healthz: { address: '0.0.0.0', port: 10256 },
      metrics: { address: '127.0.0.1', port: 10249 },
      bindAddressHardFail: false,
      masqueradeAll: false,
      localhostNodePorts: true,
      syncPeriod: 30_000,
      minSyncPeriod: 0,
      detectLocalMode: 'ClusterCIDR',
      bridgeInterface: '',
      interfaceNamePrefix: '',
      clusterCidrs: { IPv4: [], IPv6: [] },
      nodePortAddresses: everyAddress,
      timeouts: { tcpEstablished: 86_400, tcpCloseWait: 3600, tcpHalfOpen: 120, udp: 30, udpStream: 120 },
      verbosity: 0,
      oomScoreAdj: undefined,
      effective: expect.objectContaining({ mode: 'iptables', configSyncPeriod: '15m0s' }),
    });
  });

  test('R-84: every key is read', () => {
    expect(loadConfiguration(file('every-key.yaml')).configuration).toEqual({
      mode: 'nftables',
      algorithm: 'random',
      routerIpMode: false,
      clientKubeconfig: '/etc/kubeconfig',
      hostnameOverride: 'node-1',
      bindAddress: '192.0.2.10',
      healthz: { address: '192.0.2.10', port: 10356 },
      metrics: { address: '::', port: 10349 },
      bindAddressHardFail: true,
      masqueradeAll: true,
      localhostNodePorts: false,
      syncPeriod: 90_000,
      minSyncPeriod: 250,
      detectLocalMode: 'BridgeInterface',
      bridgeInterface: 'cni0',
      interfaceNamePrefix: 'veth',
      clusterCidrs: { IPv4: [], IPv6: [] },
      nodePortAddresses: {
        primary: false,
        IPv4: [
          { address: '192.0.2.0', bits: 24 },
          { address: '198.51.100.7', bits: 32 },
        ],
        IPv6: [{ address: '2001:db8::', bits: 32 }],
      },
      timeouts: { tcpEstablished: 7200, tcpCloseWait: 60, tcpHalfOpen: 120, udp: 10, udpStream: 21 },
      verbosity: 2,
      oomScoreAdj: -998,
      effective: expect.objectContaining({ mode: 'nftables', portRange: '' }),
    });
  });

  test('R-84: the file of every key holds every key of the schema', () => {
    const written = parse(readFileSync(file('every-key.yaml'), 'utf8')) as Record<string, unknown>;
    const at = (path: string) =>
      path.split('.').reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], written);
    expect(leaves(kubeProxyConfiguration).filter((path) => at(path) === undefined)).toEqual([]);
  });

  test.each(
    leaves(kubeProxyConfiguration).filter((path) => path !== 'apiVersion' && path !== 'kind'),
  )('R-84: null is the default of %s', (path) => {
    const document = path.split('.').reduceRight<unknown>((value, key) => ({ [key]: value }), null);
    expect(load(stringify(document))).toEqual(loadConfiguration(undefined).configuration);
  });

  test.each([
    ['iptables: { syncPriod: 30s }', 'iptables.syncPriod'],
    ['conntrack: { max: 0 }', 'conntrack.max'],
    ['udpIdleTimeout: 250ms', 'udpIdleTimeout'],
    ['logging: { options: { text: { color: true } } }', 'logging.options.text.color'],
    ['logging: { vmodule: [{ filePattern: a, verbosity: 1, level: 2 }] }', 'logging.vmodule[0].level'],
    ['detectLocal: { clusterCIDRs: [10.0.0.0/8] }', 'detectLocal.clusterCIDRs'],
    ['resourceContainer: /kube-proxy', 'resourceContainer'],
  ])('R-84: an unknown key is a warning that names it, an error with --strict-config: %s', (text, key) => {
    const { warnings, configuration } = parseConfiguration(HEAD + text, 'config.yaml');
    expect(warnings).toEqual([`configuration config.yaml: kube-proxy 1.36 knows no ${key}: not read`]);
    expect(configuration.syncPeriod).toBe(30_000);
    expect(() => parseConfiguration(HEAD + text, 'config.yaml', { strict: true })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(key) }),
    );
  });

  test('R-84: all keys that are unknown or written twice are named at once, and what is known counts', () => {
    const text =
      'metadata: { name: x }\nmode: ipvs\nmode: nftables\nipvs: { a: 1, b: 2 }\nconntrack: { max: 1, min: 2, min: 3 }';
    const { warnings, configuration } = parseConfiguration(HEAD + text, 'f');
    expect(warnings).toHaveLength(1);
    for (const key of ['metadata', 'ipvs.a', 'ipvs.b', 'conntrack.max', 'last counts: mode, conntrack.min'])
      expect(warnings[0]).toContain(key);
    expect(configuration.mode).toBe('nftables');
  });

  test('R-84: an unknown key does not hide a wrong value', () => {
    expect(() => load('strictARP: true\nmode: userspace')).toThrow(/mode/);
    expect(() => load('strictARP: true\niptables: { syncPeriod: 30 }')).toThrow(/iptables\.syncPeriod/);
  });

  test.each([
    ['booleans', 'iptables: { masqueradeAll: on }', { masqueradeAll: true }],
    ['octal numbers', 'oomScoreAdj: 010', { oomScoreAdj: 8 }],
    [
      'merge keys, which what stands beside them overrides',
      'nftables: &n { syncPeriod: 5s, masqueradeAll: yes }\niptables: { <<: *n, syncPeriod: 7s }',
      { masqueradeAll: true, syncPeriod: 7000 },
    ],
    [
      'no dates and no base-60 numbers',
      'hostnameOverride: 2020-01-01\nclientConnection: { kubeconfig: 1:30 }',
      { hostnameOverride: '2020-01-01', clientKubeconfig: '1:30' },
    ],
    ['CRLF', 'mode: ipvs\r\nhostnameOverride: a\r\n', { mode: 'ipvs', hostnameOverride: 'a' }],
    ['the first document, whatever follows', 'mode: ipvs\n---\nmode: [', { mode: 'ipvs' }],
  ])('R-84: YAML 1.1 as go-yaml reads it: %s', (_, text, expected) => {
    expect(load(text)).toMatchObject(expected);
  });

  test.each(['0', '64Ki', '1.5Mi', '1e3', '100m', '4096', '".5k"'])('R-84: %s is a quantity', (text) => {
    expect(() => load(`logging: { options: { json: { infoBufferSize: ${text} } } }`)).not.toThrow();
  });

  test('R-84: where we read what kube-proxy refuses, a line says so', () => {
    expect(parseConfiguration(`${HEAD}nodePortAddresses: [all]`, 'f').warnings).toEqual([
      expect.stringContaining('kube-proxy refuses it'),
    ]);
  });

  test.each([
    ['iptables: { masqueradeAll: "true" }', 'iptables.masqueradeAll'],
    ['iptables: { masqueradeBit: 32 }', 'iptables.masqueradeBit'],
    ['iptables: { syncPeriod: 30 }', 'iptables.syncPeriod'],
    ['iptables: { syncPeriod: 30 seconds }', 'iptables.syncPeriod'],
    ['iptables: { syncPeriod: -1s }', 'iptables.syncPeriod'],
    ['iptables: { syncPeriod: 1s, minSyncPeriod: 2s }', 'iptables.minSyncPeriod'],
    ['nodePortAddresses: 10.0.0.0/8', 'nodePortAddresses'],
    ['nodePortAddresses: [10.0.0.0/8, 10.0.0.1]', 'nodePortAddresses'],
    ['nodePortAddresses: [primary, 10.0.0.0/8]', 'nodePortAddresses'],
    ['nodePortAddresses: [7]', 'nodePortAddresses[0]'],
    ['clusterCIDR: 10.0.0.0/8,11.0.0.0/8', 'clusterCIDR'],
    ['clusterCIDR: 10.0.0.0/33', 'clusterCIDR'],
    ['mode: userspace', 'mode'],
    ['mode: kernelspace', 'mode'],
    ['detectLocalMode: Bridge', 'detectLocalMode'],
    ['detectLocalMode: BridgeInterface', 'detectLocal.bridgeInterface'],
    ['detectLocalMode: InterfaceNamePrefix', 'detectLocal.interfaceNamePrefix'],
    ['bindAddress: node-1', 'bindAddress'],
    ['healthzBindAddress: localhost:10256', 'healthzBindAddress'],
    ['healthzBindAddress: 0.0.0.0:0', 'healthzBindAddress'],
    ['metricsBindAddress: "10249"', 'metricsBindAddress'],
    ['metricsBindAddress: "::1:99999"', 'metricsBindAddress'],
    ['oomScoreAdj: -1001', 'oomScoreAdj'],
    ['conntrack: { min: 1.5 }', 'conntrack.min'],
    ['logging: { options: { json: { infoBufferSize: 64K } } }', 'logging.options.json.infoBufferSize'],
    ['clusterCIDR: 10.0.0.0/8,', 'clusterCIDR'],
    ['featureGates: { A: 1 }', 'featureGates.A'],
    ['iptables: [1]', 'iptables'],
  ])('R-84: a wrong value is an error that names the key: %s', (text, key) => {
    expect(() => load(text)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(`config.yaml: ${key} `) }),
    );
  });

  test.each([
    [
      'another kind',
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeletConfiguration',
      'kind must be KubeProxyConfiguration',
    ],
    ['another version', 'apiVersion: kubeproxy.config.k8s.io/v1\nkind: KubeProxyConfiguration', 'apiVersion must be'],
    ['no document', '', 'it holds no KubeProxyConfiguration'],
    ['an alias of nothing', `${HEAD}mode: *a`, 'config.yaml'],
    ['no YAML', '{ a: [', 'config.yaml'],
  ])('R-84: refuses %s', (_, text, message) => {
    expect(() => parseConfiguration(text, 'config.yaml')).toThrow(message);
  });

  test('R-84: a missing file is named', () => {
    expect(() => loadConfiguration('/nowhere/config.yaml')).toThrow(/\/nowhere\/config\.yaml: ENOENT/);
  });

  test('R-53: NodePorts answer on every address, in mode nftables on the primary ones', () => {
    expect(load('mode: nftables').nodePortAddresses).toEqual({ primary: true });
    expect(load('mode: iptables').nodePortAddresses).toEqual(everyAddress);
    expect(load('mode: ""').nodePortAddresses).toEqual(everyAddress);
    expect(load('').nodePortAddresses).toEqual(everyAddress);
    expect(load('mode: ipvs').nodePortAddresses).toEqual(everyAddress);
    expect(load('mode: iptables\nnodePortAddresses: [primary]').nodePortAddresses).toEqual({ primary: true });
    expect(load('nodePortAddresses: [all]').nodePortAddresses).toEqual(everyAddress);
  });

  test('R-53: a family without a network, and a zero CIDR among others, mean every address', () => {
    expect(load('nodePortAddresses: [10.0.0.0/8, 0.0.0.0/0]').nodePortAddresses).toEqual(everyAddress);
    expect(load('nodePortAddresses: [10.1.2.3/8]').nodePortAddresses).toEqual({
      ...everyAddress,
      IPv4: [{ address: '10.0.0.0', bits: 8 }],
    });
  });

  test('R-84: masqueradeAll and the periods come from the section of the mode', () => {
    const sections =
      'iptables: { masqueradeAll: true, syncPeriod: 5s }\nipvs: { syncPeriod: 6s }\nnftables: { syncPeriod: 7s }\n';
    expect(load(sections)).toMatchObject({ masqueradeAll: true, syncPeriod: 5000 });
    expect(load(`${sections}mode: iptables`)).toMatchObject({ masqueradeAll: true, syncPeriod: 5000 });
    expect(load(`${sections}mode: ipvs`)).toMatchObject({ masqueradeAll: true, syncPeriod: 6000 });
    expect(load(`${sections}mode: nftables`)).toMatchObject({ masqueradeAll: false, syncPeriod: 7000 });
  });

  test("R-72: IPVS's own time-outs count in mode ipvs", () => {
    const ipvs = 'ipvs: { tcpTimeout: 15m, tcpFinTimeout: 30s, udpTimeout: 5m }\n';
    expect(load(`${ipvs}mode: ipvs`).timeouts).toMatchObject({
      tcpEstablished: 900,
      tcpCloseWait: 30,
      udp: 300,
      udpStream: 300,
    });
    expect(load(ipvs).timeouts).toMatchObject({ tcpEstablished: 86_400, tcpCloseWait: 3600, udp: 30, udpStream: 120 });
  });

  test('R-84: an IPv6 bindAddress moves the default listeners, an address without port keeps the port', () => {
    expect(load('bindAddress: "2001:db8::1"')).toMatchObject({
      healthz: { address: '::', port: 10256 },
      metrics: { address: '::1', port: 10249 },
    });
    expect(load('metricsBindAddress: 0.0.0.0').metrics).toEqual({ address: '0.0.0.0', port: 10249 });
    expect(load('healthzBindAddress: "::"').healthz).toEqual({ address: '::', port: 10256 });
  });

  test('R-85: every key has a fate, and no fate lacks its key', () => {
    expect(Object.keys(FATES).sort()).toEqual(leaves(kubeProxyConfiguration).sort());
  });

  test('R-85: each key that is written is noted, the sections of other modes as not needed', () => {
    const { notes } = loadConfiguration(file('every-key.yaml'));
    const of = (key: string) => notes.find((note) => note.key === key);
    expect(notes.map(({ key }) => key).sort()).toEqual(leaves(kubeProxyConfiguration).sort());
    expect(of('nftables.masqueradeAll')).toMatchObject({ disposition: 'honoured', set: true });
    expect(of('iptables.masqueradeAll')).toMatchObject({
      disposition: 'not needed',
      why: 'not read when mode is nftables',
    });
    expect(of('iptables.localhostNodePorts')).toMatchObject({ disposition: 'honoured', set: true });
    expect(of('enableProfiling')).toMatchObject({ disposition: 'refused', set: true });
    expect(of('winkernel.sourceVip')).toMatchObject({ disposition: 'not needed', set: false });
  });

  test('R-33, R-85: our own feature gate is off unless written, and has a note of its own', () => {
    expect(load('').routerIpMode).toBe(false);
    const gates = 'featureGates: { LoadBalancerIPModeRouter: true, Other: true }';
    expect(load(gates).routerIpMode).toBe(true);
    expect(load('featureGates: { LoadBalancerIPModeRouter: false }').routerIpMode).toBe(false);
    const { notes } = parseConfiguration(`${HEAD}${gates}`, 'test');
    expect(notes.filter(({ key }) => key.startsWith('featureGates'))).toMatchObject([
      { key: 'featureGates.LoadBalancerIPModeRouter', disposition: 'honoured', set: true },
      { key: 'featureGates', disposition: 'not needed', set: true },
    ]);
  });

  test('R-73, R-85: each conntrack key is mapped to the flow table, or said to be not needed', () => {
    const { notes } = loadConfiguration(file('every-key.yaml'));
    const fates = Object.fromEntries(
      notes.flatMap(({ key, disposition, why }) => (key.startsWith('conntrack.') ? [[key, [disposition, why]]] : [])),
    );
    const mapped = Object.keys(fates).filter((key) => fates[key]?.[0] === 'honoured');
    expect(mapped.sort()).toEqual([
      'conntrack.tcpEstablishedTimeout',
      'conntrack.udpStreamTimeout',
      'conntrack.udpTimeout',
    ]);
    const said = ['conntrack.maxPerCore', 'conntrack.min', 'conntrack.tcpBeLiberal', 'conntrack.tcpCloseWaitTimeout'];
    for (const key of said) expect(fates[key], key).toEqual(['not needed', expect.stringMatching(/flow/)]);
    expect(Object.keys(fates).sort()).toEqual([...mapped, ...said].sort());
    const conntrack = 'conntrack: { tcpEstablishedTimeout: 2h, udpTimeout: 7s, udpStreamTimeout: 1m }';
    expect(load(conntrack).timeouts).toMatchObject({ tcpEstablished: 7200, udp: 7, udpStream: 60 });
  });

  test('R-85: in the file of kubeadm only what differs from the defaults is set', () => {
    const { notes } = loadConfiguration(file('kubeadm.yaml'));
    expect(notes.filter(({ set }) => set).map(({ key }) => key)).toEqual([
      'apiVersion',
      'bindAddress',
      'clientConnection.kubeconfig',
      'clusterCIDR',
      'kind',
    ]);
  });
});

describe('configz', () => {
  test.each(['kubeadm.yaml', 'every-key.yaml'])('R-81: shows the whole object in the form that is read: %s', (name) => {
    const { configuration } = loadConfiguration(file(name));
    const shown = configz(configuration)['kubeproxy.config.k8s.io'] as Record<string, unknown>;
    const again = parseConfiguration(JSON.stringify(shown), 'configz', { strict: true });
    expect(again.configuration.effective).toEqual(shown);
    const missing = leaves(kubeProxyConfiguration).filter(
      (path) => path.split('.').reduce<unknown>((value, key) => (value as never)?.[key], shown) === undefined,
    );
    const optional = ['featureGates', 'logging.vmodule', /splitStream/];
    expect(missing.filter((path) => !optional.some((name) => path.match(name)))).toEqual([]);
  });
});
