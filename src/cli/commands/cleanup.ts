/** `sluice cleanup`: removes everything Sluice made. */
import { Command } from 'commander';
import { bpfRootOption, type CliContext } from '../context.ts';
import { EXIT_OK } from '../errors.ts';

export function cleanupCommand(context: CliContext): Command {
  return new Command('cleanup')
    .description('remove everything Sluice made: links, filters, programs, maps; may be run again')
    .addOption(bpfRootOption())
    .action(async (flags: { bpfRoot: string }) => context.exit(await cleanUp(context, flags.bpfRoot)));
}

/** Also what `sluice agent --cleanup` does. @returns the exit code. */
export async function cleanUp(context: CliContext, root: string): Promise<number> {
  const { directories, ...counts } = context.kernel.removeEverything(root);
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${count === 1 ? what.slice(0, -1) : what}`);
  await context.out.write(
    directories.length === 0
      ? `nothing to remove under ${root}\n`
      : `removed ${[...parts, ...directories].join(', ')}\n`,
  );
  return EXIT_OK;
}
