import { describe, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  SERVICE_ADDRESS_CLUSTER_IP,
  SERVICE_ADDRESS_PING,
} from '../../../maps-schema/gen/codecs.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { backend, frontendOf, readAddresses, readFrontends, service, wanted } from './fixtures.ts';

const A = backend('10.1.0.1');
const B = backend('10.1.0.2');
const CLUSTER_IP = SERVICE_ADDRESS_CLUSTER_IP;
const PING = SERVICE_ADDRESS_PING;
const balancer = { flags: FRONTEND_LOAD_BALANCER };

function setUp() {
  const log: string[] = [];
  const maps = createMemoryMaps({
    entries: 64,
    observe: (operation, map) => {
      if (map === 'frontends' || map === 'service_addresses') log.push(`${operation} ${map}`);
    },
  });
  const tables = createTables(maps);
  tables.apply({ changed: [], removed: [] }, { complete: true });
  const apply = (changed: ReturnType<typeof service>[], removed: string[] = []) => {
    log.length = 0;
    return tables.apply({ changed, removed });
  };
  const rows = () => Object.fromEntries(readAddresses(maps));
  return { maps, tables, apply, rows, log };
}

describe('service addresses', () => {
  it('R-32 are those of all frontends but NodePorts, once for all ports and protocols', () => {
    const { apply, rows } = setUp();
    const wildcard = { flags: FRONTEND_NODE_PORT };
    apply([
      service('dns', [
        {
          portName: 'udp',
          protocol: 'UDP',
          frontends: [frontendOf('10.96.0.10', 53), frontendOf('0.0.0.0', 30053, wildcard)],
          cluster: [A],
        },
        { portName: 'tcp', frontends: [frontendOf('10.96.0.10', 53)], cluster: [A] },
        {
          family: 'IPv6',
          frontends: [frontendOf('2001:db8::a', 53, balancer), frontendOf('::', 30053, wildcard)],
          cluster: [backend('fd00::1')],
        },
      ]),
    ]);
    expect(rows()).toEqual({ '10.96.0.10': CLUSTER_IP | PING, '2001:db8::a': PING });
  });

  it('answer pings while some ServicePort there has a backend, in either list', () => {
    const { apply, rows } = setUp();
    const web = (cluster = [A], local = [A]) =>
      service('web', [{ frontends: [frontendOf('10.96.0.1')], cluster, local }]);
    const other = (cluster = [B]) => service('web2', [{ frontends: [frontendOf('10.96.0.1', 81)], cluster }]);
    apply([web([], [])]);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP });
    apply([web([], [A])]);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP | PING });
    apply([web([A], [])]);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP | PING });
    apply([web([], []), other()]);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP | PING });
    apply([other([])]);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP });
  });

  it('answer none for an external IP, unless it is a load balancer address as well (R-97)', () => {
    const { apply, rows } = setUp();
    const web = (flags: number) =>
      service('web', [{ frontends: [frontendOf('198.51.100.7', 80, { flags })], cluster: [A] }]);
    apply([web(FRONTEND_EXTERNAL_IP)]);
    expect(rows()).toEqual({ '198.51.100.7': 0 });
    apply([web(FRONTEND_EXTERNAL_IP | FRONTEND_LOAD_BALANCER)]);
    expect(rows()).toEqual({ '198.51.100.7': PING });
    apply([web(FRONTEND_EXTERNAL_IP)]);
    expect(rows()).toEqual({ '198.51.100.7': 0 });
  });

  it('are shared: the last Service that has one takes it away', () => {
    const { apply, rows } = setUp();
    const one = service('one', [{ frontends: [frontendOf('192.0.2.7', 80, balancer)], cluster: [A] }]);
    const two = service('two', [
      { frontends: [frontendOf('192.0.2.7', 81, { flags: FRONTEND_CLUSTER_IP })], cluster: [] },
    ]);
    apply([one, two]);
    expect(rows()).toEqual({ '192.0.2.7': CLUSTER_IP | PING });
    apply([], ['default/two']);
    expect(rows()).toEqual({ '192.0.2.7': PING });
    apply([], ['default/one']);
    expect(rows()).toEqual({});
  });

  it('R-95 are not marked by a frontend that another Service has', () => {
    const { apply, rows } = setUp();
    const old = service('old', [{ frontends: [frontendOf('192.0.2.7', 80, balancer)], cluster: [] }], 1);
    const young = service('young', [{ frontends: [frontendOf('192.0.2.7')], cluster: [A] }], 2);
    apply([young]);
    expect(rows()).toEqual({ '192.0.2.7': CLUSTER_IP | PING });
    apply([old]);
    expect(rows()).toEqual({ '192.0.2.7': 0 });
    apply([], ['default/old']);
    expect(rows()).toEqual({ '192.0.2.7': CLUSTER_IP | PING });
  });

  it('R-95 go with a frontend that its new owner could not write', () => {
    const { apply, rows, log } = setUp();
    const young = service('young', [{ frontends: [frontendOf('192.0.2.7')], cluster: [A] }], 2);
    const unwritable = backend('10.1.1.1', 70000);
    const old = service('old', [{ frontends: [frontendOf('192.0.2.7')], cluster: [unwritable] }], 1);
    apply([young]);
    expect(apply([old]).failed).toMatchObject([{ name: 'old' }]);
    expect(log).toEqual(['delete service_addresses', 'delete frontends']);
    expect(rows()).toEqual({});
  });

  it('R-32 come after their frontends and go before them', () => {
    const { apply, log } = setUp();
    const web = service('web', [{ frontends: [frontendOf('10.96.0.1'), frontendOf('10.96.0.1', 81)], cluster: [A] }]);
    apply([web]);
    expect(log).toEqual(['update frontends', 'update frontends', 'update service_addresses']);
    apply([service('web', [{ frontends: [frontendOf('10.96.0.1', 80, balancer)], cluster: [A] }])]);
    expect(log).toEqual(['update frontends', 'update service_addresses', 'delete frontends']);
    apply([], ['default/web']);
    expect(log).toEqual(['delete service_addresses', 'delete frontends']);
  });

  it('are not written when an endpoint changes', () => {
    const { apply, log } = setUp();
    const web = (...cluster: (typeof A)[]) => service('web', [{ frontends: [frontendOf('10.96.0.1')], cluster }]);
    apply([web(A)]);
    apply([web(A, B)]);
    expect(log).toEqual(['update frontends']);
  });

  it('wait for frontends that could not be written, and keep what those in force say', () => {
    const { maps, apply, rows } = setUp();
    const web = (cluster = [A]) => service('web', [{ frontends: [frontendOf('10.96.0.1')], cluster }]);
    maps.frontends.refuse = () => true;
    expect(apply([web()]).failed).toHaveLength(1);
    expect(rows()).toEqual({});
    maps.frontends.refuse = undefined;
    apply([]);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP | PING });
    maps.frontends.refuse = () => true;
    expect(apply([web([])]).failed).toHaveLength(1);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP | PING });
    maps.frontends.refuse = undefined;
    apply([]);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP });
  });

  it('that find no room are reported with their Service, and tried again', () => {
    const { maps, apply, rows, tables } = setUp();
    maps.serviceAddresses.limit = 1;
    const one = service('one', [{ frontends: [frontendOf('10.96.0.1')], cluster: [A] }]);
    const two = service('two', [{ frontends: [frontendOf('10.96.0.2')], cluster: [B] }]);
    const { failed } = apply([one, two]);
    expect(failed).toMatchObject([{ name: 'two', message: expect.stringMatching(/^update map service_addresses: /) }]);
    expect(readFrontends(maps)).toEqual(wanted([one, two]));
    expect(apply([], ['default/one']).failed).toEqual([]);
    expect(rows()).toEqual({ '10.96.0.2': CLUSTER_IP | PING });
    expect(tables.compare()).toEqual([]);
  });

  it('that cannot be changed when a Service leaves them are tried again', () => {
    const { maps, apply, rows } = setUp();
    const one = service('one', [{ frontends: [frontendOf('10.96.0.1')], cluster: [A] }]);
    const two = service('two', [{ frontends: [frontendOf('10.96.0.1', 81, balancer)], cluster: [B] }]);
    apply([one, two]);
    maps.serviceAddresses.refuse = () => true;
    apply([], ['default/one']);
    expect(rows()).toEqual({ '10.96.0.1': CLUSTER_IP | PING });
    maps.serviceAddresses.refuse = undefined;
    apply([]);
    expect(rows()).toEqual({ '10.96.0.1': PING });
  });

  it('count among the rows in use', () => {
    const { tables, apply } = setUp();
    apply([service('web', [{ frontends: [frontendOf('10.96.0.1'), frontendOf('10.96.0.2')], cluster: [A] }])]);
    expect(tables.occupancy()).toMatchObject({ serviceAddresses: 2 });
  });
});
