import { describe, expect, it } from 'vitest';
import { possibleCpus } from '../../../src/bpf/array.ts';
import { nearestRate } from '../../../src/bpf/jiffies.ts';
import { checkBpffs, checkPrivileges, effectiveCapabilities } from '../../../src/bpf/preconditions.ts';

describe('CPUs', () => {
  it.each([
    ['0\n', 1],
    ['0-1\n', 2],
    ['0-3,8-11\n', 12],
    ['0,2\n', 3],
  ])('%j are numbered up to %d', (text, count) => {
    expect(possibleCpus(text)).toBe(count);
  });
});

describe('the jiffies per second', () => {
  it.each([100, 250, 300, 1000])('%d is found however the reading falls', (rate) => {
    for (const seconds of [0.1, 0.117, 0.5]) {
      for (const error of [-1, 0, 1]) expect(nearestRate(Math.round(rate * seconds) + error, seconds)).toBe(rate);
    }
  });

  it('is not guessed when the count is near none', () => {
    expect([nearestRate(60, 0.1), nearestRate(0, 0.1), nearestRate(180, 1)]).toEqual([undefined, undefined, undefined]);
  });
});

describe('privileges', () => {
  const bits = (...numbers: number[]) => numbers.reduce((mask, n) => mask | (1n << BigInt(n)), 0n);
  it('are read from the status of the process', () => {
    expect(effectiveCapabilities('Name:\tnode\nCapPrm:\t0000000000000001\nCapEff:\t000001ffffffffff\n')).toBe(
      0x1ffffffffffn,
    );
  });

  it('that suffice are accepted', () => {
    expect(() => checkPrivileges(bits(12, 38, 39))).not.toThrow();
    expect(() => checkPrivileges(bits(12, 21))).not.toThrow();
  });

  it('that are missing are named', () => {
    expect(() => checkPrivileges(0n)).toThrow(
      expect.objectContaining({
        code: 'PERMISSION',
        message: expect.stringContaining('CAP_BPF and CAP_NET_ADMIN and CAP_PERFMON missing'),
      }),
    );
    expect(() => checkPrivileges(bits(38, 39))).toThrow(/: CAP_NET_ADMIN missing/);
  });
});

describe('bpffs', () => {
  it('that is not mounted is asked for', () => {
    expect(() => checkBpffs('/tmp/no/such/directory')).toThrow(
      expect.objectContaining({
        code: 'BPFFS_MISSING',
        message: expect.stringContaining('mount -t bpf bpf /sys/fs/bpf'),
      }),
    );
  });
});
