/** What the running kernel can do, found out by asking it: version numbers lie on distribution kernels. */
import { haveConntrack } from './conntrack.ts';
import { EBADF, EINVAL } from './errno.ts';
import { callHelper, exit, loadInstructions, setRegister } from './instructions.ts';
import { raiseMemlock } from './memlock.ts';
import { netnsCookie } from './netns.ts';
import { bpf, Command, close, newAttr } from './syscall.ts';
import { haveTcx } from './tcx.ts';

export type FeatureName =
  | 'tcx'
  | 'set_retval'
  | 'netns_cookie'
  | 'getpeername'
  | 'cgroup_link'
  | 'map_batch'
  | 'trie_batch'
  | 'conntrack';

export interface Feature {
  readonly name: FeatureName;
  readonly present: boolean;
  /** First kernel that has it. */
  readonly kernel: string;
  /** What is different without it. */
  readonly effect: string;
}

const PROG_TYPE_CGROUP_SOCK_ADDR = 18;
const INET4_CONNECT = 10;
const INET4_GETPEERNAME = 29;
const HELPER_SET_RETVAL = 187;
const MAP_TYPE_LPM_TRIE = 11;
const NO_PREALLOC = 1;

const returnOne = [setRegister(0, 1), exit()];

/** Loads a program for a cgroup socket hook and lets it go. @returns whether the kernel took it. */
function loads(attachType: number, instructions: readonly Buffer[]): boolean {
  const fd = loadInstructions(PROG_TYPE_CGROUP_SOCK_ADDR, instructions, attachType);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/** A kernel that knows a command refuses the bad descriptor in it; one that does not, the command. */
function knows(command: number, fdOffset: number): boolean {
  const attr = newAttr();
  attr.writeInt32LE(-1, fdOffset);
  const result = bpf(command, attr);
  return result === -EBADF || (result < 0 && result !== -EINVAL);
}

/** Reads no row of a trie made for this: a kernel whose tries have no batches refuses that too. */
function triesHaveBatches(): boolean {
  const create = newAttr();
  for (const [i, field] of [MAP_TYPE_LPM_TRIE, 8, 4, 1, NO_PREALLOC].entries()) create.writeUInt32LE(field, 4 * i);
  const fd = bpf(Command.MAP_CREATE, create);
  if (fd < 0) return false;
  const read = newAttr();
  read.writeInt32LE(fd, 36);
  const result = bpf(Command.MAP_LOOKUP_BATCH, read);
  close(fd);
  return result === 0;
}

/** Probes everything; nothing is attached and nothing stays. Needs the privileges of `checkPrivileges`. */
export function probeFeatures(): Feature[] {
  raiseMemlock();
  return [
    {
      name: 'tcx',
      present: haveTcx(),
      kernel: '6.6',
      effect: 'devices are attached to by the clsact qdisc instead of links',
    },
    {
      name: 'set_retval',
      present: loads(INET4_CONNECT, [setRegister(1, 0), callHelper(HELPER_SET_RETVAL), ...returnOne]),
      kernel: '6.1',
      effect:
        'connect() to a Service without endpoints is refused by way of port 0 of the loopback; a refused bind() fails with EPERM',
    },
    {
      name: 'netns_cookie',
      present: netnsCookie() !== 0n,
      kernel: '5.14',
      effect: 'the agent must run in the initial network namespace to tell the node from its pods',
    },
    {
      name: 'getpeername',
      present: loads(INET4_GETPEERNAME, returnOne),
      kernel: '5.8',
      effect: 'getpeername() names the backend instead of the Service',
    },
    {
      name: 'cgroup_link',
      present: knows(Command.LINK_CREATE, 0),
      kernel: '5.7',
      effect: 'the socket hook cannot be attached',
    },
    {
      name: 'map_batch',
      present: knows(Command.MAP_LOOKUP_BATCH, 36),
      kernel: '5.6',
      effect: 'maps are read and written row by row: slower',
    },
    {
      name: 'trie_batch',
      present: triesHaveBatches(),
      kernel: '5.13',
      effect: 'pod networks and source ranges are read and written row by row: slower with thousands of ranges',
    },
    {
      name: 'conntrack',
      present: haveConntrack(),
      kernel: '5.18, with nf_conntrack and its BTF',
      effect: 'ports that netfilter has given to masqueraded connections are not seen before they are used',
    },
  ];
}

/** One line for a person, e.g. `tcx: missing, needs kernel 6.6; devices are attached to …`. */
export function describeFeature(feature: Feature): string {
  return feature.present
    ? `${feature.name}: present`
    : `${feature.name}: missing, needs kernel ${feature.kernel}; ${feature.effect}`;
}

/** Whether a probed feature is present. */
export function hasFeature(features: readonly Feature[], name: FeatureName): boolean {
  return features.some((feature) => feature.name === name && feature.present);
}
