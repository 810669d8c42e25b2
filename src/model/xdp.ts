/** XDP on node devices: what was asked for, and what became of it on a device. */
import {
  XDP_CHOICE_FAILED,
  XDP_CHOICE_GENERIC,
  XDP_CHOICE_MTU,
  XDP_CHOICE_NATIVE,
  XDP_CHOICE_NO_DRIVER,
  XDP_CHOICE_NO_ETHERNET,
  XDP_CHOICE_NO_KERNEL,
  XDP_CHOICE_NOT_CHOSEN,
  XDP_CHOICE_OCCUPIED,
  XDP_CHOICE_OFF,
} from '../../maps-schema/gen/codecs.ts';

/** `auto`: native on network cards and bonds whose driver can; generic only when asked for. */
export const XDP_MODES = ['off', 'native', 'generic', 'auto'] as const;
export type XdpMode = (typeof XDP_MODES)[number];

/** Where the program runs: in the driver, or behind it. */
export type XdpPlace = 'native' | 'generic';

/** By XDP_CHOICE_*: one word, and why. */
const WORDS: Readonly<Record<number, readonly [word: string, why: string]>> = {
  [XDP_CHOICE_OFF]: ['off', 'not asked for'],
  [XDP_CHOICE_NATIVE]: ['native', ''],
  [XDP_CHOICE_GENERIC]: ['generic', ''],
  [XDP_CHOICE_NOT_CHOSEN]: ['off', 'auto takes network cards and bonds only; --xdp native tries this device'],
  [XDP_CHOICE_NO_ETHERNET]: ['off', 'its frames have no Ethernet header'],
  [XDP_CHOICE_NO_DRIVER]: ['off', 'its driver has no XDP'],
  [XDP_CHOICE_OCCUPIED]: ['off', 'another XDP program is attached to it'],
  [XDP_CHOICE_MTU]: ['off', 'its MTU, or that of the other end, is too large for XDP in its driver'],
  [XDP_CHOICE_FAILED]: ['off', "attaching failed: see the agent's log"],
  [XDP_CHOICE_NO_KERNEL]: ['off', 'the kernel refused the program'],
};

/** @param choice XDP_CHOICE_* */
export function describeXdp(choice: number): { readonly xdp: string; readonly why: string } {
  const [xdp, why] = WORDS[choice] ?? ['off', `choice ${choice}`];
  return { xdp, why };
}

export function isXdpAttached(choice: number): boolean {
  return choice === XDP_CHOICE_NATIVE || choice === XDP_CHOICE_GENERIC;
}
