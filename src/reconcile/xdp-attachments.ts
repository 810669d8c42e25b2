/** Keeps XDP where it is planned, and knows what became of it on each device. */
import { XDP_CHOICE_NO_KERNEL } from '../../maps-schema/gen/codecs.ts';
import { unpinLink } from '../bpf/attach-tc.ts';
import { attachXdp } from '../bpf/attach-xdp.ts';
import { listLinks } from '../bpf/links.ts';
import type { LoadedPrograms } from '../bpf/loader.ts';
import { linkName, linkPin } from '../bpf/paths.ts';
import type { XdpPlan } from '../host/plan-xdp.ts';

export interface XdpOutcome {
  readonly device: string;
  readonly ifindex: number;
  /** XDP_CHOICE_* */
  readonly choice: number;
  /** Why it is not attached, when the kernel said so. */
  readonly error?: Error;
}

/** The name says the mode: a link does not tell it, and a device takes one mode at a time. */
function xdpLink({ device, place }: XdpPlan): string {
  return linkName(`xdp${device.ifindex}`, place ?? 'off');
}

/** Detaches what is not planned first, then attaches or updates; tc carries the packets in between. */
export function attachXdpPlans(
  plans: readonly XdpPlan[],
  loaded: LoadedPrograms,
  pinDirectory: string,
): readonly XdpOutcome[] {
  const programFd = loaded.programs.get('xdp_ingress');
  const wanted = new Set(programFd === undefined ? [] : plans.filter(({ place }) => place).map(xdpLink));
  for (const { name } of listLinks(pinDirectory))
    if (name.startsWith('xdp') && !wanted.has(name)) unpinLink(linkPin(pinDirectory, name));
  return plans.map((plan): XdpOutcome => {
    const { device, place } = plan;
    const which = { device: device.name, ifindex: device.ifindex };
    if (place === undefined) return { ...which, choice: plan.choice };
    if (programFd === undefined) return { ...which, choice: XDP_CHOICE_NO_KERNEL };
    const pin = linkPin(pinDirectory, xdpLink(plan));
    return { ...which, ...attachXdp({ programFd, ...which, place, mtu: device.mtu, pin }) };
  });
}
