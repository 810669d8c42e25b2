/** The network namespaces of the node and of a pod, entered by this thread in turn, and a cgroup for its sockets. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import koffi from 'koffi';
import { enterNamespace, makeCgroup, run } from '../../kernel/bpf/rig.ts';
import { OTHER_NODES, POD_CLIENT, PODS, THIS_NODE } from '../world.ts';

const libc = koffi.load('libc.so.6');
const setns = libc.func('int setns(int fd, int type)');
const CLONE_NEWNET = 0x40000000;

/** A pod's own end: nobody answers, but every destination has a route and needs no neighbour. */
const POD_SETUP = `
link add eth0 type veth peer name nobody
link set nobody up
link set eth0 arp off up
addr add 10.1.1.20/24 dev eth0
addr add fd00:1:1::20/64 dev eth0 nodad
route add default via 10.1.1.1 dev eth0
route add ::/0 via fd00:1:1::1 dev eth0
`;

/** @returns a function that does something in the pod's namespace; its sockets stay there. */
export function createPodNamespace(): { inside: <T>(work: () => T) => T; remove: () => void } {
  const node = openSync('/proc/thread-self/ns/net', 'r');
  const made = enterNamespace();
  execFileSync('ip', ['-batch', '-'], { input: POD_SETUP, stdio: ['pipe', 'pipe', 'pipe'] });
  const pod = openSync('/proc/thread-self/ns/net', 'r');
  made.leave();
  const enter = (namespace: number) => {
    if (setns(namespace, CLONE_NEWNET) !== 0) throw new Error('cannot enter the network namespace');
  };
  return {
    inside(work) {
      enter(pod);
      try {
        return work();
      } finally {
        enter(node);
      }
    },
    remove() {
      closeSync(pod);
      closeSync(node);
    },
  };
}

/** Neighbours of the node that need not be found: a search that fails ends the connections that wait for it. */
export function addNeighbours(): void {
  const here = [...PODS[THIS_NODE], POD_CLIENT].map((address) => [address, 'pod0'] as const);
  const others = Object.values(OTHER_NODES).map((address) => [address, 'node0'] as const);
  const lines = [...here, ...others].flatMap(([address, device]) =>
    ([4, 6] as const).map((family) => `neigh replace ${address[family]} lladdr 02:00:00:00:03:01 dev ${device}`),
  );
  execFileSync('ip', ['-batch', '-'], { input: lines.join('\n'), stdio: ['pipe', 'pipe', 'pipe'] });
}

/** Moves this process into a cgroup of its own, and back. */
export function enterCgroup(): { path: string; remove: () => void } {
  const before = readFileSync('/proc/self/cgroup', 'utf8').match(/^0::(.*)$/m)?.[1] ?? '/';
  const mount = run('findmnt', '-n', '-t', 'cgroup2', '-o', 'TARGET').trim().split('\n')[0] ?? '/sys/fs/cgroup';
  const cgroup = makeCgroup();
  writeFileSync(`${cgroup.path}/cgroup.procs`, String(process.pid));
  return {
    path: cgroup.path,
    remove() {
      writeFileSync(`${mount}${before}/cgroup.procs`, String(process.pid));
      cgroup.remove();
    },
  };
}
