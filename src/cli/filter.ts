/** Which Services a list shows: `NAME`, `NAMESPACE/NAME`, `-n`, `-A` and `-l`, as kubectl has them. */
import type { Command } from 'commander';
import { usageError } from './errors.ts';
import { parseService, type ServiceFilter } from './views/names.ts';

export interface FilterFlags {
  namespace?: string;
  allNamespaces?: true;
  selector?: string;
}

/** Without -n all namespaces are shown: -A is the default. */
export function addFilters(command: Command): Command {
  return command
    .option('-n, --namespace <namespace>', 'only of this namespace (default: all)')
    .option('-A, --all-namespaces', 'of all namespaces, which is the default');
}

/** For lists whose rows have fields to choose by. */
export function addSelector(command: Command): Command {
  return command.option(
    '-l, --selector <terms>',
    'only rows whose fields are so, e.g. namespace=shop,types!=NodePort; the fields are those of -o json (labels of Services are not in the kernel)',
  );
}

/** @throws SluiceError FLAG_INVALID when two namespaces are asked for. */
export function filterOf(name: string | undefined, flags: FilterFlags): ServiceFilter {
  const named = name === undefined ? {} : parseService(name);
  if (flags.namespace !== undefined && flags.allNamespaces) throw usageError('-n and -A exclude each other');
  if (named.namespace !== undefined && (named.namespace === '' || named.name === ''))
    throw usageError(`'${name}' is no Service: give NAME or NAMESPACE/NAME`);
  if (named.namespace !== undefined && flags.namespace !== undefined && named.namespace !== flags.namespace)
    throw usageError(`'${name}' is not in namespace ${flags.namespace}: leave -n out`);
  return { ...(flags.namespace !== undefined && { namespace: flags.namespace }), ...named };
}

type Term = (row: Readonly<Record<string, unknown>>) => boolean;

/**
 * @param text `field=value`, `field==value`, `field!=value`, separated by commas. Of a field that is a list one item has to be so.
 * @returns whether a row has all of it. @throws SluiceError FLAG_INVALID, from a row too that has no such field.
 */
export function selectorOf(text: string | undefined, fields: readonly string[]): (row: object) => boolean {
  const terms = text === undefined ? [] : text.split(',').map((term) => parseTerm(term.trim(), fields));
  return (row) => terms.every((term) => term(row as Readonly<Record<string, unknown>>));
}

function parseTerm(term: string, fields: readonly string[]): Term {
  const [, field = '', operator = '', value = ''] = /^([^=!]+?)\s*(==?|!=)\s*(.*)$/.exec(term) ?? [];
  if (operator === '') throw usageError(`--selector: '${term}' is no term: give field=value or field!=value`);
  const known = fields.find((name) => name.toLowerCase() === field.toLowerCase());
  if (known === undefined) {
    throw usageError(
      `--selector: there is no field '${field}'; there are ${fields.join(', ')}. Labels of Services are not in the kernel: "kubectl get service -l ${term}" knows them`,
    );
  }
  return (row) => {
    const found = row[known];
    const values = Array.isArray(found) ? found : [found ?? ''];
    return values.some((item) => String(item) === value) === (operator !== '!=');
  };
}
