/** `sluice migrate`: takes a node over from kube-proxy, hands it back, and removes what kube-proxy left. */
import { Command, InvalidArgumentError } from 'commander';
import { readHandover } from '../../bpf/handover.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { SluiceError } from '../../model/errors.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_FAILED, EXIT_OK, usageError } from '../errors.ts';
import { type Check, rulesChecks, stateText, takeoverChecks } from '../migrate/checks.ts';
import { configurationSource } from '../migrate/configuration.ts';
import { finish } from '../migrate/finish.ts';
import { type Migration, renderMigration } from '../migrate/render.ts';
import { compareUntilSettled } from '../migrate/shadow.ts';
import { handBack, isServing, takeOver } from '../migrate/switch.ts';
import { formatObject, outputOption } from '../output.ts';
import type { OutputFormat } from '../output-format.ts';

const HELP = `
Stages: the agent runs as "sluice agent --standby" and has loaded everything, with nothing attached.
  sluice migrate --dry-run   checks, compares, prints what would be done, changes nothing
  sluice migrate             the same, then new connections go Sluice's way; open ones end where they are
  sluice migrate --finish    once kube-proxy is gone from the node: removes its rules
  sluice migrate --back      once kube-proxy's rules are there again: hands the node back to it

Exit codes: 0 done, and nothing differs that is not known; 1 something is in the way, differs, or did not end in time,
2 called wrongly.
`;

interface Flags {
  dryRun?: true;
  back?: true;
  finish?: true;
  force?: true;
  timeout: number;
  kubeProxyConfig?: string;
  bpfRoot: string;
  output: OutputFormat;
}

export function migrateCommand(context: CliContext): Command {
  return new Command('migrate')
    .description('take this node over from kube-proxy without breaking a connection, or hand it back')
    .option('--dry-run', 'check, compare and print the plan; change nothing')
    .option('--finish', "remove kube-proxy's chains, tables, sets and kube-ipvs0, once it runs no more")
    .option('--back', 'hand the node back to kube-proxy, whose rules must be there again')
    .option('--timeout <duration>', 'with --back: how long to wait for flows to end, e.g. 90s, 10m', duration, 600_000)
    .option('--force', 'although rules differ, flows are left, or it cannot be seen that kube-proxy is gone')
    .option(
      '--kube-proxy-config <file>',
      "kube-proxy's configuration, -: standard input (default: asked of its process)",
    )
    .addOption(bpfRootOption())
    .addOption(outputOption())
    .addHelpText('after', HELP)
    .action(async (flags: Flags) => {
      if (flags.back && flags.finish) throw usageError('--back and --finish exclude each other');
      context.exit(await withMaps(context, flags.bpfRoot, (maps) => migrate(context, maps, flags), true));
    });
}

async function migrate(context: CliContext, maps: Maps, flags: Flags): Promise<number> {
  const run = flags.back ? back : flags.finish ? finishUp : forth;
  const migration = await run(context, maps, flags);
  await context.out.write(
    formatObject(migration, flags.output) ?? renderMigration(migration, flags.output.kind === 'wide'),
  );
  return migration.done || (migration.dryRun && migration.obstacles.length === 0) ? EXIT_OK : EXIT_FAILED;
}

function obstaclesOf(checks: readonly Check[], differences: number, force: boolean): string[] {
  const failed = checks.filter(({ result }) => result === 'failed').length;
  return [
    ...(failed > 0 ? [`${failed} ${failed === 1 ? 'check' : 'checks'} failed`] : []),
    ...(differences > 0 && !force
      ? [
          `kube-proxy and Sluice differ in ${differences} ${differences === 1 ? 'case' : 'cases'}: look at each, then say --force`,
        ]
      : []),
  ];
}

