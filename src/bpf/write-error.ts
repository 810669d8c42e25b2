/** Why a row could not be written. */
import type { MapShape } from '../../maps-schema/codec.ts';
import { SluiceError } from '../model/errors.ts';
import { E2BIG, ENOMEM, ENOSPC, kernelError } from './errno.ts';

/** @returns the error of a failed write: MAP_FULL where the map or memory has no room. */
export function writeError(shape: MapShape, call: string, errno: number): SluiceError {
  if (errno !== E2BIG && errno !== ENOSPC && errno !== ENOMEM) {
    return kernelError('MAP_FAILED', `update map ${shape.name}`, call, errno);
  }
  const cause = kernelError('MAP_FAILED', `update map ${shape.name}`, call, errno);
  const why = errno === ENOMEM ? 'the kernel has no memory for another row' : `all ${shape.maxEntries} rows are taken`;
  return new SluiceError(
    'MAP_FULL',
    `update map ${shape.name}: ${why}; what does not fit is not served: use fewer Services or endpoints on this cluster, or build with a larger maxEntries in maps-schema/schema.ts`,
    {
      cause,
    },
  );
}
