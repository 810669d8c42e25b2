/** What an agent's /metrics says, number by number. */
import type { LabNode } from '../lab/node.ts';

export class Scrape {
  readonly #text: string;
  readonly #values: ReadonlyMap<string, number>;

  constructor(text: string) {
    this.#text = text;
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    this.#values = new Map(
      lines.map((line) => {
        const at = line.lastIndexOf(' ');
        return [line.slice(0, at), Number(line.slice(at + 1))];
      }),
    );
  }

  /** @param series name with labels as they are written. @throws Error when it is not there */
  value(series: string): number {
    const found = this.#values.get(series);
    if (found === undefined) throw new Error(`read ${series}: there is no such series:\n${this.#text}`);
    return found;
  }

  /** Label sets of a name, sorted: `ip_family="IPv4"`. */
  labels(name: string): string[] {
    const start = `${name}{`;
    return [...this.#values.keys()]
      .filter((series) => series.startsWith(start))
      .map((series) => series.slice(start.length, -1))
      .sort();
  }
}

/** Asks the agent on a node. */
export async function scrape(node: LabNode): Promise<Scrape> {
  return new Scrape(await node.run(['curl', '-sSf', '--max-time', '20', 'http://127.0.0.1:10249/metrics']));
}
