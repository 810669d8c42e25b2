/** The data path as the agent holds it: programs loaded, maps open, links attached. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  agentProcess,
  CONTROL_ATTACHED,
  CONTROL_SERVICE_CIDRS4,
  CONTROL_SERVICE_CIDRS6,
  type Knobs,
  maps as shapes,
} from '../../maps-schema/gen/codecs.ts';
import { forgetAgent, introduceAgent } from '../bpf/agent-process.ts';
import { haveConntrack } from '../bpf/conntrack.ts';
import { askToDetach, HANDOVER_BYTE, isAnythingAttached, isAskedToDetach } from '../bpf/handover.ts';
import { createLinkWatch } from '../bpf/link-watch.ts';
import { DEFAULT_OBJECTS, type LoadedPrograms, loadPrograms } from '../bpf/loader.ts';
import { acquireLock, type Lock } from '../bpf/lock.ts';
import { MONITOR_OFFSET } from '../bpf/monitor.ts';
import { type Maps, openMaps } from '../bpf/open-maps.ts';
import { checkNoOtherVersionRuns, removeOtherVersions } from '../bpf/other-versions.ts';
import { mendPartialSet } from '../bpf/partial-pins.ts';
import { ensurePinDirectory, mapPin } from '../bpf/paths.ts';
import { checkCgroup2, checkPrivileges } from '../bpf/preconditions.ts';
import { makePrivate } from '../bpf/private-root.ts';
import { pinPrograms } from '../bpf/programs.ts';
import type { XdpPlan } from '../host/plan-xdp.ts';
import type { HostDevice } from '../host/state.ts';
import type { Family } from '../model/address.ts';
import { DSR_ENCAPSULATIONS, FORWARDING_MODES, type ForwardingOptions } from '../model/forwarding.ts';
import { type Attachments, createAttachments } from './attachments.ts';
import { anyStaleSocket } from './stale-sockets.ts';
import { attachXdpPlans, type XdpOutcome } from './xdp-attachments.ts';

export interface DataPathOptions {
  readonly bpfRoot: string;
  readonly cgroupRoot: string;
  /** Where `make build` left the objects. */
  readonly objectDirectory: string;
  readonly log: (message: string, fields: Record<string, unknown>) => void;
}

export interface DataPath {
  readonly pinDirectory: string;
  /** A former run left frontends: this node served Services before. */
  readonly served: boolean;
  /** Loads the programs, again when the knobs differ from those in force. Links follow at the next `attach`. */
  load(knobs: Knobs, signal: AbortSignal): Promise<void>;
  /** @throws until `load` has succeeded once. */
  readonly maps: Maps;
  /** Descriptor of a program; undefined until `load` has succeeded once, and where an older kernel lacks it. */
  program(name: string): number | undefined;
  /** Puts links in place. @returns what failed, by device; a socket hook that fails throws. */
  attach(devices: readonly HostDevice[]): readonly { device: string; error: unknown }[];
  /** Puts XDP where it is planned; what cannot be is no error: tc carries the packets. */
  attachXdp(plans: readonly XdpPlan[]): readonly XdpOutcome[];
  /** What somebody did to links, pins and settings since the last look; settings are put right at once. Cheap. */
  look(): Disturbance;
  /** Pins again what is not pinned any more. @throws SluiceError when it cannot be: there is no bpffs */
  pinAgain(): void;
  /** The next `attach` puts every link in place again, whoever took it away. */
  forget(): void;
  /** Routes, neighbours or devices changed: flows look up their next hop again. */
  raiseNexthopGeneration(): void;
  /** Tells `sluice status` what Services that choose no mode are given. */
  tellForwarding(forwarding: ForwardingOptions): void;
  /** Puts the socket programs in place when something about them changed, the devices aside. @throws as attach */
  attachSockets(): void;
  /** Backends serve no more: the next `attachSockets` sees to sockets that are connected to them. */
  expectStaleSockets(): void;
  /** Looks whether there are such sockets: the next `attachSockets` acts on it. */
  reviewStaleSockets(): void;
  /** Is another proxy to serve alone? Then `attach` detaches. `sluice migrate` changes it at any time. */
  readonly detached: boolean;
  /** Makes it so, unless something of a former run is attached. */
  standBy(): void;
  /** In which families service_cidrs has rows to look up. */
  tellServiceCidrs(families: readonly Family[]): void;
  close(): void;
}

export interface Disturbance {
  /** Names of links that were detached, or got another program: `forget` and `attach` put them right. */
  readonly links: readonly string[];
  /** Bytes of `control` that were put right. */
  readonly settings: number;
  /** Pins are gone: what is in force goes on, as long as this process runs. */
  readonly pinsLost: boolean;
}

/** Offset of control.flags; the agent writes its low byte alone. */
const CONTROL_FLAGS = 6;

/** Older kernels lack these hooks; what that means is told by `sluice status`. */
export const OPTIONAL_PROGRAMS = ['getpeername4', 'getpeername6', 'sock_release', 'xdp_ingress'];

