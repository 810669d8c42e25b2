/** Keeps programs attached where they belong: one cgroup, the node's devices, the pods' devices. */
import { attachCgroup, CGROUP_ATTACH_TYPES, type CgroupHook } from '../bpf/attach-cgroup.ts';
import { attachTc, detachTc, unpinLink } from '../bpf/attach-tc.ts';
import { listLinks } from '../bpf/links.ts';
import type { LoadedPrograms } from '../bpf/loader.ts';
import { linkName, linkPin } from '../bpf/paths.ts';
import type { HostDevice } from '../host/state.ts';

export interface Attachments {
  /**
   * Attaches the socket programs.
   * @param stale also the one that stops sockets whose backend serves no more; else it is detached.
   * @throws SluiceError ATTACH_FAILED, CGROUP_MISSING or PERMISSION.
   */
  attachSockets(cgroup: string, stale: boolean): void;
  /** Detaches the socket programs. */
  detachSockets(): void;
  /**
   * Attaches to new devices, updates those that a former run attached, detaches from the others.
   * @returns what failed, by device.
   */
  attachDevices(devices: readonly HostDevice[]): readonly { device: string; error: unknown }[];
}

const DIRECTIONS = ['ingress', 'egress'] as const;

/** Named by index: a device that is renamed keeps its link. */
function deviceLink(ifindex: number, direction: string): string {
  return linkName(`dev${ifindex}`, direction);
}

export function createAttachments(loaded: LoadedPrograms, pinDirectory: string): Attachments {
  /** Names of the links of this run. */
  const attached = new Set<string>();

  function attachDevice(device: HostDevice): void {
    for (const direction of DIRECTIONS) {
      const name = deviceLink(device.ifindex, direction);
      if (attached.has(name)) continue;
      attachTc({
        programFd: loaded.program(direction),
        ifindex: device.ifindex,
        device: device.name,
        direction,
        pin: linkPin(pinDirectory, name),
      });
      attached.add(name);
    }
  }

  function detachOthers(wanted: ReadonlySet<string>): void {
    const known = new Set([...attached, ...listLinks(pinDirectory).map(({ name }) => name)]);
    for (const name of known) {
      if (!name.startsWith('dev') || wanted.has(name)) continue;
      detachTc({ pin: linkPin(pinDirectory, name) });
      attached.delete(name);
    }
  }

  return {
    attachSockets(cgroup, stale) {
      for (const attachType of Object.keys(CGROUP_ATTACH_TYPES) as CgroupHook[]) {
        if (loaded.skipped.includes(attachType)) continue;
        const pin = linkPin(pinDirectory, linkName('cgroup', attachType));
        if (attachType === 'skb_egress' && !stale) {
          unpinLink(pin);
          continue;
        }
        attachCgroup({
          programFd: loaded.program(attachType),
          cgroup,
          attachType,
          pin,
        });
      }
    },

    detachSockets() {
      for (const attachType of Object.keys(CGROUP_ATTACH_TYPES))
        unpinLink(linkPin(pinDirectory, linkName('cgroup', attachType)));
    },

    attachDevices(devices) {
      const failed: { device: string; error: unknown }[] = [];
      const wanted = new Set<string>();
      for (const device of devices) {
        for (const direction of DIRECTIONS) wanted.add(deviceLink(device.ifindex, direction));
        try {
          attachDevice(device);
        } catch (error) {
          failed.push({ device: device.name, error });
        }
      }
      detachOthers(wanted);
      return failed;
    },
  };
}
