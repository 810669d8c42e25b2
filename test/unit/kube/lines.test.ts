import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLineSplitter, LineTooLongError } from '../../../src/kube/lines.ts';

function split(bytes: Buffer, cuts: number[], limit = 1_000): string[] {
  const splitter = createLineSplitter(limit);
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const lines: string[] = [];
  let start = 0;
  for (const end of [...at, bytes.length]) {
    lines.push(...splitter.push(bytes.subarray(start, end)));
    start = end;
  }
  return lines;
}

describe('line splitter', () => {
  it('gives the same lines wherever the chunks are cut, also inside a character', () => {
    const line = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\n'));
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat()), (lines, cuts) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
        expect(split(bytes, cuts)).toEqual(lines);
      }),
    );
  });

  it('keeps an unfinished line until its end comes and passes over empty lines', () => {
    const splitter = createLineSplitter(100);
    expect(splitter.push(Buffer.from('a\n\nb'))).toEqual(['a']);
    expect(splitter.push(Buffer.from('c'))).toEqual([]);
    expect(splitter.push(Buffer.from('\n'))).toEqual(['bc']);
  });

  it('refuses a line above the limit, finished or not', () => {
    expect(() => createLineSplitter(4).push(Buffer.from('12345'))).toThrow(LineTooLongError);
    expect(() => createLineSplitter(4).push(Buffer.from('12345\n'))).toThrow(LineTooLongError);
    expect(createLineSplitter(4).push(Buffer.from('1234\n1234\n'))).toEqual(['1234', '1234']);
  });
});
