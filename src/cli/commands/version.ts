/** `sluice version`: this program's, and that of the agent that wrote the maps. */
import { Command } from 'commander';
import { SCHEMA_VERSION } from '../../../maps-schema/gen/codecs.ts';
import { readReport } from '../../model/agent-report.ts';
import { SluiceError } from '../../model/errors.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_OK } from '../errors.ts';
import { orUndefined } from '../optional.ts';
import { formatObject, outputOption } from '../output.ts';
import type { OutputFormat } from '../output-format.ts';

export interface Versions {
  readonly client: string;
  /** Layout of the maps that this program reads. */
  readonly schema: number;
  /** undefined: no agent ran here, or its maps cannot be read. */
  readonly agent?: string;
}

export function versionCommand(context: CliContext): Command {
  return new Command('version')
    .description('print the version of this program, and of the agent that ran here last')
    .option('--client', 'of this program alone')
    .addOption(bpfRootOption())
    .addOption(outputOption())
    .action(async (flags: { client?: true; bpfRoot: string; output: OutputFormat }) => {
      const agent = flags.client ? undefined : await agentVersion(context, flags.bpfRoot);
      const versions: Versions = { client: context.version, schema: SCHEMA_VERSION, ...(agent && { agent }) };
      const lines = [
        `sluice:  ${versions.client}`,
        `schema:  v${versions.schema}`,
        ...(flags.client ? [] : [`agent:   ${agent ?? 'none ran here'}`]),
      ];
      await context.out.write(formatObject(versions, flags.output) ?? `${lines.join('\n')}\n`);
      context.exit(EXIT_OK);
    });
}

async function agentVersion(context: CliContext, root: string): Promise<string | undefined> {
  try {
    return await withMaps(context, root, async (maps) => orUndefined(() => readReport(maps.report.view))?.version);
  } catch (error) {
    if (error instanceof SluiceError) return undefined;
    throw error;
  }
}
