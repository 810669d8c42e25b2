/**
 * Every folder here is a scenario: input.yaml holds Services, EndpointSlices, a Node and settings;
 * expected.txt the rows they compile to. `UPDATE=1 npx vitest run test/golden` rewrites expected.txt.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { createCompiler } from '../../src/compile/compiler.ts';
import type { NodeContext } from '../../src/compile/context.ts';
import { type KubernetesObject, type Node, objectKey } from '../../src/model/kubernetes.ts';
import { renderCompiled } from '../support/golden-table.ts';

/** What input.yaml may say besides objects, as a document of kind Settings. */
type Settings = KubernetesObject & Partial<Omit<NodeContext, 'nodeName' | 'nodeLabels'>>;

function contextOf(documents: readonly KubernetesObject[]): NodeContext {
  const node = documents.find((document) => document.kind === 'Node') as Node | undefined;
  const settings = documents.find((document) => document.kind === 'Settings') as Settings | undefined;
  return {
    nodeName: node?.metadata?.name ?? 'node-1',
    nodeLabels: node?.metadata?.labels,
    nodeAddresses: node?.status?.addresses?.flatMap(({ address }) => address ?? []),
    masqueradeAll: settings?.masqueradeAll,
    detectLocal: settings?.detectLocal ?? { IPv4: true, IPv6: true },
    serviceProxyName: settings?.serviceProxyName,
    families: settings?.families ?? ['IPv4', 'IPv6'],
  };
}

function compileScenario(folder: string): string {
  const text = readFileSync(join(folder, 'input.yaml'), 'utf8');
  const documents = parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
  const compiler = createCompiler(contextOf(documents));
  for (const object of documents) {
    if (object.kind === 'Service') compiler.setService(objectKey(object), object);
    if (object.kind === 'EndpointSlice') compiler.setSlice(objectKey(object), object);
  }
  const { changed, problems } = compiler.take();
  return renderCompiled(changed, problems);
}

const scenarios = readdirSync(import.meta.dirname, { withFileTypes: true }).filter((entry) => entry.isDirectory());

test.each(scenarios.map(({ name }) => name).sort())('%s', (name) => {
  const folder = join(import.meta.dirname, name);
  const rendered = compileScenario(folder);
  const expected = join(folder, 'expected.txt');
  if (process.env.UPDATE === '1') writeFileSync(expected, rendered);
  expect(rendered).toBe(readFileSync(expected, 'utf8'));
});
