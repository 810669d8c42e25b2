/** The data path as the agent holds it: programs loaded, maps open, links attached. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  CONTROL_ATTACHED,
  CONTROL_SERVICE_CIDRS4,
  CONTROL_SERVICE_CIDRS6,
  type Knobs,
} from '../../maps-schema/gen/codecs.ts';
import { forgetAgent, introduceAgent } from '../bpf/agent-process.ts';
import { haveConntrack } from '../bpf/conntrack.ts';
import { askToDetach, isAnythingAttached, isAskedToDetach } from '../bpf/handover.ts';
import { DEFAULT_OBJECTS, type LoadedPrograms, loadPrograms } from '../bpf/loader.ts';
import { acquireLock } from '../bpf/lock.ts';
import { type Maps, openMaps } from '../bpf/open-maps.ts';
import { ensurePinDirectory } from '../bpf/paths.ts';
import { checkCgroup2, checkPrivileges } from '../bpf/preconditions.ts';
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

/** Offset of control.flags; the agent writes its low byte alone. */
const CONTROL_FLAGS = 6;

/** Older kernels lack these hooks; what that means is told by `sluice status`. */
export const OPTIONAL_PROGRAMS = ['getpeername4', 'getpeername6', 'sock_release', 'xdp_ingress'];

/** @throws SluiceError PERMISSION, CGROUP_MISSING, BPFFS_MISSING or STATE_LOCKED, before anything is made. */
export function createDataPath(options: DataPathOptions): DataPath {
  checkPrivileges();
  checkCgroup2(options.cgroupRoot);
  const pinDirectory = ensurePinDirectory(options.bpfRoot);
  const lock = acquireLock(pinDirectory);
  let knobsInForce = '';
  let loaded: LoadedPrograms | undefined;
  let attachments: Attachments | undefined;
  let maps: Maps | undefined;
  let staleSockets = false;
  let socketsAttached = false;
  /** Hooks of a former run are in force: they are to know this process before it dials anything. */
  let introduced = introduceEarly(pinDirectory);

  function loadedAttachments(): Attachments {
    if (attachments === undefined) throw new Error('the programs are not loaded');
    return attachments;
  }

  /** Sets or clears bits of the low byte of control.flags. */
  function tellFlag(bits: number, on: boolean): void {
    const view = maps?.control.view;
    const flags = view?.readUInt8(CONTROL_FLAGS) ?? 0;
    view?.writeUInt8(on ? flags | bits : flags & ~bits, CONTROL_FLAGS);
  }

  const isDetached = () => maps !== undefined && isAskedToDetach(maps.control);

  function attachSockets(): void {
    if (socketsAttached || isDetached()) return;
    loadedAttachments().attachSockets(options.cgroupRoot, staleSockets);
    socketsAttached = true;
    if (maps !== undefined) introduced ||= introduceAgent(maps.agentProcess);
  }

  function setStaleSockets(stale: boolean): void {
    if (stale !== staleSockets) socketsAttached = false;
    staleSockets = stale;
  }

  return {
    pinDirectory,

    async load(knobs, signal) {
      // Asked each time: the module of nf_conntrack may come later.
      const conntrack = haveConntrack();
      const wanted = JSON.stringify([conntrack, knobs], (_, value) =>
        typeof value === 'bigint' ? String(value) : value,
      );
      if (wanted === knobsInForce) return;
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
      pinPrograms(next.programs, pinDirectory);
      loaded?.close();
      loaded = next;
      knobsInForce = wanted;
      attachments = createAttachments(next, pinDirectory);
      socketsAttached = false;
      maps ??= openMaps(pinDirectory);
    },

    get maps() {
      if (maps === undefined) throw new Error('the programs are not loaded');
      return maps;
    },

    program: (name) => loaded?.programs.get(name),

    attach(devices) {
      if (isDetached()) {
        socketsAttached = false;
        loadedAttachments().detachSockets();
        const failed = loadedAttachments().attachDevices([]);
        tellFlag(CONTROL_ATTACHED, false);
        return failed;
      }
      attachSockets();
      const failed = loadedAttachments().attachDevices(devices);
      tellFlag(CONTROL_ATTACHED, failed.length === 0);
      return failed;
    },

    attachXdp(plans) {
      if (loaded === undefined) throw new Error('the programs are not loaded');
      return attachXdpPlans(isDetached() ? [] : plans, loaded, pinDirectory);
    },

    forget() {
      if (loaded === undefined) return;
      attachments = createAttachments(loaded, pinDirectory);
      socketsAttached = false;
    },

    raiseNexthopGeneration() {
      const view = maps?.control.view;
      view?.writeUInt32LE((view.readUInt32LE(0) + 1) >>> 0, 0);
    },

    tellForwarding({ mode, encapsulation }) {
      const view = maps?.control.view;
      view?.writeUInt8(FORWARDING_MODES.indexOf(mode), 4);
      view?.writeUInt8(DSR_ENCAPSULATIONS.indexOf(encapsulation), 5);
    },

    attachSockets,

    expectStaleSockets: () => setStaleSockets(true),

    reviewStaleSockets() {
      if (maps !== undefined) setStaleSockets(anyStaleSocket(maps));
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

/** @returns the directory of the compiled objects beside the bundle, or in the source tree. */
export function findObjectDirectory(base: string): string {
  const beside = join(base, 'bpf');
  return existsSync(join(beside, 'tc.bpf.o')) ? beside : join(base, '..', 'dist', 'bpf');
}
