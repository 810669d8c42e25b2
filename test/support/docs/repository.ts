/** Where the repository lies; nothing is run to find out. */
import { fileURLToPath } from 'node:url';

export const REPOSITORY: string = fileURLToPath(new URL('../../..', import.meta.url));
