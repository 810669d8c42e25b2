import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { duration, endpoint, percent, protocolName } from '../../../src/cli/format.ts';
import { printList } from '../../../src/cli/output.ts';
import { parseOutputFormat, TABLE } from '../../../src/cli/output-format.ts';
import { ReaderGone, streamSink, textSink } from '../../../src/cli/sink.ts';
import { type Column, renderTable } from '../../../src/cli/table.ts';
import { toYaml } from '../../../src/cli/yaml.ts';

interface Row {
  name: string;
  count: number;
}

const columns: Column<Row>[] = [
  { header: 'NAME', value: (row) => row.name },
  { header: 'COUNT', value: (row) => String(row.count), right: true },
  { header: 'TWICE', value: (row) => String(2 * row.count), wide: true },
];
const compare = (a: Row, b: Row) => a.count - b.count;

async function print(word: string, rows: Iterable<Row>, sortedRows?: number) {
  const sink = textSink();
  const listed = await printList(sink, rows, {
    format: parseOutputFormat(word, true),
    columns,
    compare,
    nameOf: (row) => row.name,
    sortedRows,
  });
  return { ...listed, text: sink.text };
}

const rows: Row[] = [
  { name: 'web', count: 12 },
  { name: '', count: 3 },
];

test('a table: numbers to the right, nothing as -, no trailing space', () => {
  expect(renderTable(columns, rows)).toBe('NAME   COUNT\nweb       12\n-          3\n');
  expect(renderTable(columns, rows, true)).toBe('NAME   COUNT   TWICE\nweb       12   24\n-          3   6\n');
});

test('lists are sorted in every format', async () => {
  expect(await print('table', rows)).toEqual({
    text: 'NAME   COUNT\n-          3\nweb       12\n',
    rows: 2,
    sorted: true,
  });
  const json = '{"items": [\n  {"name":"","count":3},\n  {"name":"web","count":12}\n]}\n';
  expect((await print('json', rows)).text).toBe(json);
  expect((await print('yaml', rows)).text).toBe('items:\n- name: ""\n  count: 3\n- name: web\n  count: 12\n');
});

test('an empty list', async () => {
  expect((await print('table', [])).text).toBe('');
  expect((await print('json', [])).text).toBe('{"items": []}\n');
  expect(parse((await print('yaml', [])).text)).toEqual({ items: [] });
});

test('more rows than can be sorted are printed as they come, all of them', async () => {
  for (const format of ['table', 'json', 'yaml'] as const) {
    const { sorted, rows: count, text } = await print(format, [...rows, { name: 'last', count: 1 }], 2);
    expect({ sorted, count }).toEqual({ sorted: false, count: 3 });
    expect(text.indexOf('web')).toBeLessThan(text.indexOf('last'));
    if (format !== 'table') expect(parse(text).items).toHaveLength(3);
  }
  expect((await print('table', rows, 2)).sorted).toBe(true);
});

test('a long list is held and written in parts', async () => {
  let made = 0;
  let mostHeld = 0;
  let written = 0;
  function* many() {
    for (; made < 20_000; made++) yield { name: 'row', count: made };
  }
  const sink = {
    async write(text: string) {
      written += text.split('\n').length - 1;
      mostHeld = Math.max(mostHeld, made - written);
    },
  };
  await printList(sink, many(), { format: TABLE, columns, compare, nameOf: ({ name }) => name, sortedRows: 10 });
  expect(written).toBe(20_001);
  expect(mostHeld).toBeLessThan(100);
});

test('the source is closed when the reader leaves', async () => {
  let closed = false;
  function* many() {
    try {
      for (let count = 0; ; count++) yield { name: 'row', count };
    } finally {
      closed = true;
    }
  }
  const stream = new PassThrough();
  const sink = streamSink(stream);
  stream.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  await new Promise(setImmediate);
  const printing = printList(sink, many(), {
    format: TABLE,
    columns,
    compare,
    nameOf: ({ name }) => name,
    sortedRows: 10,
  });
  await expect(printing).rejects.toBeInstanceOf(ReaderGone);
  expect(closed).toBe(true);
});

test('a sink waits for room', async () => {
  const stream = new PassThrough({ highWaterMark: 4 });
  let done = false;
  const writing = streamSink(stream)
    .write('more than four bytes')
    .then(() => {
      done = true;
    });
  await new Promise(setImmediate);
  expect(done).toBe(false);
  stream.resume();
  await writing;
});

test('YAML reads back as what was written', () => {
  const key = fc.stringMatching(/^[a-z][a-zA-Z]{0,9}$/);
  const leaf = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom('yes', 'null', '1.5', '~', 'a: b', '-'),
  );
  const object = fc.dictionary(key, fc.oneof(leaf, fc.array(leaf), fc.dictionary(key, leaf)), {
    noNullPrototype: true,
  });
  fc.assert(
    fc.property(fc.array(object), (value) => {
      expect(parse(toYaml(value))).toEqual(value);
    }),
  );
  expect(toYaml({ a: undefined, b: [{ c: 1 }], d: {} })).toBe('b:\n- c: 1\nd: {}\n');
});

test.each([
  [0, '0s'],
  [119.9, '119s'],
  [125, '2m5s'],
  [3600, '1h'],
  [7260, '2h1m'],
  [90_000, '1d1h'],
])('%d s is %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test.each([
  [0, 10, '0%'],
  [1, 100_000, '<0.1%'],
  [1, 250, '0.4%'],
  [999, 10_000, '10%'],
  [1, 0, ''],
])('%d of %d is %s', (part, whole, text) => {
  expect(percent(part, whole)).toBe(text);
});

test('addresses and protocols', () => {
  expect(endpoint('10.0.0.1', 80)).toBe('10.0.0.1:80');
  expect(endpoint('fd00::1', 80)).toBe('[fd00::1]:80');
  expect([6, 17, 132, 47].map(protocolName)).toEqual(['TCP', 'UDP', 'SCTP', '47']);
});
