/** Every command of the documentation that can be run here is run, in its order, and prints what the page shows. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { chart, haveKustomize } from '../support/deploy/manifests.ts';
import { isRun, runBlock } from '../support/docs/page.ts';
import { blocksOf, hasAgent, PAGES } from '../support/docs/pages.ts';
import { type Stage, setStage, setStageWithAgent } from '../support/docs/stage.ts';

const pages = PAGES.map((page) => [page, blocksOf(page).filter(isRun)] as const).filter(([, { length }]) => length > 0);

/** What renders the chart in helm's place is built when it is first asked. */
beforeAll(() => void chart());

let shared: Promise<Stage> | undefined;
afterAll(async () => (await shared)?.close());

describe.each(pages)('%s', (page, blocks) => {
  const needsKustomize = blocks.some(({ text }) => / -k /.test(text));
  let stage: Stage;
  let failed = false;

  beforeAll(async () => {
    if (hasAgent(page)) shared ??= setStageWithAgent();
    stage = await (shared !== undefined && hasAgent(page) ? shared : setStage());
  });
  afterAll(async () => {
    if (!hasAgent(page)) await stage?.close();
  });

  for (const block of blocks)
    it(block.at, async (context) => {
      context.skip(failed, 'a block before it failed');
      context.skip(needsKustomize && !haveKustomize, 'this kubectl reads no kustomizations');
      failed = true;
      await runBlock(block, stage);
      failed = false;
    });
});
