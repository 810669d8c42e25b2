/** Removing a demo that was kept, wherever it runs. */
import { destroyLab, listLeftovers } from '../test/support/lab/leftovers.ts';
import { liveOwner } from '../test/support/lab/owner.ts';
import { poll } from '../test/support/lab/poll.ts';
import { DEMO_ID } from './names.ts';

/** Ends the process that holds the demo and removes what it leaves. @returns false when there was nothing */
export async function takeDown(): Promise<boolean> {
  const owner = liveOwner(DEMO_ID);
  const before = listLeftovers(DEMO_ID);
  if (owner === undefined && before.length === 0) return false;
  if (owner !== undefined) {
    process.kill(owner, 'SIGTERM');
    await poll('see the demo end', () => liveOwner(DEMO_ID) === undefined, { timeoutMs: 15_000 }).catch(() => {
      process.kill(owner, 'SIGKILL');
    });
  }
  await destroyLab(DEMO_ID);
  const left = listLeftovers(DEMO_ID);
  if (left.length > 0) throw new Error(`remove the demo: still there: ${left.join(', ')}`);
  return true;
}
