import { expect, test } from 'vitest';
import { ReaderGone } from '../../../src/cli/sink.ts';
import { SluiceError } from '../../../src/model/errors.ts';
import { createMaps, kernelWith, putFrontend, sluice } from './fake-kernel.ts';

const failing = (error: unknown) => ({
  openMaps: () => {
    throw error;
  },
});

test('--help and --version are no errors', async () => {
  const help = await sluice(['--help']);
  expect(help).toMatchObject({ code: 0, err: '' });
  for (const command of ['agent', 'status', 'service', 'backend', 'flow', 'drops', 'cleanup']) {
    expect(help.out).toMatch(new RegExp(`^ {2}${command}`, 'm'));
  }
  expect(await sluice(['--version'])).toMatchObject({ code: 0, out: '1.2.3\n' });
});

test('no command is wrong usage, and shows the help', async () => {
  const { code, err } = await sluice([]);
  expect(code).toBe(2);
  expect(err).toContain('Usage: sluice');
});

test.each([
  [['statu'], "sluice: unknown command 'statu' (Did you mean status?)\n"],
  [['frobnicate'], "sluice: unknown command 'frobnicate'\n"],
  [['service', 'a/b', '-n', 'c'], "sluice: 'a/b' is not in namespace c: leave -n out\n"],
  [['service', '/b'], "sluice: '/b' is no Service: give NAME or NAMESPACE/NAME\n"],
  [['service', '-A', '-n', 'c'], 'sluice: -n and -A exclude each other\n'],
  [['status', '--bpf-rot', 'x'], "sluice: unknown option '--bpf-rot' (Did you mean --bpf-root?)\n"],
  [['status', 'now'], "sluice: too many arguments for 'status'. Expected 0 arguments but got 1.\n"],
  [['status', '--health', 'here'], "sluice: --health: 'here' is no URL\n"],
])('%j is wrong usage: exit code 2', async (words, message) => {
  expect(await sluice(words)).toMatchObject({ code: 2, err: message, out: '' });
});

test('-o with another word names the flag', async () => {
  const { code, err } = await sluice(['drops', '-o', 'xml']);
  expect(code).toBe(2);
  expect(err).toContain("'-o, --output <format>' argument 'xml' is invalid");
});

test('a failure is one line and exit code 1', async () => {
  const error = new SluiceError('NOT_RUNNING', 'no maps under /x', { cause: new Error('BPF_OBJ_GET: ENOENT') });
  for (const command of [['status'], ['service', 'list'], ['backend', 'list'], ['flow', 'list'], ['drops']]) {
    expect(await sluice(command, failing(error))).toMatchObject({
      code: 1,
      err: 'sluice: no maps under /x\n',
      out: '',
    });
  }
});

test('--debug shows stack and cause, before or after the command', async () => {
  const error = new SluiceError('MAP_FAILED', 'read map flows', { cause: new Error('EINVAL') });
  for (const words of [
    ['--debug', 'drops'],
    ['drops', '--debug'],
  ]) {
    const { code, err } = await sluice(words, failing(error));
    expect(code).toBe(1);
    expect(err).toMatch(/^sluice: read map flows\n {4}at .*\ncaused by: EINVAL\n {4}at /s);
  }
});

test('what should not happen shows no stack, and how to see it', async () => {
  const { code, err } = await sluice(['drops'], failing(new TypeError('x is undefined')));
  expect(code).toBe(1);
  expect(err).toMatch(/^sluice: x is undefined\nThis should not have happened: .*--debug.*\n$/);
  expect((await sluice(['drops', '--debug'], failing(new TypeError('x')))).err).toMatch(/^sluice: x\n {4}at /);
});

test('what the system refuses is one line', async () => {
  const removeEverything = () => {
    throw Object.assign(new Error("EROFS: read-only file system, unlink '/x'"), { code: 'EROFS', syscall: 'unlink' });
  };
  expect(await sluice(['cleanup'], { agentHolds: () => false, removeEverything })).toMatchObject({
    code: 1,
    err: "sluice: EROFS: read-only file system, unlink '/x'\n",
  });
});

test('words that look like a misspelt command are told', async () => {
  for (const [what, word, meant] of [
    ['flow', 'lists', 'list'],
    ['service', 'lst', 'list'],
    ['svc', 'problem', 'problems'],
  ] as const) {
    const { code, err } = await sluice([what, word]);
    expect(code).toBe(1);
    expect(err).toContain(`did you mean "sluice ${what === 'svc' ? 'service' : what} ${meant}"?`);
  }
});

test('a reader that leaves is no error', async () => {
  expect(await sluice(['drops'], failing(new ReaderGone('gone')))).toMatchObject({ code: 0, err: '' });
});

test('maps are closed, whatever happens', async () => {
  let closed = 0;
  const maps = { ...createMaps(), close: () => void closed++ };
  putFrontend(maps, {}, {});
  await sluice(['service', 'list'], kernelWith(maps));
  const broken = { ...maps, counters: { ...maps.counters, lookup: () => Promise.reject } } as never;
  expect((await sluice(['drops'], kernelWith(broken))).code).toBe(1);
  expect(closed).toBe(2);
});
