/** `sluice bundle`: one archive with what a maintainer asks for. */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Command } from 'commander';
import { type MapName, maps as shapes } from '../../../maps-schema/gen/codecs.ts';
import { readReport } from '../../model/agent-report.ts';
import { SluiceError } from '../../model/errors.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { orUndefined } from '../optional.ts';
import { createAddressReplacer, withoutSecrets } from '../redact.ts';
import { type TarFile, writeTar } from '../tar.ts';
import { positive } from './positive.ts';

/** Maps whose rows the other files do not have. */
const MAPS: readonly MapName[] = [
  'serviceAddresses',
  'affinities',
  'sourceRanges',
  'podCidrs',
  'serviceCidrs',
  'nodeAddresses',
  'peers',
  'dsrBackends',
  'devices',
  'fragments',
  'sockNames',
  'socketOptOuts',
  'tableEvents',
  'snatBackends',
  'reservedPorts',
  'control',
];
const MAP_ROWS = 10_000;
/** Bytes of the end of the log. */
const LOG_BYTES = 4 * 1024 * 1024;
const CONFIGURATION_BYTES = 1024 * 1024;

/** What the host says of itself, by file. */
const HOST: Readonly<Record<string, readonly string[]>> = {
  'host/uname.txt': ['uname', '-a'],
  'host/links.json': ['ip', '-j', '-d', 'link', 'show'],
  'host/addresses.json': ['ip', '-j', 'address', 'show'],
  'host/routes4.json': ['ip', '-j', '-4', 'route', 'show', 'table', 'all'],
  'host/routes6.json': ['ip', '-j', '-6', 'route', 'show', 'table', 'all'],
  'host/rules4.json': ['ip', '-j', '-4', 'rule', 'show'],
  'host/rules6.json': ['ip', '-j', '-6', 'rule', 'show'],
};

interface Flags {
  bpfRoot: string;
  file?: string;
  log?: string;
  flows: number;
  replaceAddresses?: true;
}

const HELP = `
Holds status, Services, backends, problems, drops, flows and sockets (some of them), events, small maps, kernel features,
the configuration that the agent read, devices and routes, and with --log the end of the agent's log.
Tokens, passwords and private keys are removed always, wherever they stand. --replace-addresses puts others in the place
of IP and MAC addresses, the same for the same one throughout. Names of Services, pods and devices stay.
The file is readable for its owner alone. Look through it before you give it away: README.txt in it lists what it holds.
`;

export function bundleCommand(context: CliContext): Command {
  return new Command('bundle')
    .description('write an archive with what a maintainer asks for when something is wrong')
    .option('--file <file>', 'where to (default: sluice-bundle-NODE-TIME.tar.gz)')
    .option('--log <file>', "the agent's log: its end is added")
    .option('--flows <rows>', 'so many flows and sockets', positive, 1000)
    .option('--replace-addresses', 'put others in the place of addresses')
    .addOption(bpfRootOption())
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      const now = new Date(context.now());
      const stamp = now.toISOString().replace(/[-:]|\.\d+/g, '');
      const node = context
        .hostname()
        .trim()
        .toLowerCase()
        .replace(/[^a-z0-9.-]/g, '');
      const name = `sluice-bundle-${node}-${stamp}`;
      const path = resolve(flags.file ?? `${name}.tar.gz`);
      const files = await collect(context, flags);
      const clean = cleaner(flags);
      const cleaned = [readme(files, flags, now), ...files].map((file) => ({
        name: `${name}/${file.name}`,
        text: clean(file.text),
      }));
      try {
        writeFileSync(path, gzipSync(writeTar(cleaned, now.getTime() / 1000)), { mode: 0o600, flag: 'wx' });
      } catch (cause) {
        throw new SluiceError('OUTPUT_FAILED', `write ${path}: ${(cause as Error).message}`, { cause });
      }
      await context.out.write(`${path}\n`);
      context.exit(EXIT_OK);
    });
}

