/** Words that were probably meant. */

/** @returns the word that differs least, by at most two letters put in, left out or exchanged. */
export function similar(text: string, words: readonly string[]): string | undefined {
  const [best] = words
    .map((word) => ({ word, distance: distance(text.toLowerCase(), word) }))
    .filter(({ word, distance }) => distance > 0 && distance <= Math.min(2, word.length - 2))
    .sort((a, b) => a.distance - b.distance);
  return best?.word;
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const exchanged = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(exchanged, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
