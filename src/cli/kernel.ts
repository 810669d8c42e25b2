/** What commands ask of the kernel, in one place, so that tests can answer in its stead. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Knobs } from '../../maps-schema/gen/codecs.ts';
import { detachAll } from '../bpf/attach-tc.ts';
import { type EventRequest, type EventSource, openEvents } from '../bpf/event-source.ts';
import { type Feature, probeFeatures } from '../bpf/features.ts';
import { measureJiffiesPerSecond, openJiffies } from '../bpf/jiffies.ts';
import { readKnobs } from '../bpf/knobs-in-force.ts';
import { listLinks, type PinnedLink } from '../bpf/links.ts';
import { isLocked } from '../bpf/lock.ts';
import { type Maps, openMaps } from '../bpf/open-maps.ts';
import { listPins, pinDirectoryOf } from '../bpf/paths.ts';
import { listPrograms } from '../bpf/programs.ts';
import { createRehearsal, type Rehearsal } from '../bpf/rehearsal.ts';
import { findKubeProxy, type KubeProxyProcesses } from '../host/kube-proxy-process.ts';
import { type RuleTexts, readKubeProxyRules } from '../host/kube-proxy-rules.ts';
import { run } from '../host/run.ts';
import { SluiceError } from '../model/errors.ts';
import { removeKeepingTables } from './keeping-table.ts';
import { type KubeProxyRemoved, removeKubeProxy } from './kube-proxy.ts';
import { type Removed, removeEverything } from './remove.ts';
import { type Route, readRoutes } from './routes.ts';

/** The kernel's clock of flows. */
export interface FlowClock {
  /** Low 32 bits of the jiffies. */
  readonly now: number;
  readonly jiffiesPerSecond: number;
}

export interface Kernel {
  /** For reading, unless `write`. @throws SluiceError NOT_RUNNING when nothing is pinned under the root, PERMISSION when it cannot be seen. */
  openMaps(root: string, write?: boolean): Maps;
  listLinks(root: string): readonly PinnedLink[];
  listPrograms(root: string): readonly { readonly name: string; readonly id: number }[];
  /** Devices with a clsact filter of ours, as recorded when it was attached. */
  listFilters(root: string): readonly ClsactFilter[];
  /** Does an agent hold the pins of a root? undefined: it cannot be seen. */
  agentHolds(root: string): boolean | undefined;
  probeFeatures(): readonly Feature[];
  /** Takes about 0.1 s. @returns undefined when the kernel does not let it be read. */
  readClock(): Promise<FlowClock | undefined>;
  /** bpf_ktime_get_ns() */
  monotonic(): bigint;
  /** Packets tell what happens until it is closed. @throws SluiceError STATE_LOCKED while another one is open */
  openEvents(root: string, request: EventRequest): EventSource;
  /** Settings of the programs in force; undefined: none are. */
  readKnobs(root: string): Knobs | undefined;
  /** The packet programs beside those in force, for a trial: takes about a second. @throws SluiceError as loading does */
  createRehearsal(root: string, objectDirectory: string, knobs: Knobs): Promise<Rehearsal>;
  /** By destination; those that no route leads to are missing. */
  readRoutes(addresses: readonly string[]): ReadonlyMap<string, Route>;
  /** Removes all that Sluice made under a root. */
  removeEverything(root: string): Removed;
  /** Removes what kube-proxy left. */
  removeKubeProxy(): KubeProxyRemoved;
  /** Removes the tables of nftables that a migration left. @returns how many */
  removeKeepingTables(): number;
  readKubeProxyRules(): RuleTexts;
  findKubeProxy(): KubeProxyProcesses;
  /** Detaches every program of this schema; what is pinned otherwise stays. */
  detach(root: string): void;
}

export interface ClsactFilter {
  readonly ifindex: number;
  readonly direction: string;
}

export const kernel: Kernel = {
  openMaps(root, write = false) {
    checkPinned(root);
    return openMaps(pinDirectoryOf(root), { readOnly: !write });
  },
  listLinks: (root) => listLinks(pinDirectoryOf(root)),
  listPrograms: (root) => listPrograms(pinDirectoryOf(root)),
  listFilters(root) {
    const records = join(pinDirectoryOf(root), 'clsact');
    return listPins(records).flatMap((name) =>
      listPins(join(records, name)).map((entry) => {
        const [ifindex, direction = ''] = entry.split('_');
        return { ifindex: Number(ifindex), direction };
      }),
    );
  },
  agentHolds: (root) => isLocked(pinDirectoryOf(root)),
  probeFeatures,
  readClock,
  monotonic: () => process.hrtime.bigint(),
  openEvents(root, request) {
    checkPinned(root);
    return openEvents(pinDirectoryOf(root), request);
  },
  readKnobs: (root) => readKnobs(pinDirectoryOf(root)),
  createRehearsal: (root, objectDirectory, knobs) =>
    createRehearsal({ pinDirectory: pinDirectoryOf(root), objectDirectory, knobs }),
  readRoutes,
  removeEverything,
  removeKubeProxy,
  removeKeepingTables,
  readKubeProxyRules: () => readKubeProxyRules(run),
  findKubeProxy,
  detach: (root) => detachAll(pinDirectoryOf(root)),
};

/** @throws SluiceError that says what is wrong, when no maps of this schema are pinned under the root. */
function checkPinned(root: string): void {
  const here = namesIn(root);
  if (namesIn(join(pinDirectoryOf(root), 'maps')).length > 0) return;
  const others = here.filter((name) => /^v\d+$/.test(name) && namesIn(join(root, name, 'maps')).length > 0);
  const hint =
    others.length > 0
      ? `those of schema ${others.join(', ')} are another version's: use its sluice`
      : 'start "sluice agent", or choose its --bpf-root';
  throw new SluiceError('NOT_RUNNING', `no maps under ${pinDirectoryOf(root)}: Sluice has not run here; ${hint}`);
}

/** @returns the names in a directory; none when it is not there. @throws SluiceError PERMISSION. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') return [];
    throw new SluiceError('PERMISSION', `read ${directory}: permission denied; run as root`, { cause });
  }
}

async function readClock(): Promise<FlowClock | undefined> {
  try {
    const jiffiesPerSecond = await measureJiffiesPerSecond();
    const reader = openJiffies();
    try {
      return { now: reader.read(), jiffiesPerSecond };
    } finally {
      reader.close();
    }
  } catch (error) {
    if (error instanceof SluiceError) return undefined;
    throw error;
  }
}
