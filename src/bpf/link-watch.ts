/**
 * Keeps hold of the links of a pin directory, and finds what somebody did to them: detached them, put another program in,
 * took their pins away. A link that is held goes on without its pin.
 */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { deviceExists } from './ffi.ts';
import { linkInfo } from './link.ts';
import { objGet, objPin } from './object.ts';
import { linkPin, listPins } from './paths.ts';
import { close } from './syscall.ts';

export interface LinkWatch {
  /** What is pinned now is as it should be: holds it, and lets go what was detached on purpose. */
  hold(): void;
  /**
   * Names of links that do not do what they did when they were held: each is found once. Those of devices that are gone
   * are no faults.
   */
  disturbed(): string[];
  /** Links that are attached and have no pin any more. */
  unpinned(): string[];
  /** Pins those again. @returns names of those that could not be */
  pin(): string[];
  close(): void;
}

interface Held {
  readonly fd: number;
  readonly id: number;
  readonly programId: number;
}

/** `dev7_ingress`, `xdp7_native`: the index of the device. */
const DEVICE = /^(?:dev|xdp)(\d+)_/;

export function createLinkWatch(pinDirectory: string): LinkWatch {
  const held = new Map<string, Held>();

  function letGo(name: string): void {
    const link = held.get(name);
    if (link !== undefined) close(link.fd);
    held.delete(name);
  }

  function holdOne(name: string): void {
    const fd = objGet(linkPin(pinDirectory, name));
    if (fd < 0) return;
    const info = linkInfo(fd);
    letGo(name);
    if (info === undefined || info.target === 0n) close(fd);
    else held.set(name, { fd, id: info.id, programId: info.programId });
  }

  const isAttached = ({ fd }: Held) => (linkInfo(fd)?.target ?? 0n) !== 0n;
  const unpinned = () =>
    [...held].flatMap(([name, link]) => (!existsSync(linkPin(pinDirectory, name)) && isAttached(link) ? [name] : []));

  return {
    hold() {
      const pinned = new Set(listPins(linkPin(pinDirectory, '')));
      for (const [name, link] of held) if (!pinned.has(name) && !isAttached(link)) letGo(name);
      for (const name of pinned) holdOne(basename(name));
    },
    disturbed() {
      const found: string[] = [];
      for (const [name, { fd, programId }] of held) {
        const info = linkInfo(fd);
        if (info?.programId === programId && info.target !== 0n) continue;
        letGo(name);
        const device = DEVICE.exec(name)?.[1];
        if (device === undefined || deviceExists(Number(device))) found.push(name);
      }
      return found;
    },
    unpinned,
    pin() {
      return unpinned().filter((name) => {
        const link = held.get(name);
        return link !== undefined && objPin(link.fd, linkPin(pinDirectory, name)) < 0;
      });
    },
    close() {
      for (const name of [...held.keys()]) letGo(name);
    },
  };
}
