/** This node's Pods and all Namespaces: rights that system:node-proxier does not have. */
import { objectKey } from '../model/kubernetes.ts';
import type { Collection } from './reflector.ts';
import { optOutsOf, type PlacedPod, stripForOptOut } from './socket-opt-outs.ts';

/**
 * @param deliver told of the pods that opt out once Pods and Namespaces were listed, and of each change of them. Where
 *   Namespaces may not be read, Pods speak for themselves; where Pods may not be read, it is never called.
 */
export function optOutCollections(
  nodeName: string,
  deliver: (uids: readonly string[]) => void,
): Collection<PlacedPod>[] {
  const pods = new Map<string, PlacedPod>();
  const namespaces = new Map<string, PlacedPod>();
  const waiting = new Set(['pods', 'namespaces']);
  let last: string | undefined;

  function update(): void {
    if (waiting.size > 0) return;
    const { uids } = optOutsOf(pods.values(), namespaces, nodeName);
    const content = uids.join();
    if (content === last) return;
    last = content;
    deliver(uids);
  }

  interface Kept extends Pick<Collection<PlacedPod>, 'path' | 'query'> {
    readonly name: string;
    readonly without: string;
    readonly objects: Map<string, PlacedPod>;
    readonly keyOf: (object: PlacedPod) => string;
    /** What a refusal means for what was known. */
    readonly refused: () => void;
  }

  function collection({ name, path, query, without, objects, keyOf, refused }: Kept): Collection<PlacedPod> {
    return {
      name,
      path,
      query,
      strip: stripForOptOut,
      optional: { without, refused },
      replaced(found) {
        objects.clear();
        for (const object of found) objects.set(keyOf(object), object);
        waiting.delete(name);
        update();
      },
      changed(changes) {
        for (const { type, object } of changes) {
          if (type === 'set') objects.set(keyOf(object), stripForOptOut(object));
          else objects.delete(keyOf(object));
        }
        update();
      },
    };
  }

  return [
    collection({
      name: 'pods',
      path: '/api/v1/pods',
      query: { fieldSelector: `spec.nodeName=${nodeName}` },
      without: 'the socket hook serves pods that are labelled to opt out of it, unless they did before',
      objects: pods,
      keyOf: objectKey,
      refused: () => {},
    }),
    collection({
      name: 'namespaces',
      path: '/api/v1/namespaces',
      query: {},
      without: 'only Pods can opt out of the socket hook, not Namespaces',
      objects: namespaces,
      keyOf: ({ metadata }) => metadata?.name ?? '',
      refused() {
        namespaces.clear();
        waiting.delete('namespaces');
        update();
      },
    }),
  ];
}
