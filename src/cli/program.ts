/** The commands of `sluice`, put together. */
import { Command, type OutputConfiguration } from 'commander';
import { agentCommand } from './commands/agent.ts';
import { backendCommand } from './commands/backend.ts';
import { bundleCommand } from './commands/bundle.ts';
import { cleanupCommand } from './commands/cleanup.ts';
import { completeCommand, completionCommand } from './commands/completion.ts';
import { dropsCommand } from './commands/drops.ts';
import { eventsCommand } from './commands/events.ts';
import { explainCommand } from './commands/explain.ts';
import { flowCommand } from './commands/flow.ts';
import { mapCommand } from './commands/map.ts';
import { migrateCommand } from './commands/migrate.ts';
import { monitorCommand } from './commands/monitor.ts';
import { serviceCommand } from './commands/service.ts';
import { statusCommand } from './commands/status.ts';
import { topCommand } from './commands/top.ts';
import { verifyCommand } from './commands/verify.ts';
import { versionCommand } from './commands/version.ts';
import type { CliContext } from './context.ts';

const EXIT_CODES = `
Exit codes: 0 done; 1 failed, or nothing by that name, or no healthy agent; 2 called wrongly (verify: could not compare).
`;

/**
 * Every way out throws or returns: nothing in here ends the process (`runCli` turns the outcome into an exit code).
 * @param output where commander writes help and what was called wrongly.
 */
export function createProgram(context: CliContext, output: OutputConfiguration = {}): Command {
  const program = new Command('sluice')
    .description('The service load balancer of a Kubernetes node.')
    .version(context.version, '-V, --version')
    .option('--debug', 'show where errors come from')
    .addCommand(agentCommand(context))
    .addCommand(statusCommand(context))
    .addCommand(serviceCommand(context))
    .addCommand(backendCommand(context))
    .addCommand(flowCommand(context))
    .addCommand(dropsCommand(context))
    .addCommand(topCommand(context))
    .addCommand(monitorCommand(context))
    .addCommand(eventsCommand(context))
    .addCommand(explainCommand(context))
    .addCommand(verifyCommand(context))
    .addCommand(mapCommand(context))
    .addCommand(bundleCommand(context))
    .addCommand(migrateCommand(context))
    .addCommand(cleanupCommand(context))
    .addCommand(versionCommand(context))
    .addCommand(completionCommand(context))
    .addHelpText('after', EXIT_CODES);
  program.addCommand(completeCommand(context, program), { hidden: true });
  for (const command of withSubcommands(program)) {
    command.exitOverride().configureOutput(output).showSuggestionAfterError().allowExcessArguments(false);
  }
  return program;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}