function cleaner({ replaceAddresses }: Flags): (text: string) => string {
  const replace = replaceAddresses ? createAddressReplacer() : (text: string) => text;
  return (text) => replace(withoutSecrets(text));
}

/** What fails is told in errors.txt: the rest is worth having. */
async function collect(context: CliContext, flags: Flags): Promise<TarFile[]> {
  const files: TarFile[] = [];
  const errors: string[] = [];
  const root = ['--bpf-root', flags.bpfRoot];
  const limit = ['--limit', String(flags.flows)];
  const commands: Readonly<Record<string, readonly string[]>> = {
    'version.json': ['version', ...root, '-o', 'json'],
    'status.json': ['status', ...root, '-o', 'json'],
    'status.txt': ['status', ...root, '-o', 'wide'],
    'services.json': ['service', 'list', ...root, '-o', 'json'],
    'problems.json': ['service', 'problems', ...root, '-o', 'json'],
    'backends.json': ['backend', 'list', ...root, '-o', 'json'],
    'drops.json': ['drops', ...root, '-o', 'json'],
    'events.json': ['events', ...root, '-o', 'json'],
    'flows.json': ['flow', 'list', ...limit, ...root, '-o', 'json'],
    'sockets.json': ['flow', 'list', '--sockets', ...limit, ...root, '-o', 'json'],
    ...Object.fromEntries(
      MAPS.map((map) => [
        `maps/${shapes[map].name}.json`,
        ['map', shapes[map].name, '--limit', String(MAP_ROWS), ...root, '-o', 'json'],
      ]),
    ),
  };
  for (const [name, words] of Object.entries(commands)) {
    const { out, err } = await context.run(words);
    if (out !== '') files.push({ name, text: out });
    if (err !== '') errors.push(`${name}: ${err.trimEnd()}`);
  }
  const add = (name: string, read: () => string) => {
    try {
      files.push({ name, text: read() });
    } catch (error) {
      errors.push(`${name}: ${(error as Error).message.split('\n')[0]}`);
    }
  };
  for (const [name, [command = '', ...args]] of Object.entries(HOST))
    add(name, () => execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe', maxBuffer: 64 * 1024 * 1024 }));
  const configuration = await configurationFile(context, flags.bpfRoot);
  if (configuration !== undefined) add('configuration.yaml', () => endOf(configuration, CONFIGURATION_BYTES));
  const { log } = flags;
  if (log !== undefined) add('agent.log', () => endOf(log, LOG_BYTES));
  return errors.length === 0 ? files : [...files, { name: 'errors.txt', text: `${errors.join('\n')}\n` }];
}

/** Path of the file that the agent read, as it told. */
async function configurationFile(context: CliContext, root: string): Promise<string | undefined> {
  try {
    const report = await withMaps(context, root, async (maps) => orUndefined(() => readReport(maps.report.view)));
    return report?.configurationFile ?? undefined;
  } catch {
    return undefined;
  }
}

function endOf(path: string, bytes: number): string {
  const fd = openSync(path, 'r');
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return readFileSync(fd, 'utf8').slice(-bytes);
    const buffer = Buffer.alloc(Math.min(stats.size, bytes));
    const read = readSync(fd, buffer, 0, buffer.length, stats.size - buffer.length);
    return buffer.toString('utf8', 0, read);
  } finally {
    closeSync(fd);
  }
}

function readme(files: readonly TarFile[], flags: Flags, now: Date): TarFile {
  const text = [
    `Made by "sluice bundle" at ${now.toISOString()}.`,
    'Tokens, passwords and private keys were removed.',
    flags.replaceAddresses
      ? 'Addresses were replaced: 240.0.0.0/4, 2001:db8:ffff::/48 and 02:ff:ff:… stand for others.'
      : 'Addresses are as they were.',
    '',
    ...files.map(({ name, text: body }) => `${name}  ${Buffer.byteLength(body)} bytes`),
    '',
  ];
  return { name: 'README.txt', text: text.join('\n') };
}