async function forth(context: CliContext, maps: Maps, flags: Flags): Promise<Migration> {
  const { kernel } = context;
  const dryRun = flags.dryRun === true;
  const processes = kernel.findKubeProxy();
  const texts = kernel.readKubeProxyRules();
  const source = configurationSource(flags.kubeProxyConfig, processes.found);
  const serving = isServing(context, flags.bpfRoot, maps);
  const checks = takeoverChecks(context, flags.bpfRoot, maps, texts, processes, source);
  const comparison =
    texts.found.length === 0
      ? undefined
      : await compareUntilSettled(() => kernel.readKubeProxyRules(), maps, context.wait);
  const unknown = comparison?.differences.filter(({ known }) => !known).length ?? 0;
  const base = { direction: 'to sluice' as const, dryRun, checks, ...(comparison && { comparison }) };
  if (serving) return { ...base, done: true, obstacles: [], steps: [], outcome: 'Sluice serves this node already' };
  const obstacles = obstaclesOf(checks, unknown, flags.force === true);
  const steps = [
    'attach to every device and to the cgroup, while nothing begins yet',
    "begin: new connections go Sluice's way, those that are open go on by kube-proxy's rules until they end",
  ];
  if (dryRun || obstacles.length > 0) return { ...base, done: false, obstacles, steps };
  await takeOver(context, flags.bpfRoot, maps);
  return {
    ...base,
    done: true,
    obstacles,
    steps,
    outcome: 'Sluice serves this node; next: keep kube-proxy off it, then "sluice migrate --finish"',
  };
}

async function back(context: CliContext, maps: Maps, flags: Flags): Promise<Migration> {
  const { kernel } = context;
  const dryRun = flags.dryRun === true;
  const texts = kernel.readKubeProxyRules();
  const checks: Check[] = [{ name: 'agent', result: 'ok', detail: stateText(maps) }, ...rulesChecks(texts)];
  const comparison =
    texts.found.length === 0
      ? undefined
      : await compareUntilSettled(() => kernel.readKubeProxyRules(), maps, context.wait);
  const unknown = comparison?.differences.filter(({ known }) => !known).length ?? 0;
  const base = { direction: 'to kube-proxy' as const, dryRun, checks, ...(comparison && { comparison }) };
  if (readHandover(maps.control).detached)
    return { ...base, done: true, obstacles: [], steps: [], outcome: 'kube-proxy serves this node already' };
  const obstacles = obstaclesOf(checks, unknown, flags.force === true);
  const steps = [
    "leave what begins to kube-proxy's rules; carry the flows that are open",
    `when none is left, within ${flags.timeout / 1000} s, detach everything`,
  ];
  if (dryRun || obstacles.length > 0) return { ...base, done: false, obstacles, steps };
  const told = (left: number) => void context.err.write(`flow entries left: ${left}\n`).catch(() => undefined);
  const options = { ms: flags.timeout, force: flags.force === true };
  const { left, detached } = await handBack(context, flags.bpfRoot, maps, options, told);
  if (!detached)
    return {
      ...base,
      done: false,
      obstacles: [
        `${left} flow entries are left, and go on: see "sluice flow list"; run it again later, or cut them by --force`,
      ],
      steps,
      outcome: 'new connections go by kube-proxy',
    };
  return {
    ...base,
    done: true,
    obstacles,
    steps,
    outcome: 'kube-proxy serves this node; nothing of Sluice is attached',
  };
}

async function finishUp(context: CliContext, maps: Maps, flags: Flags): Promise<Migration> {
  if (!isServing(context, flags.bpfRoot, maps))
    throw new SluiceError(
      'NOT_RUNNING',
      `remove kube-proxy's rules: Sluice does not serve this node (it ${stateText(maps)}); run "sluice migrate" first`,
    );
  return finish(context, { dryRun: flags.dryRun === true, force: flags.force === true });
}

/** @returns milliseconds. */
function duration(text: string): number {
  const [, number, unit = 's'] = /^(\d{1,6})(s|m|h)?$/.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError('It must be a duration such as 90s, 10m or 1h.');
  return Number(number) * { s: 1000, m: 60_000, h: 3_600_000 }[unit as 's' | 'm' | 'h'];
}
