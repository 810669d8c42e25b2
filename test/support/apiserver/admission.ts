/** What happens to an object between a write request and the store: defaults, validation, allocation. */
import { type Cause, invalid } from './errors.ts';
import type { KubeObject, Resource } from './resources.ts';
import { allocate, type Pools, release, reversible, setLoadBalancerStatus } from './service-allocate.ts';
import { setServiceDefaults } from './service-defaults.ts';
import { validateService } from './validate-service.ts';
import { setSliceDefaults, validateSlice } from './validate-slice.ts';

export interface Admission {
  /**
   * @param object the request's own copy: it is changed
   * @param previous the stored object, for an update
   * @throws ApiError 422
   */
  admit(resource: Resource, object: KubeObject, previous: KubeObject | undefined): void;
  /** Gives back what a deleted object held. */
  forget(resource: Resource, object: KubeObject): void;
}

/** @param validation `off` stores anything, as it comes: for tests with hostile objects */
export function createAdmission(pools: Pools, validation: 'on' | 'off'): Admission {
  function admitService(service: KubeObject, previous: KubeObject | undefined): void {
    setServiceDefaults(service, previous);
    const attempt = reversible(pools);
    let causes: Cause[] = validateService(service, previous);
    if (causes.length === 0) causes = allocate(attempt.pools, service, previous);
    if (causes.length > 0) {
      attempt.undo();
      throw invalid('Service', service.metadata.name, causes);
    }
    setLoadBalancerStatus(pools, service);
    release(pools, previous, service);
  }

  return {
    admit(resource, object, previous) {
      if (validation === 'off') return;
      if (resource.kind === 'Service') admitService(object, previous);
      if (resource.kind === 'EndpointSlice') {
        setSliceDefaults(object);
        const causes = validateSlice(object, previous);
        if (causes.length > 0) throw invalid('EndpointSlice', object.metadata.name, causes);
      }
      if (resource.kind === 'Namespace') {
        object.spec ??= { finalizers: ['kubernetes'] };
        object.status ??= { phase: 'Active' };
        object.metadata.labels = { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name };
      }
    },
    forget(resource, object) {
      if (resource.kind === 'Service' && validation === 'on') release(pools, object, undefined);
    },
  };
}
