/** Which ready endpoints the hints of the EndpointSlice controller keep for this node (R-24…R-27). */
import type { PortEndpoint } from './endpoints.ts';

/** hints count only when every ready endpoint has one and at least one of them names this place. */
function keepHinted(
  ready: readonly PortEndpoint[],
  hint: 'nodes' | 'zones',
  place: string,
): PortEndpoint[] | undefined {
  const kept: PortEndpoint[] = [];
  for (const item of ready) {
    const names = item.endpoint[hint];
    if (names === undefined) return undefined;
    if (names.includes(place)) kept.push(item);
  }
  return kept.length === 0 ? undefined : kept;
}

/**
 * @param ready the ready endpoints of a port
 * @param zone undefined when the node has none: zones are not looked at then
 * @returns some of them, never none of several; all of them when the hints do not apply here
 */
export function filterByTopology(
  ready: readonly PortEndpoint[],
  nodeName: string,
  zone: string | undefined,
): readonly PortEndpoint[] {
  return (
    (nodeName === '' ? undefined : keepHinted(ready, 'nodes', nodeName)) ??
    (zone === undefined ? undefined : keepHinted(ready, 'zones', zone)) ??
    ready
  );
}
