/** How Kubernetes reads YAML (sigs.k8s.io/yaml): YAML 1.1 with merge keys, JSON being a part of it. */
import type { DocumentOptions, ParseOptions, SchemaOptions, Tags } from 'yaml';

const YES = /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const NO = /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const UNUSUAL = /:(timestamp|omap|pairs|set|binary)$/;

/** `y` and `n` are text, as are times and what looks like a number to the base of 60. */
function asGo(tags: Tags): Tags {
  return tags.flatMap((tag): Tags[number][] => {
    if (typeof tag !== 'object') return [tag];
    if (tag.format === 'TIME' || UNUSUAL.test(tag.tag)) return [];
    if (tag.collection === undefined && tag.tag.endsWith(':bool'))
      return [{ ...tag, test: tag.test?.test('y') ? YES : NO }];
    return [tag];
  });
}

/** Options of the library. Of a key that comes twice the last value counts. Its warnings would go to the process's stderr. */
export const GO_YAML: ParseOptions & DocumentOptions & SchemaOptions = {
  version: '1.1',
  merge: true,
  uniqueKeys: false,
  customTags: asGo,
  logLevel: 'silent',
};
