/** What is attached, read from the pins: for `sluice status` and for tests. */
import { join } from 'node:path';
import { type LinkInfo, linkInfo } from './link.ts';
import { withPin } from './object.ts';
import { linkPin, listPins } from './paths.ts';

export interface PinnedLink extends LinkInfo {
  /** Name of the pin. */
  readonly name: string;
  /** False once the cgroup or device is gone: the link then does nothing. */
  readonly attached: boolean;
}

/** Links pinned under a pin directory, sorted by name. */
export function listLinks(pinDirectory: string): PinnedLink[] {
  return listPins(join(pinDirectory, 'links')).flatMap((name) => {
    const info = withPin(linkPin(pinDirectory, name), linkInfo);
    return info === undefined ? [] : [{ ...info, name, attached: info.target !== 0n }];
  });
}
