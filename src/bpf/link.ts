/** bpf(2) links: what keeps a program attached. Created, updated and pinned here. */
import { ENOENT, kernelError } from './errno.ts';
import { objGet, objInfo, replacePin } from './object.ts';
import { bpf, Command, close, newAttr } from './syscall.ts';

/** enum bpf_link_type. */
const LINK_CGROUP = 3;
const LINK_XDP = 6;
const LINK_TCX = 11;

/** struct bpf_link_info of the links made here. */
export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  readonly kind: 'cgroup' | 'tcx' | 'xdp' | 'other';
  /** Cgroup id, or ifindex; 0n once the cgroup or device is gone. */
  readonly target: bigint;
  /** enum bpf_attach_type; of an XDP link the kernel does not tell: 0. */
  readonly attachType: number;
}

/** @returns undefined when the descriptor is no link. */
export function linkInfo(fd: number): LinkInfo | undefined {
  const info = objInfo(fd, 32);
  if (typeof info === 'number') return undefined;
  const type = info.readUInt32LE(0);
  const kind = type === LINK_CGROUP ? 'cgroup' : type === LINK_TCX ? 'tcx' : type === LINK_XDP ? 'xdp' : 'other';
  return {
    id: info.readUInt32LE(4),
    programId: info.readUInt32LE(8),
    kind,
    target: kind === 'cgroup' ? info.readBigUInt64LE(16) : BigInt(info.readUInt32LE(16)),
    attachType: kind === 'xdp' ? 0 : info.readUInt32LE(kind === 'cgroup' ? 24 : 20),
  };
}

/** @param target descriptor of a cgroup, or an ifindex. @param flags XDP_FLAGS_*. @returns a descriptor, or -errno. */
export function linkCreate(programFd: number, target: number, attachType: number, flags = 0): number {
  const attr = newAttr();
  attr.writeInt32LE(programFd, 0);
  attr.writeInt32LE(target, 4);
  attr.writeUInt32LE(attachType, 8);
  attr.writeUInt32LE(flags, 12);
  return bpf(Command.LINK_CREATE, attr);
}

/** Replaces the program of a link atomically: each packet meets the old one or the new one. @returns 0 or -errno. */
export function linkUpdate(linkFd: number, programFd: number): number {
  const attr = newAttr();
  attr.writeInt32LE(linkFd, 0);
  attr.writeInt32LE(programFd, 4);
  return bpf(Command.LINK_UPDATE, attr);
}

/** Detaches now, whoever else holds the link (kernel 5.9). @returns 0 or -errno. */
export function linkDetach(linkFd: number): number {
  const attr = newAttr();
  attr.writeInt32LE(linkFd, 0);
  return bpf(Command.LINK_DETACH, attr);
}

/** What an attachment did to what was pinned before. */
export type Attached = 'created' | 'updated' | 'replaced';

/**
 * The one way to attach by a link: what is pinned and still fits gets the new program by an atomic
 * update; otherwise a new link is made, and takes the pin's place once it stands. On failure what
 * ran before goes on.
 * @param fits whether the pinned link is on the wanted target.
 * @param action verb and object for errors, e.g. `attach connect4 to cgroup /sys/fs/cgroup`.
 */
export function attachLink(options: {
  programFd: number;
  target: number;
  attachType: number;
  /** XDP_FLAGS_* of a link that is made. */
  flags?: number;
  pin: string;
  fits: (info: LinkInfo) => boolean;
  action: string;
}): Attached {
  const { programFd, pin, action } = options;
  const pinned = objGet(pin);
  if (pinned < 0 && pinned !== -ENOENT)
    throw kernelError('ATTACH_FAILED', `${action}: open ${pin}`, 'BPF_OBJ_GET', -pinned);
  if (pinned >= 0) {
    try {
      const info = linkInfo(pinned);
      if (
        info !== undefined &&
        (info.kind === 'xdp' || info.attachType === options.attachType) &&
        options.fits(info) &&
        linkUpdate(pinned, programFd) === 0
      ) {
        return 'updated';
      }
    } finally {
      close(pinned);
    }
  }
  const fd = linkCreate(programFd, options.target, options.attachType, options.flags);
  if (fd < 0) throw kernelError('ATTACH_FAILED', action, 'BPF_LINK_CREATE', -fd);
  try {
    replacePin(fd, pin, action);
  } finally {
    close(fd);
  }
  return pinned >= 0 ? 'replaced' : 'created';
}
