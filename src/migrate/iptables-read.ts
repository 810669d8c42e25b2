/** What `iptables-save` says, as tables of chains of rules. */

export interface IptablesMatch {
  /** e.g. `-s`, `--dport` */
  readonly option: string;
  readonly not: boolean;
  readonly args: readonly string[];
}

export interface IptablesRule {
  readonly matches: readonly IptablesMatch[];
  /** "" for a rule without one. */
  readonly target: string;
  /** `-g`: it does not come back to this chain. */
  readonly goto: boolean;
  /** Options of the target. */
  readonly targetOptions: ReadonlyMap<string, readonly string[]>;
}

export interface IptablesChain {
  readonly name: string;
  readonly rules: IptablesRule[];
}

/** Chains by name. */
export type IptablesTable = ReadonlyMap<string, IptablesChain>;

export interface IptablesRules {
  readonly nat: IptablesTable;
  readonly filter: IptablesTable;
}

const TOKEN = /"((?:\\.|[^"\\])*)"|(\S+)/g;

function tokens(line: string): string[] {
  const found: string[] = [];
  for (const [, quoted, plain] of line.matchAll(TOKEN)) found.push(quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '');
  return found;
}

/** @param words behind `-A CHAIN` */
function readRule(words: readonly string[]): IptablesRule {
  const matches: IptablesMatch[] = [];
  const targetOptions = new Map<string, string[]>();
  let target = '';
  let goto = false;
  let not = false;
  for (let i = 0; i < words.length; ) {
    const option = words[i++] ?? '';
    if (option === '!') {
      not = true;
      continue;
    }
    const args: string[] = [];
    // A comment may begin with a dash.
    if (option === '--comment') args.push(words[i++] ?? '');
    else while (i < words.length && !/^(-|!$)/.test(words[i] ?? '')) args.push(words[i++] ?? '');
    if (option === '-j' || option === '-g') {
      target = args[0] ?? '';
      goto = option === '-g';
    } else if (target === '') matches.push({ option, not, args });
    else targetOptions.set(option, args);
    not = false;
  }
  return { matches, target, goto, targetOptions };
}

/** Reads the tables nat and filter; lines that say nothing of them are passed over. Never throws. */
export function readIptables(saved: string): IptablesRules {
  const tables = { nat: new Map<string, IptablesChain>(), filter: new Map<string, IptablesChain>() };
  let table: Map<string, IptablesChain> | undefined;
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) {
      const name = line.slice(1).trim();
      table = name === 'nat' || name === 'filter' ? tables[name] : undefined;
    } else if (table !== undefined && line.startsWith(':')) {
      const name = line.slice(1).split(' ', 1)[0] ?? '';
      if (!table.has(name)) table.set(name, { name, rules: [] });
    } else if (table !== undefined && line.startsWith('-A ')) {
      const [, name = '', ...words] = tokens(line);
      const chain = table.get(name) ?? { name, rules: [] };
      table.set(name, chain);
      chain.rules.push(readRule(words));
    }
  }
  return tables;
}
