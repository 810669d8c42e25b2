import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Compiler, createCompiler } from '../../../src/compile/compiler.ts';
import type { NodeContext } from '../../../src/compile/context.ts';
import type { CompiledService } from '../../../src/model/compiled.ts';
import * as arbitrary from './arbitrary.ts';
import { nodeContext } from './objects.ts';
import { flagNames } from './support.ts';

type Event =
  | { kind: 'service'; key: string; object: unknown }
  | { kind: 'slice'; key: string; object: unknown }
  | { kind: 'context'; context: NodeContext }
  | { kind: 'take' };

const deleted = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined, freq: 4 });
const serviceKey = fc.constantFrom(...arbitrary.names.map((name) => `default/${name}`));
const sliceKey = fc.constantFrom(...arbitrary.sliceNames.map((name) => `default/${name}`));
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('service' as const),
      key: serviceKey,
      object: deleted(arbitrary.service),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('slice' as const), key: sliceKey, object: deleted(arbitrary.slice) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('context' as const), context: arbitrary.context }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('take' as const) }) },
);

function apply(compiler: Compiler, step: Event): void {
  if (step.kind === 'service') compiler.setService(step.key, step.object);
  if (step.kind === 'slice') compiler.setSlice(step.key, step.object);
  if (step.kind === 'context') compiler.setContext(step.context);
}

/** What a listener who applies every `take` ends up with. */
function collect(rows: Map<string, CompiledService>, compiler: Compiler): void {
  const { changed, removed } = compiler.take();
  for (const key of removed) expect(rows.delete(key)).toBe(true);
  for (const compiled of changed) rows.set(`${compiled.namespace}/${compiled.name}`, compiled);
}

const sorted = (rows: Map<string, CompiledService>) => [...rows].sort(([a], [b]) => (a < b ? -1 : 1));

test('what is compiled event by event equals what is compiled from scratch, in any order', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), fc.infiniteStream(fc.nat()), (events, random) => {
      const compiler = createCompiler(nodeContext());
      const rows = new Map<string, CompiledService>();
      const last = new Map<string, Event>();
      let context = nodeContext();
      for (const step of events) {
        apply(compiler, step);
        if (step.kind === 'take') collect(rows, compiler);
        else if (step.kind === 'context') context = step.context;
        else last.set(`${step.kind} ${step.key}`, step);
      }
      collect(rows, compiler);

      const scratch = createCompiler(context);
      const shuffled = [...last.values()]
        .map((step) => ({ step, at: random.next().value as number }))
        .sort((a, b) => a.at - b.at);
      for (const { step } of shuffled) apply(scratch, step);
      const expected = new Map<string, CompiledService>();
      collect(expected, scratch);
      expect(sorted(rows)).toEqual(sorted(expected));
    }),
    { numRuns: 400 },
  );
});

const world = fc.record({
  services: fc.tuple(arbitrary.service, arbitrary.service, arbitrary.service),
  slices: fc.tuple(arbitrary.slice, arbitrary.slice, arbitrary.slice),
  context: arbitrary.context,
});

function compileWorld(
  services: readonly unknown[],
  slices: readonly unknown[],
  context: NodeContext,
): CompiledService[] {
  const compiler = createCompiler(context);
  services.forEach((object, i) => {
    compiler.setService(`default/${arbitrary.names[i]}`, object);
  });
  slices.forEach((object, i) => {
    compiler.setSlice(`default/${arbitrary.sliceNames[i]}`, object);
  });
  return compiler.take().changed;
}

/** What holds of every row, whatever the objects say. */
function checkRows(rows: readonly CompiledService[]): void {
  const dialled = rows.flatMap((service) =>
    service.ports.flatMap((port) => port.frontends.map((f) => `${f.address} ${f.port} ${port.protocol}`)),
  );
  expect(new Set(dialled).size, 'R-95: a frontend leads to one ServicePort').toBe(dialled.length);
  for (const port of rows.flatMap((service) => service.ports)) {
    const { lists, serving } = port;
    const text = serving.map((b) => `${b.address} ${b.port}`);
    expect(new Set(text).size, 'R-10: no backend twice').toBe(text.length);
    const inOrder = [...serving].sort((a, b) =>
      a.address === b.address ? a.port - b.port : a.address < b.address ? -1 : 1,
    );
    expect(serving, 'backends are sorted').toEqual(inOrder);
    for (const list of [lists.cluster, lists.local]) {
      expect(list, 'R-66: a list is a part of serving, in its order').toEqual(serving.filter((b) => list.includes(b)));
      const terminating = new Set(list.map((b) => b.terminating));
      if (list.length === 0) expect(terminating.size).toBe(0);
    }
    expect(
      lists.local.every((b) => b.local),
      'R-20: the local list is local',
    ).toBe(true);
    for (const row of port.frontends) {
      const names = flagNames(row.flags);
      if (names.includes('INTERNAL_DROP')) expect(lists[row.internal], 'R-29').toEqual([]);
      if (names.includes('EXTERNAL_DROP')) expect(lists[row.external], 'R-30').toEqual([]);
      expect(names.some((name) => ['CLUSTER_IP', 'NODE_PORT', 'EXTERNAL_IP', 'LOAD_BALANCER'].includes(name))).toBe(
        true,
      );
      expect(row.address.includes(':')).toBe(port.family === 'IPv6');
    }
  }
}

test('R-18: whatever the objects say, lists are parts of serving, sorted, without duplicates', () => {
  fc.assert(
    fc.property(world, ({ services, slices, context }) => {
      checkRows(compileWorld(services, slices, context));
    }),
    { numRuns: 300 },
  );
});

test('R-28: the cluster list is empty only when nothing is usable anywhere', () => {
  fc.assert(
    fc.property(world, ({ services, slices, context }) => {
      for (const port of compileWorld(services, slices, context).flatMap((s) => s.ports)) {
        const uses = port.frontends.filter((f) => f.internal === 'cluster' || f.external === 'cluster');
        for (const row of uses)
          if (row.internal === 'cluster') expect(flagNames(row.flags)).not.toContain('INTERNAL_DROP');
        if (uses.length > 0 && port.lists.cluster.length === 0) expect(port.lists.local).toEqual([]);
      }
    }),
    { numRuns: 300 },
  );
});

test('hostile objects never throw, and never change what other Services get', () => {
  const hostile = fc.record({
    service: arbitrary.hostile(arbitrary.service),
    slice: arbitrary.hostile(arbitrary.slice),
  });
  fc.assert(
    fc.property(hostile, ({ service, slice }) => {
      const good = {
        spec: { clusterIP: '10.96.9.9', ports: [{ name: '', port: 9 }] },
        metadata: { creationTimestamp: '2020-01-01T00:00:00Z' },
      };
      const backends = {
        metadata: { labels: { 'kubernetes.io/service-name': 'api' } },
        addressType: 'IPv4',
        ports: [{ name: '', port: 9 }],
        endpoints: [{ addresses: ['10.1.9.9'] }],
      };
      const own = { ...(slice as object), metadata: { labels: { 'kubernetes.io/service-name': 'web' } } };
      const rows = compileWorld([service, good], [own, backends, slice], nodeContext());
      checkRows(rows);
      const api = rows.find((row) => row.name === 'api');
      expect(api?.ports[0]?.frontends[0]?.address).toBe('10.96.9.9');
      expect(api?.ports[0]?.serving.some((b) => b.address === '10.1.9.9')).toBe(true);
      for (const row of rows) expect(row.problems.length).toBeLessThan(40);
    }),
    { numRuns: 300 },
  );
});
