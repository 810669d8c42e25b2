/** Settings of the data path, fixed when its programs are loaded. */
import type { Knobs } from '../../maps-schema/gen/codecs.ts';
import type { Family } from '../model/address.ts';
import type { Configuration } from '../model/configuration.ts';
import { DSR_ENCAPSULATIONS, type ForwardingOptions, type PrimaryAddresses } from '../model/forwarding.ts';
import { NODE_PORTS, SNAT_PORTS } from '../model/ports.ts';

/** Seconds that a closed TCP connection's addresses stay reserved, as TIME_WAIT in nf_conntrack. */
const TCP_CLOSING_SECONDS = 120;

/**
 * Resets and ICMP errors in a second. The kernel makes 1,000 errors for all (icmp_msgs_per_sec), here each CPU does; it
 * gives one address one a second (icmp_ratelimit), but resets without end: one client may be many behind a NAT, all
 * of whose connections were lost.
 */
const ANSWERS_PER_SECOND = 1000;
const ANSWERS_PER_CLIENT = 100;

export interface KnobInputs {
  readonly configuration: Configuration;
  /** `--socket-lb all` */
  readonly socketLbPods: boolean;
  /** `--watch-pods`: pods may opt out of the socket hook. */
  readonly socketOptOuts: boolean;
  readonly bindProtection: boolean;
  /** Ports of proxies beside a pod's process: two at most. */
  readonly meshPorts: readonly number[];
  /** Cookie of the node's network namespace; 0n: the initial one. */
  readonly netnsCookie: bigint;
  /** HZ of the running kernel. */
  readonly jiffiesPerSecond: number;
  readonly haveSetRetval: boolean;
  /** Longest packet that XDP sends on, in bytes; 0: none. */
  readonly xdpMtu: number;
  /** At random, the same as long as the agent runs. */
  readonly selectSeed: number;
  /** Whether detectLocalMode can tell pods, by family. */
  readonly detectLocal: Readonly<Record<Family, boolean>>;
  /** `--respect-netfilter` */
  readonly respectNetfilter: boolean;
  readonly forwarding: ForwardingOptions;
  /** This node's addresses among its peers. */
  readonly ownAddresses: PrimaryAddresses;
}

/** With masqueradeAll pods are served per packet: a socket has no source address to translate. */
export function knobsOf(inputs: KnobInputs): Knobs {
  const { configuration } = inputs;
  const { timeouts } = configuration;
  return {
    hostNetnsCookie: inputs.netnsCookie,
    jiffiesPerSecond: inputs.jiffiesPerSecond,
    tcpEstablishedSeconds: timeouts.tcpEstablished,
    tcpClosingSeconds: TCP_CLOSING_SECONDS,
    tcpHalfOpenSeconds: timeouts.tcpHalfOpen,
    udpSeconds: timeouts.udp,
    udpStreamSeconds: timeouts.udpStream,
    snatPortMin: SNAT_PORTS.first,
    snatPortMax: SNAT_PORTS.last,
    nodePortMin: NODE_PORTS.first,
    nodePortMax: NODE_PORTS.last,
    socketLbPods: inputs.socketLbPods && !configuration.masqueradeAll ? 1 : 0,
    localhostNodePorts: configuration.localhostNodePorts ? 1 : 0,
    bindProtection: inputs.bindProtection ? 1 : 0,
    haveSetRetval: inputs.haveSetRetval ? 1 : 0,
    detectPods4: inputs.detectLocal.IPv4 ? 1 : 0,
    detectPods6: inputs.detectLocal.IPv6 ? 1 : 0,
    respectNetfilter: inputs.respectNetfilter ? 1 : 0,
    xdpMtu: inputs.xdpMtu,
    dsrEncapsulation: DSR_ENCAPSULATIONS.indexOf(inputs.forwarding.encapsulation),
    genevePort: inputs.forwarding.genevePort,
    geneveVni: inputs.forwarding.geneveVni,
    nodeAddress4: inputs.ownAddresses.IPv4 ?? '::',
    nodeAddress6: inputs.ownAddresses.IPv6 ?? '::',
    selectSeed: inputs.selectSeed,
    meshPort1: inputs.meshPorts[0] ?? 0,
    meshPort2: inputs.meshPorts[1] ?? 0,
    socketOptOuts: inputs.socketOptOuts ? 1 : 0,
    answersPerClient: ANSWERS_PER_CLIENT,
    answersPerSecond: ANSWERS_PER_SECOND,
  };
}
