/** Every command of the documentation that can be run here is run, in its order, and prints what the page shows. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { haveKustomize } from '../support/deploy/manifests.ts';
import { isRun, runBlock } from '../support/docs/page.ts';
import { blocksOf, PAGES } from '../support/docs/pages.ts';
import { type Stage, setStage } from '../support/docs/stage.ts';

const pages = PAGES.map((page) => [page, blocksOf(page).filter(isRun)] as const).filter(([, { length }]) => length > 0);

describe.each(pages)('%s', (_, blocks) => {
  const needsKustomize = blocks.some(({ text }) => / -k /.test(text));
  let stage: Stage;
  let failed = false;

  beforeAll(async () => {
    stage = await setStage();
  });
  afterAll(() => stage?.close());

  for (const block of blocks)
    it(block.at, async (context) => {
      context.skip(failed, 'a block before it failed');
      context.skip(needsKustomize && !haveKustomize, 'this kubectl reads no kustomizations');
      failed = true;
      await runBlock(block, stage);
      failed = false;
    });
});
