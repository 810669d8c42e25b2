/** `npm run generate`: writes maps-schema/gen/schema.h and maps-schema/gen/codecs.ts. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { emitC } from './emit-c.ts';
import { emitTs } from './emit-ts.ts';
import { schema } from './schema.ts';

const directory = new URL('./gen/', import.meta.url);
mkdirSync(directory, { recursive: true });
writeFileSync(new URL('schema.h', directory), emitC(schema));
writeFileSync(new URL('codecs.ts', directory), emitTs(schema));
