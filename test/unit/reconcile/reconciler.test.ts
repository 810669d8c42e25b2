/** A sync as a whole: what fails for one Service or device is theirs alone. */
import { expect, it } from 'vitest';
import { createCompiler } from '../../../src/compile/compiler.ts';
import { loadConfiguration } from '../../../src/config/load.ts';
import { NO_PEERS } from '../../../src/host/peers.ts';
import { DEFAULT_BUDGETS } from '../../../src/model/budgets.ts';
import type { Problem } from '../../../src/model/compiled.ts';
import { DEFAULT_FORWARDING } from '../../../src/model/forwarding.ts';
import type { DataPath } from '../../../src/reconcile/datapath.ts';
import { createReconciler } from '../../../src/reconcile/reconciler.ts';
import { createReporter } from '../../../src/reconcile/report.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { createMemoryMaps } from '../../support/memory-map.ts';
import { endpoint, service, slice } from '../compile/objects.ts';
import { address, device, host, loopback } from '../host/example.ts';

const { configuration } = loadConfiguration(undefined);
const eth0 = device(2, 'eth0', { addresses: [address('172.30.0.11')] });
const veth = device(3, 'veth0', { kind: 'veth' });

function setUp() {
  const maps = createMemoryMaps();
  const compiler = createCompiler({ nodeName: 'here', detectLocal: { IPv4: false, IPv6: false }, families: ['IPv4'] });
  const told: Problem[] = [];
  const broken = new Set<string>();
  let tried = 0;
  let hookError: Error | undefined;
  const parts: Partial<DataPath> = {
    attach(devices) {
      tried++;
      if (hookError !== undefined) throw hookError;
      return devices
        .filter(({ name }) => broken.has(name))
        .map(({ name }) => ({ device: name, error: new Error(`attach to ${name}`) }));
    },
    attachXdp: () => [],
  };
  const dataPath = new Proxy(parts, { get: (target, name) => Reflect.get(target, name) ?? (() => {}) }) as DataPath;
  const report = createReporter({ tell: (problem) => told.push(problem), quiet: () => {} });
  const view = { nodeName: 'here', configuration, podDevices: 'veth*', forwarding: DEFAULT_FORWARDING, xdp: 'off' };
  const reconciler = createReconciler(
    {
      dataPath,
      tables: createTables(maps, { budgets: DEFAULT_BUDGETS }),
      compiler,
      report,
      view: view as never,
      inform: () => {},
    },
    {
      host: host([loopback, eth0, veth], 'eth0'),
      node: undefined,
      peers: NO_PEERS,
      serviceCidrs: [],
      socketOptOuts: [],
    },
  );
  for (const n of [1, 2, 3]) {
    compiler.setService(`default/s${n}`, service({ clusterIP: `10.96.0.${n}` }));
    compiler.setSlice(`default/s${n}-1`, slice([endpoint(`10.1.0.${n}`)], { of: `s${n}` }));
  }
  return {
    maps,
    compiler,
    reconciler,
    report,
    told,
    broken,
    tries: () => tried,
    breakHook: (error: Error) => {
      hookError = error;
    },
  };
}

it('a veth that cannot be attached to is told once, tried again, and leaves the node sound', async () => {
  const { reconciler, broken, told, tries } = setUp();
  broken.add('veth0');
  expect(await reconciler.sync(false)).toMatchObject({ ok: false, sound: true, failedDevices: 1 });
  for (let i = 0; i < 50; i++) await reconciler.sync(false);
  expect(tries()).toBeLessThan(5);
  await reconciler.sync(true);
  const about = told.filter(({ field }) => field === 'device veth0');
  expect(about).toMatchObject([{ kind: 'Node', name: 'here', message: 'attach to veth0' }]);
  broken.clear();
  expect(await reconciler.sync(true)).toMatchObject({ ok: true, sound: true, failedDevices: 0 });
});

it('without any node device, or without the socket hook, it is not sound', async () => {
  const { reconciler, broken, breakHook, report } = setUp();
  broken.add('eth0');
  expect(await reconciler.sync(false)).toMatchObject({ ok: false, sound: false });
  broken.clear();
  expect(await reconciler.sync(true)).toMatchObject({ ok: true, sound: true });
  breakHook(new Error('attach connect4'));
  expect(await reconciler.sync(true)).toMatchObject({ ok: false, sound: false });
  expect(report.list()).toMatchObject([{ field: 'socket hook', message: 'attach connect4' }]);
});

it('a Service that cannot be written leaves it sound; most of them do not', async () => {
  const { maps, reconciler } = setUp();
  let refusedRows = 1;
  maps.frontends.refuse = (key) => [1, 2, 3].slice(0, refusedRows).includes(key[15] ?? 0);
  expect(await reconciler.sync(false)).toMatchObject({ ok: false, sound: true, applied: { failed: [{ name: 's1' }] } });
  refusedRows = 0;
  expect(await reconciler.sync(false)).toMatchObject({ ok: true, sound: true });
});

it('also the first sync is not sound when next to nothing could be written', async () => {
  const { maps, reconciler } = setUp();
  maps.servicePorts.refuse = () => true;
  expect(await reconciler.sync(false)).toMatchObject({ ok: false, sound: false });
});

it('what comes while a sync is under way is in the next one', async () => {
  const { maps, compiler, reconciler } = setUp();
  for (let n = 1; n <= 2000; n++)
    compiler.setService(`many/s${n}`, service({ clusterIP: `10.97.${n >> 8}.${n & 255}` }));
  const first = reconciler.sync(false);
  compiler.setService('default/s1', undefined);
  compiler.setService('default/late', service({ clusterIP: '10.98.0.1' }));
  await first;
  await reconciler.sync(false);
  expect(maps.frontends.rows.size).toBe(2000 + 3);
});

it('a first sync that fails after the tables were written takes nothing back when it is tried again', async () => {
  const { maps, reconciler, breakHook } = setUp();
  breakHook(new Error('attach connect4: BPF_LINK_CREATE: EBUSY'));
  await expect(reconciler.sync(false)).rejects.toThrow('EBUSY');
  const written = maps.frontends.rows.size;
  expect(written).toBeGreaterThan(0);
  await expect(reconciler.sync(false)).rejects.toThrow('EBUSY');
  expect(maps.frontends.rows.size).toBe(written);
});

it('rows of the node that could not be written are tried again, and tell so', async () => {
  const { maps, reconciler, report } = setUp();
  maps.devices.fault = () => 12;
  expect(await reconciler.sync(false)).toMatchObject({ ok: false, sound: false, failedRows: 1 });
  expect(report.list()).toMatchObject([{ kind: 'Node', field: 'rows of the node' }]);
  maps.devices.fault = undefined;
  expect(await reconciler.sync(false)).toMatchObject({ ok: true, sound: true, failedRows: 0 });
  expect(report.list()).toEqual([]);
});
