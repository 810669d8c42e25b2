import { describe, expect, test } from 'vitest';
import { createCompiler } from '../../../src/compile/compiler.ts';
import type { NodeContext } from '../../../src/compile/context.ts';
import { FORWARDING_MODE_ANNOTATION } from '../../../src/compile/forwarding.ts';
import { endpoint, nodeContext, service, slice, TERMINATING } from './objects.ts';
import { compile, flagNames, frontend } from './support.ts';

const OWN = { IPv4: '192.0.2.1', IPv6: '2001:db8:1::1' };
const peers = new Map([['there', { IPv4: '192.0.2.2', IPv6: '2001:db8:1::2' }]]);
const context = (over: Partial<NodeContext> = {}) =>
  nodeContext({ ownAddresses: OWN, peers, mayChooseDirect: true, ...over });

const PORTS = [
  { name: 'http', port: 80, nodePort: 30080 },
  { name: 'dns', port: 53, nodePort: 30053, protocol: 'UDP' },
  { name: 'sig', port: 38412, nodePort: 30412, protocol: 'SCTP' },
];
const SLICE_PORTS = PORTS.map(({ name, protocol = 'TCP' }) => ({ name, port: 8080, protocol }));

function serviceOf(annotation?: unknown, spec: object = {}) {
  const object = service(
    { type: 'LoadBalancer', externalIPs: ['198.51.100.1'], ports: PORTS, ...spec },
    { ingress: [{ ip: '203.0.113.1' }] },
  );
  if (annotation !== undefined)
    Object.assign(object.metadata ?? {}, { annotations: { [FORWARDING_MODE_ANNOTATION]: annotation } });
  return object;
}

const endpoints = [endpoint('10.1.0.1', { on: 'here' }), endpoint('10.1.1.1'), endpoint('10.1.1.2', { on: 'lost' })];
const compiled = (over: Partial<NodeContext>, annotation?: unknown, spec?: object) =>
  compile(serviceOf(annotation, spec), [slice(endpoints, { ports: SLICE_PORTS })], context(over));

/** Ports whose NodePort has DSR. */
const direct = (over: Partial<NodeContext>, annotation?: unknown, spec?: object) =>
  compiled(over, annotation, spec)
    ?.ports.filter((port) => flagNames(frontend(port, '0.0.0.0')?.flags).includes('DSR'))
    .map(({ portName }) => portName);

describe('forwarding modes', () => {
  test.each([
    ['snat', []],
    ['dsr', ['http', 'dns', 'sig']],
    ['hybrid', ['http']],
  ] as const)('%s of the node holds for Services that choose none', (forwardingMode, ports) => {
    expect(direct({ forwardingMode })).toEqual(ports);
    expect(direct({}, forwardingMode)).toEqual(ports);
  });

  test('a Service chooses for itself, either way', () => {
    expect(direct({ forwardingMode: 'dsr' }, 'snat')).toEqual([]);
    expect(direct({ forwardingMode: 'snat' }, 'hybrid')).toEqual(['http']);
  });

  test('a Service does not choose direct return without the word of the administrator', () => {
    const refused = { forwardingMode: 'snat', mayChooseDirect: false } as const;
    for (const mode of ['dsr', 'hybrid']) {
      expect(direct(refused, mode)).toEqual([]);
      expect(compiled(refused, mode)?.problems).toMatchObject([
        {
          field: `metadata.annotations[${FORWARDING_MODE_ANNOTATION}]`,
          message: expect.stringMatching(`^${mode} is not allowed here: the mode of the node is used; .*--watch-nodes`),
        },
      ]);
    }
    expect(compiled(refused, 'snat')?.problems).toEqual([]);
  });

  test.each(['DSR', '', 7, null])('the annotation %j is reported, and the mode of the node used', (value) => {
    expect(direct({ forwardingMode: 'dsr' }, value)).toHaveLength(3);
    const problems = compiled({ forwardingMode: 'dsr' }, value)?.problems ?? [];
    expect(problems.map(({ field }) => field)).toEqual([`metadata.annotations[${FORWARDING_MODE_ANNOTATION}]`]);
    expect(problems[0]?.message).toMatch(/not snat, dsr, hybrid: the mode of the node is used/);
  });

  test('it holds for NodePorts, external and load-balancer addresses, not for cluster IPs', () => {
    const [port] = compiled({ forwardingMode: 'dsr' })?.ports ?? [];
    const flags = (address: string) => flagNames(frontend(port, address)?.flags);
    for (const address of ['0.0.0.0', '198.51.100.1', '203.0.113.1']) expect(flags(address)).toContain('DSR');
    expect(flags('10.96.0.10')).not.toContain('DSR');
  });

  test('with eTP Local there is no backend elsewhere', () => {
    expect(direct({ forwardingMode: 'dsr' }, undefined, { externalTrafficPolicy: 'Local' })).toEqual([]);
  });

  test('without an address of the family that peers know it is source NAT', () => {
    expect(direct({ forwardingMode: 'dsr', ownAddresses: { IPv6: OWN.IPv6 } })).toEqual([]);
  });
});

