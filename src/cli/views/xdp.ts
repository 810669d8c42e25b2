/** What became of XDP on each node device, as the agent wrote it down. */
import { DEVICE_NODE, device, deviceKey, XDP_CHOICE_OFF } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { describeXdp } from '../../model/xdp.ts';
import { compareBy } from '../format.ts';

export interface XdpRow {
  readonly device: string;
  /** `native`, `generic` or `off`. */
  readonly xdp: string;
  /** Why it is off; "" when it is not. */
  readonly why: string;
}

/** @param nameOf name of a device by its index; undefined when it is not seen from here. */
export function readXdp(maps: Pick<Maps, 'devices'>, nameOf: (ifindex: number) => string | undefined): XdpRow[] {
  return [...maps.devices.entries()]
    .flatMap(({ key, value }): XdpRow[] => {
      const { flags, xdp } = device.read(value, 0);
      if ((flags & DEVICE_NODE) === 0 && xdp === XDP_CHOICE_OFF) return [];
      const { ifindex } = deviceKey.read(key, 0);
      return [{ device: nameOf(ifindex) ?? `ifindex ${ifindex}`, ...describeXdp(xdp) }];
    })
    .sort(compareBy((row) => row.device));
}
