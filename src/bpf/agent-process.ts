/** Makes this process known to the socket hook: what it dials is left alone. */
import { agentProcess } from '../../maps-schema/gen/codecs.ts';
import { close, connect, getsockopt, socket } from './ffi.ts';
import type { KernelArray } from './kernel-map.ts';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_COOKIE = 57;
/** struct sockaddr_in of AGENT_KNOCK_ADDRESS and AGENT_KNOCK_PORT in bpf/lib/agent.h. Nothing is sent there. */
const KNOCK = Buffer.from([AF_INET, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);

/**
 * Call it when the socket programs are attached. A process cannot tell its own id in the initial namespace: so it
 * names a socket in the map and connects it, and the hook writes down whose process that was.
 * @returns whether the hook knows it; it does not for a process outside the cgroup, whose calls meet no hook.
 */
export function introduceAgent(map: Pick<KernelArray, 'view'>): boolean {
  const fd = socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) return false;
  try {
    const value = Buffer.alloc(8);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, value, length) !== 0) return false;
    agentProcess.write(map.view, 0, { cookie: value.readBigUInt64LE(), cgroup: 0n, tgid: 0 });
    connect(fd, KNOCK, KNOCK.length);
    return agentProcess.read(map.view, 0).tgid !== 0;
  } finally {
    close(fd);
  }
}

/** The process ends: its id may be another's. */
export function forgetAgent(map: Pick<KernelArray, 'view'>): void {
  agentProcess.write(map.view, 0, { cookie: 0n, cgroup: 0n, tgid: 0 });
}
