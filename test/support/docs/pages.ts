/** The pages that users read. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Block, readBlocks } from './markdown.ts';
import { REPOSITORY } from './repository.ts';

/** By their paths from the repository. */
export const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(join(REPOSITORY, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .sort()
    .map((name) => `docs/${name}`),
];

export const blocksOf = (page: string): Block[] => readBlocks(join(REPOSITORY, page), undefined, page);

/** Whether an agent runs before the page begins, on a node that all such pages share. */
export const hasAgent = (page: string): boolean =>
  readFileSync(join(REPOSITORY, page), 'utf8').includes('<!-- stage: agent -->');