describe('backends of direct return', () => {
  const rows = (over: Partial<NodeContext> = {}) =>
    compiled({ forwardingMode: 'dsr', ...over })?.ports[0]?.directBackends;

  test('tell their node, and the port that a packet to their address is for', () => {
    expect(rows()).toEqual([
      { address: '10.1.0.1', port: 8080, local: true, node: '192.0.2.1' },
      { address: '10.1.1.1', port: 8080, local: false, node: '192.0.2.2' },
      { address: '10.1.1.2', port: 8080, local: false, node: undefined },
    ]);
    expect(rows({ forwardingMode: 'snat', peers: undefined as never })).toBeUndefined();
  });

  test('those here are known without it too: another node may use it', () => {
    expect(rows({ forwardingMode: 'snat' })?.map(({ address }) => address)).toEqual(['10.1.0.1']);
    const [port] = compile(serviceOf('snat', { externalTrafficPolicy: 'Local' }), [], context())?.ports ?? [];
    expect(port?.directBackends).toBeUndefined();
  });

  test('one row an address: the lowest port', () => {
    const twice = [
      slice([endpoint('10.1.1.1')], { ports: [{ name: 'http', port: 9090, protocol: 'TCP' }] }),
      slice([endpoint('10.1.1.1')]),
    ];
    const [port] = compile(serviceOf('dsr'), twice, context())?.ports ?? [];
    expect(port?.directBackends).toEqual([{ address: '10.1.1.1', port: 8080, local: false, node: '192.0.2.2' }]);
    expect(port?.lists.cluster).toHaveLength(2);
  });

  test('with those that only serve on: packets of their flows still come', () => {
    const draining = slice([endpoint('10.1.0.1', { on: 'here', is: TERMINATING }), endpoint('10.1.1.1')]);
    const [port] = compile(serviceOf('dsr'), [draining], context())?.ports ?? [];
    expect(port?.directBackends?.map(({ address }) => address)).toEqual(['10.1.0.1', '10.1.1.1']);
  });
});

describe('the other nodes', () => {
  function running(annotation?: string, forwardingMode: NodeContext['forwardingMode'] = 'snat') {
    const compiler = createCompiler(context({ forwardingMode }));
    compiler.setSlice('default/web-1', slice(endpoints, { ports: SLICE_PORTS }));
    compiler.setService('default/web', serviceOf(annotation));
    compiler.take();
    return compiler;
  }

  test('that change touch the Services with direct return alone', () => {
    const moved = { peers: new Map([['there', { IPv4: '192.0.2.9' }]]) };
    const changed = (compiler: ReturnType<typeof running>, forwardingMode: NodeContext['forwardingMode']) => {
      compiler.setContext(context({ ...moved, forwardingMode }));
      return compiler.take().changed;
    };
    expect(changed(running(), 'snat')).toEqual([]);
    const [service] = changed(running('dsr'), 'snat');
    expect(service?.ports[0]?.directBackends?.[1]?.node).toBe('192.0.2.9');
  });

  test('and a change of the mode reaches every Service', () => {
    const compiler = running();
    compiler.setContext(context({ forwardingMode: 'dsr' }));
    expect(compiler.take().changed[0]?.ports[0]?.directBackends).toHaveLength(3);
  });
});
