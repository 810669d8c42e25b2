/** The host's half of `make test-kernels`: what it takes for a success, and what it says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { chooseKernels, KERNELS } from '../../../tools/kernels/kernels.ts';
import { collectModules } from '../../../tools/kernels/modules.ts';
import { printKernel } from '../../../tools/kernels/print.ts';
import type { GuestLine } from '../../kernels/protocol.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

function print(lines: readonly GuestLine[], failure?: string): { passed: boolean; text: string } {
  let text = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((part) => {
    text += part;
    return true;
  });
  const passed = printKernel({ name: '5.10', release: '5.10.0', seconds: 61, lines, failure }, () => [
    'the last words',
  ]);
  return { passed, text };
}

const check = (ok: boolean, detail: string): GuestLine => ({ kind: 'check', name: 'it loads', ok, ms: 1500, detail });

describe('the report of a kernel', () => {
  it('is a line a check and a feature', () => {
    const feature: GuestLine = { kind: 'feature', name: 'tcx', present: false, effect: 'clsact instead' };
    const { passed, text } = print([check(true, '2 programs'), feature]);
    expect(passed).toBe(true);
    expect(text).toMatch(
      /Linux 5\.10\.0 \(5\.10\), 61 s\n {2}ok {3}it loads +1\.5 s {2}2 programs\n {2}lacks tcx +clsact instead\n$/,
    );
  });

  it('fails with one check, shows every line of its reason and the end of the console', () => {
    const { passed, text } = print([check(true, ''), check(false, 'refused\nat instruction 7')]);
    expect(passed).toBe(false);
    expect(text).toContain('FAIL it loads');
    expect(text).toContain('         at instruction 7\n');
    expect(text).toContain('| the last words\n');
  });

  it('fails when the guest did not come to its end', () => {
    const { passed, text } = print([check(true, '')], 'it did not end within 60 s');
    expect(passed).toBe(false);
    expect(text).toContain('FAIL the guest: it did not end within 60 s');
  });
});

describe('the kernels', () => {
  it('are chosen by name, all without one', () => {
    expect(chooseKernels([])).toEqual(KERNELS);
    expect(chooseKernels(['6.1']).map(({ name }) => name)).toEqual(['6.1']);
    expect(() => chooseKernels(['4.19'])).toThrow('choose kernel 4.19: there are 5.10, 6.1');
  });
});

describe('modules', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-modules-'));
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('come after those that they need; what is built in is left out', async () => {
    const write = (name: string, depends: string) =>
      writeFileSync(join(directory, `${name}.ko`), `ELF\0license=GPL\0depends=${depends}\0`);
    write('bridge', 'stp,llc');
    write('stp', 'llc');
    write('llc', '');
    write('cls_bpf', '');
    write('unwanted', '');
    const modules = await collectModules(directory);
    expect(modules.map(({ name }) => name)).toEqual(['llc', 'stp', 'bridge', 'cls_bpf']);
  });
});
