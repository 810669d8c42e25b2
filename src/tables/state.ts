/** What tables/ knows of a ServicePort: what is desired, and what of it is in the kernel. */
import type { KernelArray, KernelHash } from '../bpf/kernel-map.ts';
import type { CompiledFrontend, CompiledServicePort } from '../model/compiled.ts';
import type { AddressMarks } from './address-marks.ts';
import type { BackendStore } from './backends.ts';
import type { Claims } from './claims.ts';
import type { ExtentAllocator } from './extents.ts';
import type { GraceQueue } from './grace.ts';
import type { ServicePortIds } from './ids.ts';
import type { KnownAddresses } from './known-addresses.ts';
import type { Cost, Ledger } from './ledger.ts';
import type { ReservedPorts } from './reserved-ports.ts';
import type { RowTable } from './row-table.ts';
import type { SlotStore } from './slots.ts';

/** The maps that the agent writes. */
export interface AgentMaps {
  readonly frontends: KernelHash;
  readonly serviceAddresses: KernelHash;
  readonly knownAddresses: KernelArray;
  readonly backendSlots: KernelArray;
  readonly backendStates: KernelArray;
  readonly affinityMembers: KernelHash;
  readonly sourceRanges: KernelHash;
  readonly servicePorts: KernelHash;
  readonly nodeAddresses: KernelHash;
  readonly devices: KernelHash;
  readonly podCidrs: KernelHash;
  readonly peers: KernelHash;
  readonly dsrBackends: KernelHash;
  readonly serviceCidrs: KernelHash;
  readonly socketOptOuts: KernelHash;
  readonly reservedPorts: KernelArray;
}

/** A run of backend_slots: `count` that frontends lead to, then those that only remember ids (BACKEND_KEPT). */
export interface Extent {
  readonly base: number;
  readonly count: number;
  /** Slots with the remembered ones. */
  readonly length: number;
  /** Which of its affinity_members are in the kernel; `some` after a failed write. */
  members: 'none' | 'some' | 'all';
}

/** What a frontend says of its address. */
export interface AddressMark {
  /** Key in service_addresses. */
  readonly key: string;
  /** SERVICE_ADDRESS_* */
  readonly flags: number;
}

export interface PortState {
  /** servicePortName() */
  readonly name: string;
  /** `namespace/name` of its Service. */
  readonly service: string;
  /** service_port_id; 0 while it has none. */
  id: number;
  /** undefined: not desired; what the kernel has of it goes. */
  desired: CompiledServicePort | undefined;
  /** creationTimestamp of its Service, ms since the epoch. */
  created: number;
  /** Of what the cluster stands on. */
  readonly essential: boolean;
  /** What the ledger has charged it. */
  charged: Cost | undefined;
  /** Desired frontends without duplicates, and their keys. */
  frontends: readonly CompiledFrontend[];
  keys: readonly string[];
  /** Keys of its rows in the kernel's frontends. */
  rows: string[];
  /** What those rows say in service_addresses. */
  marks: readonly AddressMark[];
  /** Extents that those rows name. */
  extents: Extent[];
  /** Keys of its rows in the kernel's source_ranges. */
  ranges: string[];
  /** Keys of its rows in the kernel's dsr_backends. */
  direct: string[];
}

/** A run of slots that rests until packets in flight have left it. */
export interface Range {
  readonly base: number;
  readonly length: number;
}

/** Bytes and rows written to the kernel. */
export interface Written {
  rows: number;
  bytes: number;
  deletes: number;
}

/** Everything that holds a part of the kernel's state. */
export interface Stores {
  readonly frontends: RowTable;
  readonly serviceAddresses: RowTable;
  readonly affinityMembers: RowTable;
  readonly sourceRanges: RowTable;
  readonly servicePorts: RowTable;
  readonly nodeAddresses: RowTable;
  readonly devices: RowTable;
  readonly podCidrs: RowTable;
  readonly peers: RowTable;
  readonly dsrBackends: RowTable;
  readonly serviceCidrs: RowTable;
  readonly socketOptOuts: RowTable;
  readonly reservedPorts: ReservedPorts;
  readonly slots: SlotStore;
  readonly backends: BackendStore;
  readonly extents: ExtentAllocator;
  readonly ledger: Ledger;
  /** Whether a Service, `namespace/name`, is what the cluster stands on. */
  readonly isEssential: (service: string) => boolean;
  readonly resting: GraceQueue<Range>;
  readonly ids: ServicePortIds;
  readonly claims: Claims;
  readonly addressMarks: AddressMarks;
  readonly known: KnownAddresses;
  /** By servicePortName(). */
  readonly ports: Map<string, PortState>;
  readonly written: Written;
}

/** Told of each row that could not be written. */
export type OnFailure = (owner: PortState | undefined, table: string, error: unknown) => void;

/** @param service `namespace/name` */
export function createPortState(name: string, service: string, id: number, essential = false): PortState {
  return {
    name,
    service,
    id,
    desired: undefined,
    created: 0,
    essential,
    charged: undefined,
    frontends: [],
    keys: [],
    rows: [],
    marks: [],
    extents: [],
    ranges: [],
    direct: [],
  };
}
