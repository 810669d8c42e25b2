/** What a list says when it is empty, as kubectl does. */
import type { CliContext } from '../context.ts';
import { EXIT_FAILED, EXIT_OK } from '../errors.ts';
import { similar } from '../similar.ts';
import type { ServiceFilter } from '../views/names.ts';

/**
 * @param command `sluice COMMAND NAME` takes any word for a Service: one that looks like a misspelt command is told.
 * @returns the exit code: a Service that was named and is not there is a failure.
 */
export async function foundNothing(
  context: CliContext,
  what: string,
  filter: ServiceFilter,
  command: string,
): Promise<number> {
  if (filter.name === undefined) {
    const where = filter.namespace === undefined ? '' : ` in namespace ${filter.namespace}`;
    await context.err.write(`no ${what}${where}\n`);
    return EXIT_OK;
  }
  const name = filter.namespace === undefined ? filter.name : `${filter.namespace}/${filter.name}`;
  const meant = similar(name, command === 'service' ? ['list', 'problems'] : ['list']);
  const hint = meant === undefined ? '' : `; did you mean "sluice ${command} ${meant}"?`;
  await context.err.write(`sluice: no ${what} of a Service ${name} in the kernel${hint}\n`);
  return EXIT_FAILED;
}