/** @throws SluiceError PERMISSION, CGROUP_MISSING, BPFFS_MISSING or STATE_LOCKED, before anything is made. */
export function createDataPath(options: DataPathOptions): DataPath {
  checkPrivileges();
  checkCgroup2(options.cgroupRoot);
  const pinDirectory = ensurePinDirectory(options.bpfRoot);
  makePrivate(options.bpfRoot);
  checkNoOtherVersionRuns(options.bpfRoot);
  let lock = acquireLock(pinDirectory);
  const links = createLinkWatch(pinDirectory);
  /** What `control` is to hold. */
  let settings: Buffer | undefined;
  /** Bytes of it that were put right since the last look. */
  let restored = 0;
  let knobsInForce = '';
  let loaded: LoadedPrograms | undefined;
  let attachments: Attachments | undefined;
  let maps: Maps | undefined;
  let staleSockets = false;
  let socketsAttached = false;
  /** Hooks of a former run are in force: they are to know this process before it dials anything. */
  let introduced = introduceEarly(pinDirectory);
  const served = hasFrontends(pinDirectory);

  function mend(): void {
    const { found, lost } = mendPartialSet(pinDirectory);
    if (found.length > 0) options.log('pins of maps were gone: pinned again', { maps: found });
    if (lost.length > 0)
      options.log('pins of maps were lost: all maps are made anew, and open connections are not carried over', {
        maps: lost,
      });
  }

  /** What another version left would serve beside this one, from tables that nobody writes any more. */
  function retire(): void {
    const directories = removeOtherVersions(options.bpfRoot);
    if (directories.length > 0)
      options.log('another version was in force: detached, and connections that it translated end', { directories });
  }

  function loadedAttachments(): Attachments {
    if (attachments === undefined) throw new Error('the programs are not loaded');
    return attachments;
  }

  /** Sets or clears bits of the low byte of control.flags. */
  function tellFlag(bits: number, on: boolean): void {
    set((view) => {
      const flags = view.readUInt8(CONTROL_FLAGS);
      view.writeUInt8(on ? flags | bits : flags & ~bits, CONTROL_FLAGS);
    });
  }

  function detachEverything(): readonly { device: string; error: unknown }[] {
    socketsAttached = false;
    loadedAttachments().detachSockets();
    const failed = loadedAttachments().attachDevices([]);
    tellFlag(CONTROL_ATTACHED, false);
    return failed;
  }

  const isDetached = () => maps !== undefined && isAskedToDetach(maps.control);

  function attachSockets(): void {
    if (socketsAttached || isDetached()) return;
    loadedAttachments().attachSockets(options.cgroupRoot, staleSockets);
    socketsAttached = true;
    if (maps !== undefined) introduced ||= introduceAgent(maps.agentProcess);
  }

  /** Changes `control`, and remembers what it is to hold: what somebody else wrote there meanwhile is put right first. */
  function set(change: (view: Buffer) => void): void {
    const view = maps?.control.view;
    if (view === undefined) return;
    restored += restoreSettings();
    change(view);
    settings = Buffer.from(view.subarray(0, shapes.control.valueSize));
  }

  /** @returns bytes that were put right; what `sluice migrate` and `sluice monitor` ask for is their own */
  function restoreSettings(): number {
    const view = maps?.control.view;
    if (view === undefined || settings === undefined) return 0;
    settings.writeUInt8(view.readUInt8(HANDOVER_BYTE), HANDOVER_BYTE);
    view.copy(settings, MONITOR_OFFSET, MONITOR_OFFSET, shapes.control.valueSize);
    const wrong = settings.reduce((count, byte, i) => count + (view[i] === byte ? 0 : 1), 0);
    if (wrong > 0) settings.copy(view);
    return wrong;
  }

  function setStaleSockets(stale: boolean): void {
    if (stale !== staleSockets) socketsAttached = false;
    staleSockets = stale;
  }

  return {
    pinDirectory,
    served,

    async load(knobs, signal) {
      // Asked each time: the module of nf_conntrack may come later.
      const conntrack = haveConntrack();
      const wanted = JSON.stringify([conntrack, knobs], (_, value) =>
        typeof value === 'bigint' ? String(value) : value,
      );
      if (wanted === knobsInForce) return;
      if (loaded === undefined) mend();
      const next = await loadPrograms({
        objectDirectory: options.objectDirectory,
        pinDirectory,
        knobs,
        conntrack,
        objects: knobs.xdpMtu > 0 ? [...DEFAULT_OBJECTS, 'xdp.bpf.o'] : DEFAULT_OBJECTS,
        optional: OPTIONAL_PROGRAMS,
        signal,
      });
      options.log('loaded programs', {
        created: next.created,
        reused: next.reused.map(({ name }) => name),
        skipped: next.skipped,
        ...(next.withoutConntrack !== undefined && { withoutConntrack: next.withoutConntrack }),
      });
      try {
        pinPrograms(next.programs, pinDirectory);
        maps ??= openMaps(pinDirectory);
        set(() => {});
      } catch (error) {
        next.close();
        throw error;
      }
      loaded?.close();
      loaded = next;
      knobsInForce = wanted;
      attachments = createAttachments(next, pinDirectory);
      socketsAttached = false;
    },

    get maps() {
      if (maps === undefined) throw new Error('the programs are not loaded');
      return maps;
    },

    program: (name) => loaded?.programs.get(name),

    attach(devices) {
      links.pin();
      try {
        if (isDetached()) return detachEverything();
        attachSockets();
        const failed = loadedAttachments().attachDevices(devices);
        tellFlag(CONTROL_ATTACHED, failed.length === 0);
        retire();
        return failed;
      } finally {
        links.hold();
      }
    },

    attachXdp(plans) {
      if (loaded === undefined) throw new Error('the programs are not loaded');
      const outcomes = attachXdpPlans(isDetached() ? [] : plans, loaded, pinDirectory);
      links.hold();
      return outcomes;
    },

    forget() {
      if (loaded === undefined) return;
      attachments = createAttachments(loaded, pinDirectory);
      socketsAttached = false;
    },

    look() {
      const wrong = restored + restoreSettings();
      restored = 0;
      const known = maps === undefined || agentProcess.read(maps.agentProcess.view, 0).tgid !== 0;
      if (maps !== undefined && introduced && !known) introduced = introduceAgent(maps.agentProcess);
      const pinsLost =
        maps !== undefined && (!existsSync(mapPin(pinDirectory, shapes.control.name)) || links.unpinned().length > 0);
      return { links: links.disturbed(), settings: wrong, pinsLost };
    },

    pinAgain() {
      if (loaded === undefined) return;
      ensurePinDirectory(options.bpfRoot);
      makePrivate(options.bpfRoot);
      loaded.pinMapsAgain();
      pinPrograms(loaded.programs, pinDirectory);
      links.pin();
      lock = lockAgain(lock, pinDirectory);
    },

    raiseNexthopGeneration: () => set((view) => void view.writeUInt32LE((view.readUInt32LE(0) + 1) >>> 0, 0)),

    tellForwarding: ({ mode, encapsulation }) =>
      set((view) => {
        view.writeUInt8(FORWARDING_MODES.indexOf(mode), 4);
        view.writeUInt8(DSR_ENCAPSULATIONS.indexOf(encapsulation), 5);
      }),

    attachSockets() {
      if (socketsAttached) return;
      links.pin();
      try {
        attachSockets();
      } finally {
        links.hold();
      }
    },

    expectStaleSockets: () => setStaleSockets(true),

    reviewStaleSockets() {
      if (maps === undefined) return;
      try {
        setStaleSockets(anyStaleSocket(maps));
      } catch (error) {
        // As if there were some: the program that stops them leaves all others alone.
        options.log('the sockets that are connected could not be looked through', { error: (error as Error).message });
        setStaleSockets(true);
      }
    },

    get detached() {
      return isDetached();
    },

    standBy() {
      if (maps !== undefined && !isAnythingAttached(pinDirectory)) askToDetach(maps.control);
    },

    tellServiceCidrs(families) {
      tellFlag(CONTROL_SERVICE_CIDRS4, families.includes('IPv4'));
      tellFlag(CONTROL_SERVICE_CIDRS6, families.includes('IPv6'));
    },

    close() {
      if (maps !== undefined && introduced) forgetAgent(maps.agentProcess);
      links.close();
      loaded?.close();
      maps?.close();
      lock.release();
    },
  };
}

/** @returns whether the socket hook of a former run, if there is one, knows this process. */
function introduceEarly(pinDirectory: string): boolean {
  const maps = openMaps(pinDirectory);
  try {
    return introduceAgent(maps.agentProcess);
  } catch {
    // Nothing is pinned, or what is pinned is another's: loading says so.
    return false;
  } finally {
    maps.close();
  }
}

/** The directory may be another one, on another bpffs: that is locked as well. @returns the lock in force */
function lockAgain(lock: Lock, pinDirectory: string): Lock {
  try {
    const next = acquireLock(pinDirectory);
    lock.release();
    return next;
  } catch {
    // It is the same one: this process holds it.
    return lock;
  }
}

function hasFrontends(pinDirectory: string): boolean {
  const maps = openMaps(pinDirectory);
  try {
    return maps.frontends.entries().next().done === false;
  } catch {
    return false;
  } finally {
    maps.close();
  }
}

/** @returns the directory of the compiled objects beside the bundle, or in the source tree. */
export function findObjectDirectory(base: string): string {
  const beside = join(base, 'bpf');
  return existsSync(join(beside, 'tc.bpf.o')) ? beside : join(base, '..', 'dist', 'bpf');
}
