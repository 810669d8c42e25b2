/** On which node devices XDP is tried. */
import { XDP_CHOICE_NO_ETHERNET, XDP_CHOICE_NOT_CHOSEN, XDP_CHOICE_OFF } from '../../maps-schema/gen/codecs.ts';
import type { XdpMode, XdpPlace } from '../model/xdp.ts';
import type { HostDevice } from './state.ts';

export interface XdpPlan {
  readonly device: HostDevice;
  /** undefined: it is not tried. */
  readonly place: XdpPlace | undefined;
  /** XDP_CHOICE_*: why it is not tried. */
  readonly choice: number;
}

/**
 * Kinds that `auto` tries: network cards ("") and bonds. A veth could too, but transmits only when the other
 * end, in a namespace that is not seen from here, takes such frames; else they are lost without a trace.
 */
const AUTO_KINDS: ReadonlySet<string> = new Set(['', 'bond']);

/** @param devices node devices, those without Ethernet included. */
export function planXdp(devices: readonly HostDevice[], mode: XdpMode): XdpPlan[] {
  return devices.map((device) => {
    const not = (choice: number) => ({ device, place: undefined, choice });
    if (mode === 'off') return not(XDP_CHOICE_OFF);
    if (!device.hasEthernet) return not(XDP_CHOICE_NO_ETHERNET);
    if (mode === 'auto' && !AUTO_KINDS.has(device.kind)) return not(XDP_CHOICE_NOT_CHOSEN);
    return { device, place: mode === 'generic' ? 'generic' : 'native', choice: XDP_CHOICE_OFF };
  });
}

/** Longest packet that fits every device on which XDP is tried, in bytes; 0: there is none. */
export function xdpMtu(plans: readonly XdpPlan[]): number {
  const mtus = plans.filter(({ place }) => place !== undefined).map(({ device }) => device.mtu);
  return mtus.length === 0 ? 0 : Math.min(...mtus, 0xffff);
}
