/** docs/errors.md: each code of src/model/errors.ts, what it means and what to do. A code without a row does not compile. */
import type { ErrorCode } from '../../../../src/model/errors.ts';
import { generated, table } from './table.ts';

/** What it means, and what to do. */
export const ERRORS: Readonly<Record<ErrorCode, readonly [meaning: string, remedy: string]>> = {
  CONFIG_INVALID: [
    'The configuration cannot be read, or has a value that makes no sense. The message names the key or flag. With `--strict-config` also: a key that is not known, or written twice.',
    'Correct the key.',
  ],
  FLAG_INVALID: [
    'A flag is wrong or two exclude each other. The message names the flag. Exit code 2.',
    'See `sluice <command> --help`.',
  ],
  KERNEL_FEATURE: [
    'The kernel lacks something that cannot be done without; the message names the kernel that has it. Reserved: what is missing today is either lived without (`sluice status` lists it) or shows as `LOAD_FAILED` or `ATTACH_FAILED`.',
    'Use a newer kernel.',
  ],
  PERMISSION: [
    'A capability is missing, or a file may not be read.',
    'Run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. For a negative `oomScoreAdj`: CAP_SYS_RESOURCE, or remove the key.',
  ],
  BPFFS_MISSING: [
    'The pin directory does not lie on bpffs, or cannot be made there.',
    '`mount -t bpf bpf /sys/fs/bpf`, or choose `--bpf-root`.',
  ],
  CGROUP_MISSING: [
    'cgroup v2 is not mounted, or `--cgroup-root` names no directory of it.',
    '`mount -t cgroup2 none /sys/fs/cgroup`, or choose `--cgroup-root`. Under hybrid cgroups v2 is at `/sys/fs/cgroup/unified`.',
  ],
  LIBBPF_MISSING: ['`libbpf.so.1` is not installed. The message has the command.', '`apt-get install libbpf1`.'],
  OBJECT_MISSING: ['The compiled programs are not where `make build` leaves them.', '`make build`.'],
  LOAD_FAILED: [
    'The kernel refused a program, or it cannot be loaded. The lines of the verifier that matter follow.',
    "Report it with the kernel's version. After a change in `bpf/`: read the lines.",
  ],
  ATTACH_FAILED: [
    'A program could not be attached or detached. What ran before goes on.',
    'The message names device or cgroup, and the errno. For a device the agent tries again.',
  ],
  MAP_FAILED: [
    'A map could not be opened, read or written.',
    'The message names the map and the errno. Try again; `sluice cleanup` and a new start if it stays.',
  ],
  MAP_FULL: [
    'No room for another row or slot. The Service named is not written; the others are.',
    'See [Sizes of maps](tuning.md#sizes-of-maps).',
  ],
  SCHEMA_MISMATCH: [
    'Pinned maps, or the compiled programs, have another layout than this version. Nothing is reinterpreted.',
    'For pins: the [version policy](versions.md#upgrade-and-downgrade) says which versions take which over; else `sluice cleanup` with the version that made them. For programs: `make build`.',
  ],
  NOT_RUNNING: [
    'Nothing is pinned under `--bpf-root`: no agent ran here, or it used another root or another schema.',
    'Start the agent, or choose its `--bpf-root`.',
  ],
  STATE_LOCKED: [
    'Another agent has this `--bpf-root`, or another `sluice monitor` has the events. The message names its process.',
    'Stop that one, or choose another root.',
  ],
  SOURCE_INVALID: [
    'The kubeconfig or directory of manifests cannot be used, or there is no service account to use.',
    'The message says which file and why.',
  ],
  NODE_INVALID: [
    "The node's devices cannot be read: `ip` is missing, too old, or failed.",
    'Install iproute2 5.0 or later.',
  ],
  OUTPUT_FAILED: ['What a command prints could not be written.', 'The message says why: a full disk, for instance.'],
  LISTEN_FAILED: [
    'An address for health or metrics is taken. Ends the agent only with `bindAddressHardFail`.',
    'Stop the process that has it, or set `healthzBindAddress`, `metricsBindAddress`.',
  ],
};

/** @returns the whole text of the page. */
export function errorsPage(): string {
  return `# Errors

<!-- stage: agent -->
${generated('the codes of src/model/errors.ts')}

What makes a start impossible ends \`sluice\` with one line on standard error: verb, object, what is wrong
and what to do. \`--debug\` adds where it came from, with causes. Exit codes: 0 done, 1 failed, 2 called
wrongly. Faults while the agent runs are log lines, and what failed is tried again.

<!-- exit: 1 -->
\`\`\`console
$ sluice agent --node-name node1 --kubeconfig /dev/null
sluice: …
\`\`\`

Each error has a code: it stands in the field \`code\` of log lines. The codes are stable; the messages may change.

${table(
  ['code', 'meaning', 'what to do'],
  Object.entries(ERRORS).map(([code, texts]) => [`\`${code}\``, ...texts]),
)}
`;
}
