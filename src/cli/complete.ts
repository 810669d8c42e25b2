/** What may stand at the end of a command line: asked by the shells' scripts of `sluice completion`. */
import type { Command, Option } from 'commander';

export interface Candidate {
  readonly word: string;
  readonly description: string;
}

/** What only the kernel knows. */
export interface Names {
  /** As `namespace/name`. */
  services(): Promise<readonly string[]>;
}

const OUTPUTS = ['table', 'wide', 'json', 'yaml', 'name', 'jsonpath=', 'custom-columns='];
const OF_SERVICES: ReadonlySet<string> = new Set(['name', 'service']);

/** @param words behind `sluice`; the last one is being written. @returns none where a file name may stand. */
export async function complete(program: Command, words: readonly string[], names: Names): Promise<Candidate[]> {
  const current = words.at(-1) ?? '';
  let command = program;
  let open: Option | undefined;
  let operands = 0;
  for (const word of words.slice(0, -1)) {
    if (open !== undefined) open = undefined;
    else if (word.startsWith('-')) open = valueOption(command, word);
    else {
      const next: Command | undefined = operands === 0 ? subcommand(command, word) : undefined;
      if (next === undefined) operands++;
      else command = next;
    }
  }
  const found =
    open !== undefined
      ? await valuesOf(open, names)
      : current.startsWith('-')
        ? optionsOf(command)
        : [...(operands === 0 ? subcommandsOf(command) : []), ...(await operandsOf(command, operands, names))];
  return found.filter(({ word }) => word.startsWith(current));
}

function subcommand(command: Command, word: string): Command | undefined {
  return command.commands.find((one) => one.name() === word || one.aliases().includes(word));
}

/** The options of the command, and of the one that is run when no other is named. */
function allOptions(command: Command): Option[] {
  const listed = subcommand(command, 'list');
  return [...command.options, ...(listed?.options ?? [])].filter((option) => !option.hidden);
}

/** @returns the option whose value is the next word. */
function valueOption(command: Command, word: string): Option | undefined {
  const option = allOptions(command).find(({ long, short }) => word === long || word === short);
  return option?.required === true || option?.optional === true ? option : undefined;
}

function optionsOf(command: Command): Candidate[] {
  const options = allOptions(command).map(({ long, description }) => ({ word: long ?? '', description }));
  return [...options, { word: '--help', description: 'display help for command' }];
}

function subcommandsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((one) => ({ word: one.name(), description: one.description() }));
}

async function operandsOf(command: Command, index: number, names: Names): Promise<Candidate[]> {
  const [argument] = (subcommand(command, 'list') ?? command).registeredArguments.slice(index);
  if (argument === undefined) return [];
  if (argument.argChoices !== undefined) return plain(argument.argChoices);
  return OF_SERVICES.has(argument.name()) ? plain(await names.services()) : [];
}

async function valuesOf(option: Option, names: Names): Promise<Candidate[]> {
  if (option.argChoices !== undefined) return plain(option.argChoices);
  if (option.long === '--output') return plain(OUTPUTS);
  if (option.long === '--service') return plain(await names.services());
  if (option.long !== '--namespace') return [];
  return plain([...new Set((await names.services()).map((name) => name.split('/')[0] ?? ''))]);
}

const plain = (words: readonly string[]): Candidate[] => words.map((word) => ({ word, description: '' }));
