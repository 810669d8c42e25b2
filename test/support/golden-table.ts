/** Renders compiled Services as text for golden tests: stable, aligned, one fact a line. */
import { frontendFlags } from '../../maps-schema/gen/codecs.ts';
import type { Backend, CompiledService, CompiledServicePort, Problem } from '../../src/model/compiled.ts';

/** Columns separated by two spaces, no trailing ones; without rows only the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `address:port`, with brackets round an IPv6 address. */
export function endpointText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function flagsText(flags: number): string {
  const names = Object.entries(frontendFlags).flatMap(([bit, name]) => (flags & (1 << Number(bit)) ? [name] : []));
  return names.join(' ') || '-';
}

function portText(port: CompiledServicePort): string {
  return `${port.namespace}/${port.service}:${port.portName || '-'}/${port.protocol}/${port.family}`;
}

function listsOf(port: CompiledServicePort, backend: Backend): string {
  const names = [
    port.lists.cluster.includes(backend) ? 'cluster' : '',
    port.lists.local.includes(backend) ? 'local' : '',
  ];
  return names.filter(Boolean).join(',') || '-';
}

function backendRow(port: CompiledServicePort, backend: Backend): string[] {
  const state = [backend.local ? 'local' : '', backend.terminating ? 'terminating' : ''].filter(Boolean).join(',');
  return [portText(port), endpointText(backend.address, backend.port), listsOf(port, backend), state || '-'];
}

function serviceRow(service: CompiledService): string[] {
  const { health, noLocalEndpoints: none, lastChangeTrigger: trigger } = service;
  const byFamily = Object.entries(health?.localEndpointsByFamily ?? {}).map(([family, count]) => `${family} ${count}`);
  return [
    `${service.namespace}/${service.name}`,
    health === undefined ? '-' : `port ${health.port}: ${health.localEndpoints} (${byFamily.join(', ')})`,
    `${none.IPv4.internal + none.IPv6.internal}/${none.IPv4.external + none.IPv6.external}`,
    trigger === undefined ? '-' : new Date(trigger).toISOString(),
  ];
}

function problemText(problem: Problem): string {
  const name = `${problem.kind} ${problem.namespace}/${problem.name}`;
  return `${name}${problem.field === '' ? '' : ` ${problem.field}`}: ${problem.message}`;
}

/** @param services sorted by name, as the compiler returns them */
export function renderCompiled(services: readonly CompiledService[], problems: readonly Problem[] = []): string {
  const ports = services.flatMap((service) => service.ports);
  const frontends = ports.flatMap((port) =>
    port.frontends.map((f) => [
      portText(port),
      endpointText(f.address, f.port),
      f.internal,
      f.external,
      flagsText(f.flags),
    ]),
  );
  const backends = ports.flatMap((port) => port.serving.map((backend) => backendRow(port, backend)));
  const settings = ports.flatMap((port) => {
    const ranges = port.sourceRanges.map((range) => `${range.address}/${range.bits}`).join(' ');
    return port.affinitySeconds === 0 && ranges === ''
      ? []
      : [[portText(port), `${port.affinitySeconds}`, ranges || '-']];
  });
  const all = [...services.flatMap((service) => service.problems), ...problems].map(problemText);
  return `${[
    table(['SERVICE', 'HEALTH', 'NO-LOCAL INT/EXT', 'LAST CHANGE'], services.map(serviceRow)),
    table(['PORT', 'FRONTEND', 'INTERNAL', 'EXTERNAL', 'FLAGS'], frontends),
    table(['PORT', 'BACKEND', 'LISTS', 'STATE'], backends),
    table(['PORT', 'AFFINITY SECONDS', 'SOURCE RANGES'], settings),
    ['PROBLEMS', ...(all.length === 0 ? ['none'] : all)].join('\n'),
  ].join('\n\n')}\n`;
}
