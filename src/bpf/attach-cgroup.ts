/** Attaches socket programs to a cgroup. */
import { closeSync, openSync, statSync } from 'node:fs';
import { type Attached, attachLink } from './link.ts';
import { checkCgroup2 } from './preconditions.ts';

/** enum bpf_attach_type by the name of the program in sock.bpf.o. */
export const CGROUP_ATTACH_TYPES = {
  /** Only while a connected UDP socket may have lost its backend. */
  skb_egress: 1,
  connect4: 10,
  connect6: 11,
  post_bind4: 12,
  post_bind6: 13,
  sendmsg4: 14,
  sendmsg6: 15,
  recvmsg4: 19,
  recvmsg6: 20,
  getpeername4: 29,
  getpeername6: 30,
  sock_release: 34,
} as const;

export type CgroupHook = keyof typeof CGROUP_ATTACH_TYPES;

/**
 * Attaches one program beside those of others (BPF_F_ALLOW_MULTI is what links do). A link pinned
 * before is updated, or replaced when it is on another cgroup; a cgroup's id is its inode number.
 * @param pin path on bpffs.
 * @throws SluiceError CGROUP_MISSING, PERMISSION or ATTACH_FAILED; what ran before goes on.
 */
export function attachCgroup(options: {
  programFd: number;
  cgroup: string;
  attachType: CgroupHook;
  pin: string;
}): Attached {
  const { programFd, cgroup, attachType, pin } = options;
  checkCgroup2(cgroup);
  const id = statSync(cgroup, { bigint: true }).ino;
  const directory = openSync(cgroup, 'r');
  try {
    return attachLink({
      programFd,
      target: directory,
      attachType: CGROUP_ATTACH_TYPES[attachType],
      pin,
      fits: (info) => info.kind === 'cgroup' && info.target === id,
      action: `attach ${attachType} to cgroup ${cgroup}`,
    });
  } finally {
    closeSync(directory);
  }
}
