import { describe, expect, it } from 'vitest';
import { maps } from '../../../maps-schema/gen/codecs.ts';
import { causeErrno, EINVAL, ENOMEM, EPERM, errnoName, kernelError } from '../../../src/bpf/errno.ts';
import { describeFeature, hasFeature } from '../../../src/bpf/features.ts';
import { failedPrograms, lastLines } from '../../../src/bpf/libbpf-log.ts';
import { shapeMismatch } from '../../../src/bpf/open.ts';
import { writeError } from '../../../src/bpf/write-error.ts';

describe('errors of the kernel', () => {
  it('carry the name of the number and the code of the caller', () => {
    const error = kernelError('MAP_FAILED', 'read map flows', 'BPF_MAP_LOOKUP_BATCH', EINVAL);
    expect(error).toMatchObject({ code: 'MAP_FAILED', message: 'read map flows: BPF_MAP_LOOKUP_BATCH: EINVAL' });
    expect(causeErrno(error)).toBe(EINVAL);
  });

  it('name the privileges where those are missing', () => {
    const error = kernelError('MAP_FAILED', 'read map flows', 'BPF_MAP_LOOKUP_BATCH', EPERM);
    expect(error.code).toBe('PERMISSION');
    expect(error.message).toContain('CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON');
  });

  it('have a name even where node knows none', () => {
    expect([errnoName(524), errnoName(4007)]).toEqual(['ENOTSUPP', 'errno 4007']);
  });

  it('of a full map say whether rows or memory ran out', () => {
    expect(writeError(maps.frontends, 'BPF_MAP_UPDATE_ELEM', 7)).toMatchObject({
      code: 'MAP_FULL',
      message: expect.stringContaining('all 262144 rows'),
    });
    expect(writeError(maps.frontends, 'BPF_MAP_UPDATE_ELEM', ENOMEM)).toMatchObject({
      code: 'MAP_FULL',
      message: expect.stringContaining('no memory'),
    });
    expect(writeError(maps.frontends, 'BPF_MAP_UPDATE_ELEM', EINVAL).code).toBe('MAP_FAILED');
  });
});

describe('the log of the verifier', () => {
  const log = [
    '0: R1=ctx() R10=fp0',
    '; return slot->backend_id;',
    "7: R0 invalid mem access 'map_value_or_null'",
    'processed 7 insns (limit 1000000)',
    '',
  ];

  it('is cut to its last lines, statistics left out', () => {
    expect(lastLines(log.join('\n'), 2)).toEqual(log.slice(1, 3));
    expect(lastLines(log.join('\n'))).toEqual(log.slice(0, 3));
    expect(lastLines('')).toEqual([]);
  });

  it('is found by the program that libbpf names', () => {
    const warnings = [
      "libbpf: prog 'getpeername4': BPF program load failed: Invalid argument",
      "libbpf: failed to load object 'sock'",
    ];
    expect(failedPrograms(warnings)).toEqual(['getpeername4']);
  });
});

describe('a map of another shape', () => {
  const same = { type: 1, keySize: 20, valueSize: 28 };
  it.each([
    [{}, undefined],
    [{ type: 9 }, 'type 9, not 1 (HASH)'],
    [{ keySize: 16 }, 'key size 16, not 20'],
    [{ valueSize: 32 }, 'value size 32, not 28'],
  ])('%j: %s', (change, message) => {
    expect(shapeMismatch(maps.frontends, { ...same, ...change })).toBe(message);
  });
});

describe('a feature', () => {
  const missing = { name: 'tcx', present: false, kernel: '6.6', effect: 'clsact is used' } as const;
  it('that is missing names the kernel it needs and what is different', () => {
    expect(describeFeature(missing)).toBe('tcx: missing, needs kernel 6.6; clsact is used');
    expect(describeFeature({ ...missing, present: true })).toBe('tcx: present');
    expect([
      hasFeature([missing], 'tcx'),
      hasFeature([{ ...missing, present: true }], 'tcx'),
      hasFeature([], 'tcx'),
    ]).toEqual([false, true, false]);
  });
});
