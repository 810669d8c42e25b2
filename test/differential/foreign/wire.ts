/** Raw sockets in the namespaces of a lab: frames out of a device, and all that comes in. */
import { openLibrary } from '../../../src/bpf/ffi.ts';
import { within } from '../../support/lab/within.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const AF_PACKET = 17;
const SOCK_RAW = 3;
/** In network byte order. */
const ETH_P_ALL = 0x0300;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const RECEIVE_BYTES = 8 << 20;
/** Of struct sockaddr_ll: who the frame was for. */
const PACKET_TYPE_AT = 10;
const PACKET_OUTGOING = 4;
/** Of struct sockaddr_in6. */
const ADDRESS6_AT = 8;
const NETLINK_NETFILTER = 12;
/** NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE: without a tuple it is all of the namespace. */
const CONNTRACK_DELETE = (1 << 8) | 2;
/** NLM_F_REQUEST | NLM_F_ACK. */
const REQUEST_ACK = 5;

const libc = openLibrary('libc.so.6', 'apt-get install libc6');
const openSocket = libc.call('int socket(int domain, int type, int protocol)');
const closeSocket = libc.call('int close(int fd)');
const bind = libc.call('int bind(int fd, void *address, uint32_t length)');
const setOption = libc.call('int setsockopt(int fd, int level, int name, void *value, uint32_t length)');
const sendTo = libc.call(
  'int64_t sendto(int fd, void *data, uint64_t length, int flags, void *address, uint32_t addressLength)',
);
const receive = libc.call(
  'int64_t recvfrom(int fd, void *data, uint64_t length, int flags, void *address, void *addressLength)',
);

const currentCpu = libc.call('int sched_getcpu()');
const getAffinity = libc.call('int sched_getaffinity(int pid, uint64_t size, void *mask)');
const setAffinity = libc.call('int sched_setaffinity(int pid, uint64_t size, void *mask)');
/** Of a mask of CPUs. */
const MASK_BYTES = 128;

/**
 * Keeps this thread on the CPU where it runs: each CPU forwards frames in the order they were sent there.
 * @returns what lets it go
 */
export function stayOnCpu(): () => void {
  const before = Buffer.alloc(MASK_BYTES);
  const only = Buffer.alloc(MASK_BYTES);
  const cpu: number = currentCpu();
  only[cpu >> 3] = 1 << (cpu & 7);
  if (getAffinity(0, MASK_BYTES, before) < 0 || setAffinity(0, MASK_BYTES, only) !== 0) return () => {};
  return () => setAffinity(0, MASK_BYTES, before);
}

const data = Buffer.alloc(65_536);
const from = Buffer.alloc(28);
const fromLength = Buffer.alloc(4);

/** @returns its bytes as a copy, or undefined when there is none yet; `from` says where it came from */
function next(fd: number): Buffer | undefined {
  fromLength.writeUInt32LE(from.length);
  const size = Number(receive(fd, data, data.length, MSG_DONTWAIT, from, fromLength));
  return size < 0 ? undefined : Buffer.from(data.subarray(0, size));
}

function open(netns: string, domain: number, protocol: number): number {
  const fd: number = within(netns, () => openSocket(domain, SOCK_RAW, protocol));
  if (fd < 0) throw new Error(`open a raw socket of protocol ${protocol} in ${netns}: run as root`);
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(RECEIVE_BYTES);
  setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes, bytes.length);
  return fd;
}

/** A device, as the wire sees it. */
export class Port {
  readonly #fd: number;
  readonly #address = Buffer.alloc(20);

  constructor(netns: string, ifindex: number) {
    this.#fd = open(netns, AF_PACKET, ETH_P_ALL);
    this.#address.writeUInt16LE(AF_PACKET, 0);
    this.#address.writeUInt16LE(ETH_P_ALL, 2);
    this.#address.writeInt32LE(ifindex, 4);
    if (bind(this.#fd, this.#address, this.#address.length) !== 0)
      throw new Error(`listen on device ${ifindex} of ${netns}: failed`);
  }

  send(frame: Buffer): void {
    if (Number(sendTo(this.#fd, frame, frame.length, 0, null, 0)) !== frame.length)
      throw new Error(`send a frame of ${frame.length} bytes: the kernel refused`);
  }

  /** @returns frames that came in since the last call */
  drain(): Buffer[] {
    const frames: Buffer[] = [];
    for (let frame = next(this.#fd); frame !== undefined; frame = next(this.#fd))
      if (from[PACKET_TYPE_AT] !== PACKET_OUTGOING) frames.push(frame);
    return frames;
  }

  close(): void {
    closeSocket(this.#fd);
  }
}

/** A packet that the stack of a node delivered. IPv6 sockets are not shown its header. */
export type Delivered =
  | { readonly family: 4; readonly packet: Buffer }
  | { readonly family: 6; readonly proto: number; readonly source: Buffer; readonly l4: Buffer };

/** What the stack of a namespace delivers to its own sockets, of the given protocols. */
export class Stack {
  readonly #sockets: { readonly fd: number; readonly family: 4 | 6; readonly proto: number }[] = [];

  constructor(netns: string, protocols: Readonly<Record<4 | 6, readonly number[]>>) {
    for (const family of [4, 6] as const)
      for (const proto of protocols[family])
        this.#sockets.push({ fd: open(netns, family === 4 ? AF_INET : AF_INET6, proto), family, proto });
  }

  drain(): Delivered[] {
    const found: Delivered[] = [];
    for (const { fd, family, proto } of this.#sockets)
      for (let packet = next(fd); packet !== undefined; packet = next(fd)) {
        const source = Buffer.from(from.subarray(ADDRESS6_AT, ADDRESS6_AT + 16));
        found.push(family === 4 ? { family, packet } : { family, proto, source, l4: packet });
      }
    return found;
  }

  close(): void {
    for (const { fd } of this.#sockets) closeSocket(fd);
  }
}

/** Forgets every connection that netfilter tracks in a namespace. */
export function flushConntrack(netns: string): void {
  const fd = open(netns, AF_NETLINK, NETLINK_NETFILTER);
  const message = Buffer.alloc(20);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(CONNTRACK_DELETE, 4);
  message.writeUInt16LE(REQUEST_ACK, 6);
  sendTo(fd, message, message.length, 0, null, 0);
  const answer = next(fd);
  closeSocket(fd);
  if (answer?.readInt32LE(16) !== 0) throw new Error(`forget the connections of ${netns}: the kernel refused`);
}
