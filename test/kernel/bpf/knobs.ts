/** Knobs with everything off, for objects of the tests. */
import { type Knobs, knobs } from '../../../maps-schema/gen/codecs.ts';

export const zeroKnobs: Knobs = knobs.read(Buffer.alloc(knobs.size), 0);
