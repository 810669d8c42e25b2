/** Compiled Services in few words, for tests that fill the maps through src/tables. */
import { FRONTEND_CLUSTER_IP } from '../../../maps-schema/gen/codecs.ts';
import { familyOf } from '../../../src/model/address.ts';
import type { Backend, CompiledFrontend, CompiledService, CompiledServicePort } from '../../../src/model/compiled.ts';

/** @param text e.g. `10.1.1.5` with port 8080; */
export function backend(address: string, { port = 8080, local = true, terminating = false } = {}): Backend {
  return { address, port, local, terminating };
}

export function remote(address: string, port = 8080): Backend {
  return backend(address, { port, local: false });
}

/** A frontend; both kinds of clients use the cluster list. */
export function frontend(address: string, port: number, more: Partial<CompiledFrontend> = {}): CompiledFrontend {
  return { address, port, flags: FRONTEND_CLUSTER_IP, internal: 'cluster', external: 'cluster', ...more };
}

export interface PortSpec
  extends Partial<
    Pick<CompiledServicePort, 'affinitySeconds' | 'algorithm' | 'sourceRanges' | 'protocol' | 'directBackends'>
  > {
  readonly frontends: readonly CompiledFrontend[];
  readonly cluster?: readonly Backend[];
  readonly local?: readonly Backend[];
  /** Backends whose flows go on though no new flow is given to them. */
  readonly keeping?: readonly Backend[];
}

/** A Service of one port; its family is that of its first frontend. */
export function service(name: string, spec: PortSpec): CompiledService {
  const { frontends, cluster = [], local = [], keeping = [], ...more } = spec;
  const serving = new Map([...cluster, ...local, ...keeping].map((b) => [`${b.address} ${b.port}`, b]));
  const port: CompiledServicePort = {
    namespace: 'test',
    service: name,
    portName: '',
    protocol: 'TCP',
    family: familyOf(frontends[0]?.address ?? ''),
    frontends,
    lists: { cluster, local },
    serving: [...serving.values()],
    affinitySeconds: 0,
    sourceRanges: [],
    ...more,
  };
  return {
    namespace: 'test',
    name,
    created: 0,
    ports: [port],
    problems: [],
    health: undefined,
    noLocalEndpoints: { IPv4: { internal: 0, external: 0 }, IPv6: { internal: 0, external: 0 } },
    lastChangeTrigger: undefined,
  };
}
