/** Attaches the XDP program to a device by a link (kernel 5.9), never in the place of another program. */
import { execFileSync } from 'node:child_process';
import {
  XDP_CHOICE_FAILED,
  XDP_CHOICE_GENERIC,
  XDP_CHOICE_MTU,
  XDP_CHOICE_NATIVE,
  XDP_CHOICE_NO_DRIVER,
  XDP_CHOICE_OCCUPIED,
} from '../../maps-schema/gen/codecs.ts';
import { SluiceError } from '../model/errors.ts';
import type { XdpPlace } from '../model/xdp.ts';
import { E2BIG, EBUSY, EEXIST, EINVAL, EOPNOTSUPP, ERANGE, KernelError } from './errno.ts';
import { attachLink } from './link.ts';

/** enum bpf_attach_type BPF_XDP. */
export const XDP_ATTACH_TYPE = 37;
/** XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE. */
const FLAGS: Readonly<Record<XdpPlace, number>> = { generic: 1 << 1, native: 1 << 2 };
/** No driver needs fewer bytes a packet than this for a buffer of one page with XDP's headroom. */
const ONE_PAGE_MTU = 3000;

export interface XdpTarget {
  readonly programFd: number;
  /** In the network namespace of this process. */
  readonly ifindex: number;
  readonly device: string;
  readonly place: XdpPlace;
  /** Bytes; to tell why a driver refused. */
  readonly mtu: number;
  readonly pin: string;
}

/**
 * Attaches, or updates what is pinned. What another program holds is left to it.
 * @returns XDP_CHOICE_*, with the error when it is not attached.
 */
export function attachXdp(target: XdpTarget): { choice: number; error?: SluiceError } {
  try {
    attachLink({
      programFd: target.programFd,
      target: target.ifindex,
      attachType: XDP_ATTACH_TYPE,
      flags: FLAGS[target.place],
      pin: target.pin,
      // An ifindex alone may be another namespace's: the program must be on this very device.
      fits: (info) =>
        info.kind === 'xdp' &&
        info.target === BigInt(target.ifindex) &&
        attachedXdpPrograms(target.device).includes(info.programId),
      action: `attach XDP (${target.place}) to ${target.device}`,
    });
    return { choice: target.place === 'native' ? XDP_CHOICE_NATIVE : XDP_CHOICE_GENERIC };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { choice: reasonOf(error, target.mtu), error };
  }
}

function reasonOf(error: SluiceError, mtu: number): number {
  const errno = error.cause instanceof KernelError ? error.cause.errno : undefined;
  switch (errno) {
    case EBUSY:
    case EEXIST:
      return XDP_CHOICE_OCCUPIED;
    case EOPNOTSUPP:
      return XDP_CHOICE_NO_DRIVER;
    case ERANGE:
      return XDP_CHOICE_MTU;
    case EINVAL:
    case E2BIG:
      return mtu > ONE_PAGE_MTU ? XDP_CHOICE_MTU : XDP_CHOICE_FAILED;
    default:
      return XDP_CHOICE_FAILED;
  }
}

interface XdpState {
  readonly prog?: { readonly id: number };
  readonly attached?: readonly { readonly prog?: { readonly id: number } }[];
}

/** Ids of the XDP programs on a device, whoever attached them. */
export function attachedXdpPrograms(device: string): number[] {
  try {
    const links: { xdp?: XdpState }[] = JSON.parse(
      execFileSync('ip', ['-j', 'link', 'show', 'dev', device], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
        // Everything waits for it.
        timeout: 2000,
        killSignal: 'SIGKILL',
      }),
    );
    return links.flatMap(({ xdp }) => [xdp, ...(xdp?.attached ?? [])].flatMap((state) => state?.prog?.id ?? []));
  } catch {
    return [];
  }
}
