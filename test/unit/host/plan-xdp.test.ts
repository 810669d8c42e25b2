/** On which node devices XDP is tried, and how long a packet may be. */
import { expect, it } from 'vitest';
import { XDP_CHOICE_NO_ETHERNET, XDP_CHOICE_NOT_CHOSEN, XDP_CHOICE_OFF } from '../../../maps-schema/gen/codecs.ts';
import { planXdp, xdpMtu } from '../../../src/host/plan-xdp.ts';
import type { HostDevice } from '../../../src/host/state.ts';

const device = (name: string, kind: string, more: Partial<HostDevice> = {}) =>
  ({ name, kind, hasEthernet: true, mtu: 1500, ...more }) as HostDevice;
const devices = [
  device('eth0', ''),
  device('bond0', 'bond', { mtu: 1400 }),
  device('veth0', 'veth', { mtu: 1300 }),
  device('wg0', 'wireguard', { hasEthernet: false, mtu: 1200 }),
];
const places = (mode: 'off' | 'native' | 'generic' | 'auto') =>
  planXdp(devices, mode).map(({ place, choice }) => place ?? choice);

it('auto tries network cards and bonds', () => {
  expect(places('auto')).toEqual(['native', 'native', XDP_CHOICE_NOT_CHOSEN, XDP_CHOICE_NO_ETHERNET]);
});

it('native and generic try every device with Ethernet frames', () => {
  expect(places('native')).toEqual(['native', 'native', 'native', XDP_CHOICE_NO_ETHERNET]);
  expect(places('generic')).toEqual(['generic', 'generic', 'generic', XDP_CHOICE_NO_ETHERNET]);
});

it('off tries nothing', () => {
  expect(places('off')).toEqual(devices.map(() => XDP_CHOICE_OFF));
});

it('the longest packet is the least MTU of the devices that are tried', () => {
  expect([
    xdpMtu(planXdp(devices, 'auto')),
    xdpMtu(planXdp(devices, 'native')),
    xdpMtu(planXdp(devices, 'off')),
  ]).toEqual([1400, 1300, 0]);
});
