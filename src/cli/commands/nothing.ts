/** What a list says when it is empty, as kubectl does. */
import type { CliContext } from '../context.ts';
import { EXIT_FAILED, EXIT_OK } from '../errors.ts';
import type { ServiceFilter } from '../views/names.ts';

/** @returns the exit code: a Service that was named and is not there is a failure. */
export async function foundNothing(context: CliContext, what: string, filter: ServiceFilter = {}): Promise<number> {
  if (filter.name === undefined) {
    const where = filter.namespace === undefined ? '' : ` in namespace ${filter.namespace}`;
    await context.err.write(`no ${what}${where}\n`);
    return EXIT_OK;
  }
  const name = filter.namespace === undefined ? filter.name : `${filter.namespace}/${filter.name}`;
  await context.err.write(`sluice: no ${what} of a Service ${name} in the kernel\n`);
  return EXIT_FAILED;
}
