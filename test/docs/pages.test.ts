/** Every command of the documentation that can be run here is run, in its order, and prints what the page shows. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { openHost, openNode } from '../support/docs/machine.ts';
import { isRun, runBlock } from '../support/docs/page.ts';
import { blocksOf, PAGES } from '../support/docs/pages.ts';
import type { Session } from '../support/docs/session.ts';
import { type Cluster, startCluster } from '../support/lab/cluster.ts';

const pages = PAGES.map((page) => [page, blocksOf(page).filter(isRun)] as const).filter(([, { length }]) => length > 0);

describe.each(pages)('%s', (_, blocks) => {
  let cluster: Cluster;
  const sessions: Record<string, Session> = {};
  let failed = false;

  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1, podsPerNode: 1 });
    const { lab, api } = cluster;
    sessions.node = openNode(lab, lab.node(1), { KUBECONFIG: api.kubeconfig });
    sessions.client = openHost(lab.client());
    sessions.pod = openHost(lab.pod(1, 1));
  });

  afterAll(async () => {
    await Promise.all(Object.values(sessions).map((session) => session.close()));
    await cluster?.destroy();
  });

  for (const block of blocks)
    it(block.at, async (context) => {
      const { at } = block;
      context.skip(failed, 'a block before it failed');
      failed = true;
      const session = (host: string) => {
        const found = sessions[host];
        if (found === undefined) throw new Error(`${at}: there is no host ${host}`);
        return found;
      };
      await runBlock(block, session, { '192.0.2.11': cluster.lab.node(1).ipv4 });
      failed = false;
    });
});
