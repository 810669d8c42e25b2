/** What one client sees when it dials: its socket asks first, then its packets go the way they would go. */
import { packet, SCTP, TCP, UDP } from '../../support/packet/builder.ts';
import { type ParsedFrame, parseFrame } from '../../support/packet/parser.ts';
import type { Probe } from '../case.ts';
import { deviceTowards, OWN_ADDRESSES } from '../world.ts';
import type { DeviceName, Kernel } from './kernel.ts';
import { dial } from './sockets.ts';

export interface Observed {
  /** `over`: a TCP connection that ended at once, as one does to an address of this node where nobody listens. */
  readonly outcome: 'not ours' | 'rejected' | 'dropped' | 'forwarded' | 'broken' | 'over';
  readonly at: 'socket' | 'packet';
  readonly backend?: { readonly address: string; readonly port: number };
  /** The source that the backend sees. */
  readonly source?: string;
  /** Why it was dropped, or what is broken. */
  readonly why?: string;
}

const NUMBERS = { TCP, UDP, SCTP } as const;
const broken = (why: string): Observed => ({ outcome: 'broken', at: 'packet', why });

/** @param bound addresses of this node besides those of its devices */
export function observe(kernel: Kernel, probe: Probe, clientPort: number, bound: readonly string[]): Observed {
  const isOwn = (address: string) =>
    bound.includes(address) || OWN_ADDRESSES.some((own) => own[4] === address || own[6] === address);
  const local = isOwn(probe.destination) || probe.destination.startsWith('127.') || probe.destination === '::1';

  if (probe.process && probe.protocol !== 'SCTP') {
    const { destination, port, protocol } = probe;
    const go = () => dial(destination, port, protocol as 'TCP' | 'UDP');
    const peer = probe.client === 'node' ? go() : kernel.inPod(go);
    if (peer?.refused) return { outcome: 'rejected', at: 'socket' };
    if (peer === undefined) return { outcome: 'over', at: 'socket' };
    if (peer.address !== destination || peer.port !== port)
      return { outcome: 'forwarded', at: 'socket', backend: { address: peer.address, port: peer.port } };
  }
  // What the node sends to itself passes no device that programs are attached to.
  if (probe.client === 'node' && local) return { outcome: 'not ours', at: 'packet' };
  return observePackets(kernel, probe, clientPort, isOwn);
}

function frameOf(
  from: string,
  fromPort: number,
  to: string,
  toPort: number,
  protocol: Probe['protocol'],
  answer: boolean,
) {
  const built = packet(from, to);
  if (protocol === 'TCP') return built.tcp(fromPort, toPort, answer ? 'S.' : 'S').build();
  if (protocol === 'UDP') return built.udp(fromPort, toPort).payload('question').build();
  return built.sctp(fromPort, toPort).payload(Buffer.alloc(20, 1)).build();
}

function observePackets(
  kernel: Kernel,
  probe: Probe,
  clientPort: number,
  isOwn: (address: string) => boolean,
): Observed {
  const { client, source, destination, port, protocol } = probe;
  const own = client === 'node';
  const device: DeviceName = own || !client.endsWith('pod') || client === 'remote-pod' ? 'node0' : 'pod0';
  const frame = frameOf(source, clientPort, destination, port, protocol, false);
  const first = kernel.run(own ? 'egress' : 'ingress', device, frame);
  if (first.verdict === 'DROP') return { outcome: 'dropped', at: 'packet', why: first.reason ?? '' };
  const after = parseFrame(first.frame);
  if (first.verdict === 'NEXT' && first.frame.equals(frame)) return { outcome: 'not ours', at: 'packet' };
  if (isReset(after) || isUnreachable(after)) {
    if (first.verdict !== 'REDIRECT' || after.destination !== source) return broken('a refusal that does not go back');
    if (isReset(after) !== (protocol === 'TCP')) return broken('a refusal of the wrong kind');
    // An ICMP error may come from any address of the node, a reset only from the one dialled.
    if (protocol === 'TCP' && (after.source !== destination || after.sport !== port || after.dport !== clientPort))
      return broken('the reset is not from the address dialled');
    return { outcome: 'rejected', at: 'packet' };
  }
  if (after.proto !== NUMBERS[protocol]) return broken(`protocol ${after.proto}`);
  const backend = { address: after.destination, port: after.dport };
  if (own !== (first.verdict === 'REDIRECT') && own) return broken('what the node sends was not sent on');
  const arrived =
    first.verdict === 'REDIRECT' ? { ...first, after } : leave(kernel, first.frame, backend.address, device, isOwn);
  if (typeof arrived === 'string') return broken(arrived);
  const seen: Observed = { outcome: 'forwarded', at: 'packet', backend, source: arrived.after.source };
  if (arrived.after.destination !== backend.address || arrived.after.dport !== backend.port)
    return broken('the packet that leaves is for another backend');
  if (!probe.answer) return seen;
  const wrong = answer(kernel, probe, clientPort, arrived.after, device, isOwn);
  return wrong === undefined ? seen : broken(wrong);
}

/** Out by the device towards the backend, unless it is delivered here. */
function leave(kernel: Kernel, frame: Buffer, to: string, from: DeviceName, isOwn: (address: string) => boolean) {
  if (isOwn(to)) return { verdict: 'NEXT' as const, after: parseFrame(frame) };
  const out = kernel.run('egress', deviceTowards(to), frame, from);
  return out.verdict === 'NEXT'
    ? { ...out, after: parseFrame(out.frame) }
    : `${out.verdict} where it leaves: ${out.reason}`;
}

/** Sends the backend's answer. @returns what is wrong with what the client gets. */
function answer(
  kernel: Kernel,
  { source, destination, port, protocol, client }: Probe,
  clientPort: number,
  arrived: ParsedFrame,
  device: DeviceName,
  isOwn: (address: string) => boolean,
): string | undefined {
  const reply = frameOf(arrived.destination, arrived.dport, arrived.source, arrived.sport, protocol, true);
  let frame = reply;
  let forwarded = false;
  if (!isOwn(arrived.destination)) {
    const back = kernel.run('ingress', deviceTowards(arrived.destination), reply);
    if (back.verdict === 'DROP') return `the answer was dropped: ${back.reason}`;
    frame = back.frame;
    forwarded = back.verdict === 'REDIRECT';
  }
  if (!forwarded && client !== 'node') {
    const from = isOwn(arrived.destination) ? undefined : deviceTowards(arrived.destination);
    const out = kernel.run('egress', device, frame, from);
    if (out.verdict !== 'NEXT') return `the answer does not leave: ${out.verdict} ${out.reason}`;
    frame = out.frame;
  }
  const got = parseFrame(frame);
  const text = `${got.source} ${got.sport} > ${got.destination} ${got.dport}`;
  return text === `${destination} ${port} > ${source} ${clientPort}` ? undefined : `the answer says ${text}`;
}

function isReset({ proto, l4 }: ParsedFrame): boolean {
  return proto === TCP && ((l4[13] ?? 0) & 4) !== 0;
}

/** Type 3 code 3, or 1 and 4. */
function isUnreachable({ family, proto, l4 }: ParsedFrame): boolean {
  return family === 4 ? proto === 1 && l4[0] === 3 && l4[1] === 3 : proto === 58 && l4[0] === 1 && l4[1] === 4;
}
