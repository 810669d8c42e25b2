/** What others do to the data path, found within a second and put right: links detached, settings overwritten, pins gone. */
import type { Tables } from '../tables/tables.ts';
import type { DataPath } from './datapath.ts';

export interface DisturbancesOptions {
  readonly dataPath: Pick<DataPath, 'look' | 'pinAgain'>;
  /** undefined: nothing is in force yet. */
  readonly tables: () => Pick<Tables, 'restoreKnown'> | undefined;
  /** The links are to be put in place again, soon. */
  readonly linksLost: () => void;
  /** So many links were found detached, or with another program. */
  readonly countLinks: (links: number) => void;
  /** So many rows of maps were put right. */
  readonly countRows: (rows: number) => void;
  readonly warn: (message: string, fields?: Record<string, unknown>) => void;
}

/** Links that a line of the log names. */
const NAMED = 20;

/** @returns a look, cheap enough for every second: it puts right what it can and says what stays amiss with the pins */
export function createDisturbances(options: DisturbancesOptions): () => string | undefined {
  const { dataPath, tables, warn } = options;

  function repaired(map: string, bytes: number): void {
    if (bytes === 0) return;
    options.countRows(1);
    warn('the kernel did not hold what it should: put right', { map, bytes });
  }

  return () => {
    const current = tables();
    if (current === undefined) return undefined;
    const { links, settings, pinsLost } = dataPath.look();
    repaired('control', settings);
    repaired('known_addresses', current.restoreKnown());
    if (links.length > 0) {
      options.countLinks(links.length);
      warn(`${links.length} programs were detached by somebody: attaching them again`, {
        links: links.slice(0, NAMED),
      });
      options.linksLost();
    }
    if (!pinsLost) return undefined;
    try {
      dataPath.pinAgain();
    } catch (error) {
      return `gone, and cannot be made again: ${(error as Error).message}; what is in force goes on as long as this agent runs`;
    }
    options.countRows(1);
    warn('pins were gone: pinned again');
    return undefined;
  };
}
