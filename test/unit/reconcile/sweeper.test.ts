import { expect, it } from 'vitest';
import { encode } from '../../../maps-schema/codec.ts';
import { maps, servicePortKey, TABLE_FLOWS_ADDED, tally } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../../src/bpf/open-maps.ts';
import { createSweeper, type SweeperOptions } from '../../../src/reconcile/sweeper.ts';
import { poll } from '../../support/lab/poll.ts';
import { createMemoryHash } from '../../support/memory-map.ts';

const HOUR = 3_600_000;

/** A table that 10 entries were added to. */
const tableEvents = {
  lookup: (index: number) => [encode(tally, { entries: index === TABLE_FLOWS_ADDED ? 10n : 0n })],
} as unknown as Maps['tableEvents'];

/** Rows of two ServicePorts, of which the second is gone. */
const serviceSignals = createMemoryHash(maps.serviceSignals);
const servicePorts = createMemoryHash(maps.servicePorts);
for (const id of [1, 2])
  serviceSignals.update(encode(servicePortKey, { id }), Buffer.alloc(maps.serviceSignals.valueSize));
servicePorts.update(encode(servicePortKey, { id: 1 }), Buffer.alloc(maps.servicePorts.valueSize));

/** Runs a sweeper while `during` lasts. @returns what it told */
async function watch(
  { walk, ...given }: Pick<SweeperOptions, 'walk' | 'intervalMs' | 'spacingMs'>,
  during: (told: string[], wake: () => void) => Promise<unknown>,
): Promise<string[]> {
  const told: string[] = [];
  const sweeper = createSweeper({
    walk,
    maps: () => ({ tableEvents, serviceSignals, servicePorts }),
    metrics: {
      conntrackReconciled: (family, seconds, deleted) => told.push(`${family} ${seconds >= 0} ${deleted}`),
      flows: (table, entries, evicted) => told.push(`${table} ${entries} ${evicted}`),
    },
    warn: (message) => told.push(message),
    ...given,
  });
  const stop = new AbortController();
  const running = sweeper.run(stop.signal);
  await during(told, sweeper.wake);
  stop.abort();
  await running;
  return told;
}

const swept = { established: 4, halfOpen: 1, removed4: 2, removed6: 3 };

it('walks when it is woken, and tells what it found and removed (R-66, R-82)', async () => {
  const told = await watch({ walk: async () => swept, intervalMs: HOUR }, async (told, wake) => {
    wake();
    await poll('see a walk', () => told.length > 0);
  });
  expect(told).toEqual(['IPv4 true 2', 'IPv6 true 3', 'established 4 6', 'half_open 1 0']);
  // Its id is another's soon.
  expect([...serviceSignals.entries()].map(({ key }) => servicePortKey.read(key, 0).id)).toEqual([1]);
});

it('walks now and then without a reason', async () => {
  const told = await watch({ walk: async () => swept, intervalMs: 1, spacingMs: 0 }, (told) =>
    poll('see two walks', () => told.length >= 8),
  );
  expect(told.slice(4, 8)).toEqual(told.slice(0, 4));
});

it('keeps its distance however often it is woken', async () => {
  let walks = 0;
  await watch(
    {
      walk: async () => {
        walks++;
        return swept;
      },
      intervalMs: HOUR,
      spacingMs: HOUR,
    },
    async (told, wake) => {
      for (let i = 0; i < 50; i++) {
        wake();
        await new Promise((resolve) => setImmediate(resolve));
      }
      await poll('see a walk', () => told.length > 0);
    },
  );
  expect(walks).toBe(1);
});

it('tells a failure once and goes on', async () => {
  let walks = 0;
  const failing = async () => {
    if (++walks < 4) throw new Error('walk the flow tables: no');
    return swept;
  };
  const told = await watch({ walk: failing, intervalMs: 1, spacingMs: 0 }, () => poll('see it go on', () => walks > 4));
  expect(told.slice(0, 2)).toEqual(['walk the flow tables: no', 'IPv4 true 2']);
});

it('is silent until the programs are loaded', async () => {
  let asked = 0;
  const none = () => {
    asked++;
    return undefined;
  };
  expect(await watch({ walk: none, intervalMs: 1, spacingMs: 0 }, () => poll('see it ask', () => asked > 2))).toEqual(
    [],
  );
});
