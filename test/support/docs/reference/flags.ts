/** docs/flags.md, made of the program that reads the command line. */
import type { Command, Option } from 'commander';
import type { CliContext } from '../../../../src/cli/context.ts';
import { createProgram } from '../../../../src/cli/program.ts';
import { KUBE_PROXY_FLAGS } from '../../../../src/config/flags.ts';
import { FLAG_DETAILS } from './flag-details.ts';
import { generated, table } from './table.ts';

/** Nothing of it is used: no command runs. */
const context = { version: '' } as CliContext;

const isKubeProxys = ({ long }: Option) => Object.hasOwn(KUBE_PROXY_FLAGS, long?.replace(/^--/, '') ?? '');

/** Commands that people type, with those below them. */
function commands(command: Command): Command[] {
  const shown = command.createHelp().visibleCommands(command);
  return [
    command,
    ...shown.filter(({ commands: _, ...c }) => c).flatMap((each) => (each.name() === 'help' ? [] : commands(each))),
  ];
}

const pathOf = (command: Command): string =>
  command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;

function usage(command: Command): string {
  const words = command.registeredArguments.map((argument) =>
    argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
  );
  return [pathOf(command), ...words].join(' ');
}

function row(option: Option): string[] {
  const { flags, description, defaultValue, defaultValueDescription, argChoices } = option;
  const details = FLAG_DETAILS[option.long ?? ''];
  const choices = argChoices === undefined ? '' : ` One of ${argChoices.map((choice) => `\`${choice}\``).join(', ')}.`;
  const value = defaultValueDescription ?? (typeof defaultValue === 'object' ? undefined : defaultValue);
  const shown = value === undefined ? '' : `\`${value}\``;
  return [`\`${flags}\``, `${details ?? description}.${choices}`.replace(/([.:])\.( |$)/, '$1$2'), shown];
}

/** The long names of all options that the page names. */
export const flagNames = (): Set<string> =>
  new Set(commands(createProgram(context)).flatMap(({ options }) => options.map(({ long }) => long ?? '')));

/** @returns the whole text of the page. */
export function flagsPage(): string {
  const sections = commands(createProgram(context)).map((command) => {
    const options = command
      .createHelp()
      .visibleOptions(command)
      .filter(
        (option) =>
          !isKubeProxys(option) ||
          option.long === '--kubeconfig' ||
          option.long === '--config' ||
          option.long === '--cleanup',
      );
    const rows = options.filter(({ long }) => long !== '--help').map(row);
    const kubeProxy =
      command.name() === 'agent'
        ? '\n\nAnd every flag of kube-proxy 1.36: [a table](configuration.md#flags-of-kube-proxy).'
        : '';
    return `## ${pathOf(command)}

\`${usage(command)}\`: ${command.description().replace(/\.$/, '')}.${rows.length === 0 ? '' : `\n\n${table(['flag', '', 'default'], rows)}`}${kubeProxy}`;
  });
  return `# Flags

${generated('src/cli')}

Every command with its flags. \`sluice COMMAND --help\` says the same, with the columns of its table.

${sections.join('\n\n')}
`;
}
