/** The stream of events behind `sluice monitor`: asked for while it is open, and no longer. */
import { join } from 'node:path';
import { type MonitorEvent, monitorEvent, maps as shapes } from '../../maps-schema/gen/codecs.ts';
import { acquireLock } from './lock.ts';
import { endEvents, lostEvents, type MonitorRequest, requestEvents } from './monitor.ts';
import { openMaps } from './open-maps.ts';
import { mapPin } from './paths.ts';
import { openRing } from './ring.ts';

export type EventRequest = Omit<MonitorRequest, 'until'>;

export interface EventSource {
  /** Hands on what happened since it was opened or read last, at most `limit` events. @returns how many */
  read(limit: number, take: (event: MonitorEvent) => void): number;
  /** To be called more often than every KEPT_MS: else packets tell nothing any more. */
  renew(): void;
  /** Events that found no room since it was opened. */
  lost(): number;
  close(): void;
}

/** Milliseconds that packets go on telling when nobody renews it: the reader was killed. */
export const KEPT_MS = 5000;

/**
 * @param pinDirectory as `pinDirectoryOf` gives it
 * @throws SluiceError STATE_LOCKED while another one is open, NOT_RUNNING, PERMISSION, LIBBPF_MISSING.
 */
export function openEvents(pinDirectory: string, request: EventRequest): EventSource {
  // The agent locks the directory above.
  const lock = acquireLock(
    join(pinDirectory, 'maps'),
    'that is another "sluice monitor", and only one gets the events: end it first',
  );
  const maps = openMaps(pinDirectory);
  const began = process.hrtime.bigint();
  const renew = () =>
    requestEvents(maps.control, { ...request, until: process.hrtime.bigint() + BigInt(KEPT_MS) * 1_000_000n });
  const release = () => {
    maps.close();
    lock.release();
  };
  try {
    const ring = openRing(mapPin(pinDirectory, shapes.monitor.name), shapes.monitor);
    const lostBefore = lostEvents(maps.tableEvents);
    renew();
    return {
      read: (limit, take) =>
        ring.read(limit, (record) => {
          const event = monitorEvent.read(record, 0);
          // What the last reader left behind.
          if (event.time >= began) take(event);
        }),
      renew,
      lost: () => lostEvents(maps.tableEvents) - lostBefore,
      close() {
        endEvents(maps.control);
        ring.close();
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}
