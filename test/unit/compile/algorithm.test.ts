/** What annotations say of the choice among backends. */
import { describe, expect, it } from 'vitest';
import { readAlgorithm, readWeights } from '../../../src/compile/algorithm.ts';
import { createProblems } from '../../../src/compile/problems.ts';
import { ALGORITHM_NAMES, ALGORITHMS } from '../../../src/model/algorithm.ts';

function collect<T>(run: (problems: ReturnType<typeof createProblems>) => T) {
  const problems = createProblems('Service', 'shop', 'web');
  return { value: run(problems), problems: problems.list().map(({ field, message }) => `${field} ${message}`) };
}
const algorithm = (text: unknown) => collect((problems) => readAlgorithm({ 'sluice.io/algorithm': text }, problems));
const weights = (annotations: Record<string, unknown>) => collect((problems) => readWeights(annotations, problems));

describe('sluice.io/algorithm', () => {
  it.each(ALGORITHMS)('%s is carried out', (name) => expect(algorithm(name)).toEqual({ value: name, problems: [] }));

  it('a name of IPVS that is not done here is named, and the nearest is used', () => {
    const { value, problems } = algorithm('wlc');
    expect(value).toBe('wrr');
    expect(problems.join()).toContain('wrr is used');
    for (const name of ALGORITHM_NAMES) expect(algorithm(name).value).toBeDefined();
  });

  it.each(['', 'RR', 'toString', 5, null, 'rr '])('%j is named, and the node decides', (text) => {
    const { value, problems } = algorithm(text);
    expect(value).toBeUndefined();
    expect(problems).toHaveLength(1);
  });
});

describe('weights', () => {
  it('are for the slice or by address', () => {
    const { value, problems } = weights({ 'sluice.io/weight': '2, 10.1.1.5=0 ,fd00::5=7' });
    expect(problems).toEqual([]);
    expect(value.all).toBe(2);
    expect([...value.byAddress]).toEqual([
      ['10.1.1.5', 0],
      ['fd00::5', 7],
    ]);
  });

  it("Cilium's counts where ours is missing", () => {
    expect(weights({ 'service.cilium.io/weight': '9' }).value.all).toBe(9);
    expect(weights({ 'service.cilium.io/weight': '9', 'sluice.io/weight': '3' }).value.all).toBe(3);
    expect(weights({}).value.all).toBe(1);
  });

  it.each(['-1', '65536', '1.5', 'x=3', '10.1.1.5=', '10.1.1.5=1=2', '', 4])('%j is named, and counts 1', (text) => {
    const { value, problems } = weights({ 'sluice.io/weight': text });
    expect(problems).toHaveLength(1);
    expect(value).toEqual({ all: 1, byAddress: new Map() });
  });
});
