/** `sluice cleanup`: removes everything Sluice made, or what kube-proxy left. */
import { Command } from 'commander';
import { SluiceError } from '../../model/errors.ts';
import { bpfRootOption, type CliContext } from '../context.ts';
import { EXIT_FAILED, EXIT_OK } from '../errors.ts';

interface Flags {
  bpfRoot: string;
  kubeProxy?: true;
  force?: true;
}

export function cleanupCommand(context: CliContext): Command {
  return new Command('cleanup')
    .description('remove everything Sluice made: links, filters, programs, maps; may be run again')
    .option('--kube-proxy', 'instead, remove what kube-proxy left: chains, tables, kube-ipvs0, sets; Sluice goes on')
    .option('--force', 'with --kube-proxy: even when Sluice serves nothing here')
    .addOption(bpfRootOption())
    .action(async ({ bpfRoot, kubeProxy, force }: Flags) => {
      if (kubeProxy !== true) return context.exit(await cleanUp(context, bpfRoot));
      if (force !== true) checkLive(context, bpfRoot);
      context.exit(await cleanUpKubeProxy(context));
    });
}

/** Also what `sluice agent --cleanup` does. @returns the exit code. @throws SluiceError STATE_LOCKED while an agent runs */
export async function cleanUp(context: CliContext, root: string): Promise<number> {
  if (context.kernel.agentHolds(root) === true)
    throw new SluiceError(
      'STATE_LOCKED',
      `remove everything under ${root}: an agent holds it, and would put back what it needs; stop it first`,
    );
  const { directories, ...counts } = context.kernel.removeEverything(root);
  const tables = context.kernel.removeKeepingTables();
  const removed = [...countsText({ ...counts, tables }), ...directories];
  await context.out.write(
    removed.length === 0 ? `nothing to remove under ${root}\n` : `removed ${removed.join(', ')}\n`,
  );
  return EXIT_OK;
}

/** @throws SluiceError NOT_RUNNING: without kube-proxy's rules nothing would serve the Services. */
function checkLive({ kernel }: CliContext, root: string): void {
  const attached = kernel.listLinks(root).some((link) => link.attached && link.kind === 'tcx');
  if (attached || kernel.listFilters(root).length > 0) return;
  throw new SluiceError(
    'NOT_RUNNING',
    `remove kube-proxy's rules: no program is attached under ${root}, so nothing would serve Services then; start "sluice agent" first, or say --force`,
  );
}

async function cleanUpKubeProxy({ kernel, out, err }: CliContext): Promise<number> {
  const { failures, ...counts } = kernel.removeKubeProxy();
  const parts = countsText(counts);
  await out.write(
    parts.length === 0 ? 'nothing of kube-proxy to remove\n' : `removed ${parts.join(', ')} of kube-proxy\n`,
  );
  if (failures.length === 0) return EXIT_OK;
  await err.write(`${failures.join('\n')}\n`);
  return EXIT_FAILED;
}

function countsText(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${count === 1 ? what.slice(0, -1) : what}`);
}
