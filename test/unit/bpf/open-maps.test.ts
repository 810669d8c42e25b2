import { describe, expect, expectTypeOf, it } from 'vitest';
import { type MapName, maps } from '../../../maps-schema/gen/codecs.ts';
import type { KernelArray, KernelFlowTable, KernelHash, KernelPerCpuArray } from '../../../src/bpf/kernel-map.ts';
import { type ArrayName, type Maps, openMaps, type PerCpuArrayName } from '../../../src/bpf/open-maps.ts';

const arrays: readonly ArrayName[] = [
  'agentProcess',
  'knownAddresses',
  'backendSlots',
  'backendStates',
  'control',
  'report',
  'reservedPorts',
  'history',
];
const perCpuArrays: readonly PerCpuArrayName[] = ['counters', 'tableEvents'];

describe('the types of the handles', () => {
  it('are those of the schema', () => {
    const named = (types: string[]) =>
      (Object.keys(maps) as MapName[]).filter((name) => types.includes(maps[name].type)).sort();
    expect(named(['ARRAY'])).toEqual(
      [...arrays, 'choiceTurns', 'flows', 'flowBuckets', 'halfOpenFlows', 'halfOpenBuckets'].sort(),
    );
    expect(named(['PERCPU_ARRAY'])).toEqual([...perCpuArrays].sort());
    expectTypeOf<Maps['flows']>().toEqualTypeOf<KernelFlowTable>();
    expectTypeOf<Maps['halfOpenFlows']>().toEqualTypeOf<KernelFlowTable>();
    expectTypeOf<Maps['fragments']>().toEqualTypeOf<KernelHash>();
    expectTypeOf<Maps['control']>().toEqualTypeOf<KernelArray>();
    expectTypeOf<Maps['counters']>().toEqualTypeOf<KernelPerCpuArray>();
    for (const name of arrays) expect(maps[name].mmapable).toBe(true);
  });

  it('open nothing before they are used', () => {
    const handles = openMaps('/nowhere');
    expect(() => handles.flows).toThrow(/\/nowhere\/maps\/flows|map flows/);
    expect(() => handles.close()).not.toThrow();
  });
});
