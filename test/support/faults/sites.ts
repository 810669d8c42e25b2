/** Stands at the seam: knows from where calls come, and makes those from one place fail. */
import { constants } from 'node:os';
import { seam } from '../../../src/model/seam.ts';

export const ERRNOS = ['ENOMEM', 'ENOSPC', 'E2BIG', 'EPERM', 'EBUSY', 'EINTR', 'EEXIST', 'ENOENT'] as const;
export type Errno = (typeof ERRNOS)[number];

/** With these the kernel says that there is nothing more, or nothing there: as an answer it is no fault. */
const ANSWERS = [
  'BPF_MAP_LOOKUP_BATCH ENOENT',
  'BPF_MAP_GET_NEXT_KEY ENOENT',
  'BPF_MAP_LOOKUP_ELEM ENOENT',
  'BPF_MAP_DELETE_ELEM ENOENT',
  'BPF_MAP_DELETE_BATCH ENOENT',
  // Nothing is pinned there: a first start.
  'BPF_OBJ_GET ENOENT',
  'bpf_tc_hook_create EEXIST',
];

/** `BPF_OBJ_GET < openMap < openHash`: the call and the functions of src that led to it. */
function siteOf(call: string): string {
  const frames = (new Error().stack ?? '').split('\n').filter((line) => /\/src\//.test(line));
  const names = frames
    .map((line) => / at (?:async )?(?:Object\.|new )?([\w.#$<>]+) \(/.exec(line)?.[1] ?? '')
    .filter(Boolean);
  const own = names.filter((name) => !['bpf', 'siteOf', 'withFaults'].includes(name));
  return [call, ...own.slice(0, 3)].join(' < ');
}

/** @returns the places from which calls come while `run` runs, in their order. */
export async function sitesOf(run: () => unknown): Promise<string[]> {
  const sites = new Set<string>();
  Error.stackTraceLimit = 30;
  seam.fault = (call) => {
    sites.add(siteOf(call));
    return 0;
  };
  try {
    await run();
  } finally {
    seam.fault = undefined;
  }
  return [...sites];
}

/** Is it a fault, when this call fails so? */
export const isFault = (site: string, errno: Errno) => !ANSWERS.includes(`${site.split(' ')[0]} ${errno}`);

/**
 * Runs with the calls from one place failing: the nth and those after it.
 * @returns how many were made to fail
 */
export async function withFault(
  site: string,
  errno: Errno,
  nth: number,
  times: number,
  run: () => unknown,
): Promise<number> {
  let [met, failed] = [0, 0];
  seam.fault = (call) => {
    if (!site.startsWith(call) || siteOf(call) !== site || ++met < nth || failed >= times) return 0;
    failed++;
    return constants.errno[errno];
  };
  try {
    await run();
  } finally {
    seam.fault = undefined;
  }
  return failed;
}
