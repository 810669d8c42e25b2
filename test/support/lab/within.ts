/** Work of this thread in a network namespace of the lab. */
import koffi from 'koffi';
import { netnsPath } from './names.ts';

const libc = koffi.load('libc.so.6');
const openFile = libc.func('int open(const char *path, int flags)');
const closeFile = libc.func('int close(int fd)');
const setns = libc.func('int setns(int fd, int type)');
const CLONE_NEWNET = 0x40000000;

/** Does something at once in a network namespace; what it starts runs there too. */
export function within<T>(netns: string, act: () => T): T {
  const home = openFile('/proc/thread-self/ns/net', 0);
  const there = openFile(netnsPath(netns), 0);
  try {
    if (there < 0 || setns(there, CLONE_NEWNET) !== 0) throw new Error(`enter namespace ${netns}: no such namespace`);
    return act();
  } finally {
    const back = setns(home, CLONE_NEWNET);
    closeFile(home);
    closeFile(there);
    // biome-ignore lint/correctness/noUnsafeFinally: nothing that follows may run in the wrong namespace.
    if (back !== 0) throw new Error('return to the network namespace of before');
  }
}
