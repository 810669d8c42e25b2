/** What a run writes: every single measurement, so that others can compute anew. */
import type { PartName } from '../competitors/competitor.ts';
import type { Machine } from '../world/machine.ts';

export interface Sample {
  readonly part: PartName;
  /** `connect.rate` */
  readonly metric: string;
  readonly competitor: string;
  /** Services in force. */
  readonly size: number;
  /** Samples of one round stand side by side. */
  readonly round: number;
  readonly value: number;
}

export interface Metric {
  readonly title: string;
  readonly unit: string;
  /** What is better. */
  readonly better: 'more' | 'less';
}

/** Every metric by name: a sample of another is a mistake. */
export const METRICS: Readonly<Record<string, Metric>> = {
  'connect.rate': { title: 'New TCP connections', unit: '1/s', better: 'more' },
  'connect.p50': { title: 'connect(), median', unit: 'µs', better: 'less' },
  'connect.p99': { title: 'connect(), 99th percentile', unit: 'µs', better: 'less' },
  'connect.cpu': { title: 'CPU time a connection', unit: 'µs', better: 'less' },
  'http.rate': { title: 'Short HTTP requests', unit: '1/s', better: 'more' },
  'http.p99': { title: 'Short HTTP request, 99th percentile', unit: 'µs', better: 'less' },
  'udp.rate': { title: 'UDP request and response, a socket each', unit: '1/s', better: 'more' },
  'udp-kept.rate': { title: 'UDP request and response, one unconnected socket', unit: '1/s', better: 'more' },
  'stream.p50': { title: 'Request and response on an established connection, median', unit: 'µs', better: 'less' },
  'stream.p99': { title: 'The same, 99th percentile', unit: 'µs', better: 'less' },
  'bulk.rate': { title: 'Bulk throughput', unit: 'Gbit/s', better: 'more' },
  'bulk.cpu': { title: 'CPU time a gigabyte', unit: 's', better: 'less' },
  'remote.rate': { title: 'NodePort, backend elsewhere: connections', unit: '1/s', better: 'more' },
  'remote.p50': { title: 'NodePort, backend elsewhere: connect(), median', unit: 'µs', better: 'less' },
  'remote.p99': { title: 'NodePort, backend elsewhere: connect(), 99th percentile', unit: 'µs', better: 'less' },
  'remote.packets': {
    title: 'NodePort, backend elsewhere: packets of established flows, one core',
    unit: '1/s',
    better: 'more',
  },
  'remote.packet-cpu': { title: 'NodePort, backend elsewhere: CPU time a packet', unit: 'ns', better: 'less' },
  'local.rate': { title: 'NodePort, backend here: connections', unit: '1/s', better: 'more' },
  'local.p99': { title: 'NodePort, backend here: connect(), 99th percentile', unit: 'µs', better: 'less' },
  'local.packets': {
    title: 'NodePort, backend here: packets of established flows, one core',
    unit: '1/s',
    better: 'more',
  },
  'local.packet-cpu': { title: 'NodePort, backend here: CPU time a packet', unit: 'ns', better: 'less' },
  'control.start': { title: 'From the start of the process to the first sync', unit: 'ms', better: 'less' },
  'control.lists': { title: 'From the last byte of the lists to the first sync', unit: 'ms', better: 'less' },
  'control.change-p50': { title: 'One endpoint changed to first packet, median', unit: 'ms', better: 'less' },
  'control.change-p99': { title: 'One endpoint changed to first packet, 99th percentile', unit: 'ms', better: 'less' },
  'control.busy-p99': { title: 'The same while 20 others change a second', unit: 'ms', better: 'less' },
  'control.busy-cpu': { title: 'CPU of the agent under 20 changes a second', unit: '%', better: 'less' },
  'control.roll-lost': { title: 'Rolling update: requests lost', unit: '', better: 'less' },
  'control.roll-cpu': { title: 'Rolling update: CPU of the agent a change', unit: 'ms', better: 'less' },
  'control.resident': { title: 'Resident memory', unit: 'MiB', better: 'less' },
  'control.peak': { title: 'Resident memory at most', unit: 'MiB', better: 'less' },
  'spread.p': { title: 'Chance that equal odds spread as unevenly', unit: '', better: 'more' },
  'leave.broken-kept': { title: 'A backend leaves: connections to others that broke', unit: '', better: 'less' },
  'leave.broken-gone': { title: 'A backend leaves: connections to it that broke', unit: '', better: 'less' },
  'leave.errors': { title: 'A backend leaves: new connections that failed', unit: '', better: 'less' },
};

export interface NotRun {
  readonly part: PartName;
  readonly competitor: string;
  readonly why: string;
}

export interface Competing {
  readonly name: string;
  readonly label: string;
}

/** One row of the table of costs by BPF_PROG_TEST_RUN. */
export interface PacketCost {
  readonly program: string;
  readonly path: string;
  readonly nanoseconds: { readonly median: number; readonly min: number; readonly max: number };
  /** What the target allows, ns. */
  readonly limit?: number;
  /** In tables, as docs/architecture.md lists them; per-CPU slots are none. */
  readonly lookups?: number;
  /** Entries written and deleted. */
  readonly writes?: number;
  /** Of the whole program after verification, with what other paths run. */
  readonly instructions?: number;
}

export interface Results {
  readonly format: 1;
  readonly startedAt: string;
  readonly minutes: number;
  readonly machine: Machine;
  /** Share of all cores that other things used just before the run: above 0.05 absolute figures mean little. */
  readonly background: number;
  readonly parts: readonly PartName[];
  readonly quick: boolean;
  readonly competitors: readonly Competing[];
  readonly samples: readonly Sample[];
  readonly notRun: readonly NotRun[];
  readonly packet?: readonly PacketCost[];
  /** What a call of a function and its return cost on this machine, in ns: every lookup has several. */
  readonly callNanoseconds?: number;
}
