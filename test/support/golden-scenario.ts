/** A golden scenario: Services, EndpointSlices, a Node and settings in one file, compiled. */
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { type Compiler, createCompiler } from '../../src/compile/compiler.ts';
import type { NodeContext } from '../../src/compile/context.ts';
import { type KubernetesObject, type Node, objectKey } from '../../src/model/kubernetes.ts';

/** What the file may say besides objects, as a document of kind Settings. */
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

/** @returns what the compiler makes of the objects in the file. */
export function compileScenario(file: string): ReturnType<Compiler['take']> {
  const documents = parseAllDocuments(readFileSync(file, 'utf8')).map((d) => d.toJS() as KubernetesObject);
  const compiler = createCompiler(contextOf(documents));
  for (const object of documents) {
    if (object.kind === 'Service') compiler.setService(objectKey(object), object);
    if (object.kind === 'EndpointSlice') compiler.setSlice(objectKey(object), object);
  }
  return compiler.take();
}
