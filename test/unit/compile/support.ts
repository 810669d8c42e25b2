/** Compiles one Service in tests. */
import { frontendFlags } from '../../../maps-schema/gen/codecs.ts';
import { createCompiler } from '../../../src/compile/compiler.ts';
import type { NodeContext } from '../../../src/compile/context.ts';
import type { CompiledFrontend, CompiledService, CompiledServicePort, ListName } from '../../../src/model/compiled.ts';
import { nodeContext } from './objects.ts';

/** @returns the rows of Service default/web, or undefined when it is not served. */
export function compile(
  service: unknown,
  slices: unknown[] = [],
  context: NodeContext = nodeContext(),
): CompiledService | undefined {
  const compiler = createCompiler(context);
  slices.forEach((slice, i) => {
    compiler.setSlice(`default/web-${i + 1}`, slice);
  });
  compiler.setService('default/web', service);
  return compiler.take().changed[0];
}

/** The first port of what `compile` returns. */
export function compilePort(service: unknown, slices: unknown[] = [], context?: NodeContext): CompiledServicePort {
  const port = compile(service, slices, context)?.ports[0];
  if (port === undefined) throw new Error('the Service has no port');
  return port;
}

export function addresses(port: CompiledServicePort | undefined, list: ListName | 'serving'): string[] | undefined {
  return (list === 'serving' ? port?.serving : port?.lists[list])?.map(
    (backend) => `${backend.address}:${backend.port}`,
  );
}

export function flagNames(flags: number | undefined): string[] {
  return Object.entries(frontendFlags).flatMap(([bit, name]) => ((flags ?? 0) & (1 << Number(bit)) ? [name] : []));
}

/** The frontend of a port with an address. */
export function frontend(port: CompiledServicePort | undefined, address: string): CompiledFrontend | undefined {
  return port?.frontends.find((row) => row.address === address);
}

/** SNAT flags of a frontend, without the prefix. */
export function snat(row: CompiledFrontend | undefined): string[] {
  return flagNames(row?.flags).flatMap((name) => (name.startsWith('SNAT_') ? [name.slice(5)] : []));
}
