/** Whose a service_port_id is. */
import { type ServicePort, servicePort, servicePortKey } from '../../../maps-schema/gen/codecs.ts';
import { decodeRows, type Row } from './rows.ts';

/** What rows that belong to a ServicePort begin with. Text is "" when the id has no name (its Service is going). */
export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  /** spec.ports[].name; "" for an unnamed port. */
  readonly port: string;
}

export type Names = ReadonlyMap<number, ServicePort>;

/** @param rows of the map service_ports. */
export function readNames(rows: Iterable<Row>): Names {
  const names = new Map<number, ServicePort>();
  for (const [key, value] of decodeRows(rows, servicePortKey, servicePort)) names.set(key.id, value);
  return names;
}

export function nameOf(names: Names, id: number): ServicePortName {
  const found = names.get(id);
  return { namespace: found?.namespace ?? '', name: found?.service ?? '', port: found?.portName ?? '' };
}

/** Which services to show; undefined: all. */
export interface ServiceFilter {
  readonly namespace?: string;
  readonly name?: string;
}

export function matchesService(filter: ServiceFilter, service: ServicePortName): boolean {
  return (
    (filter.namespace === undefined || filter.namespace === service.namespace) &&
    (filter.name === undefined || filter.name === service.name)
  );
}

/** @param text `namespace/name`, or a name in any namespace. */
export function parseService(text: string): ServiceFilter {
  const slash = text.indexOf('/');
  return slash < 0 ? { name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}
