import { describe, expect, it } from 'vitest';
import { SCHEMA_VERSION } from '../../../maps-schema/gen/codecs.ts';
import { linkName, linkPin, mapPin, pinDirectoryOf, programPin } from '../../../src/bpf/paths.ts';

describe('pin paths', () => {
  it('lie under the version of the schema', () => {
    const pins = pinDirectoryOf('/sys/fs/bpf/sluice');
    expect(pins).toBe(`/sys/fs/bpf/sluice/v${SCHEMA_VERSION}`);
    expect(mapPin(pins, 'flows')).toBe(`${pins}/maps/flows`);
    expect(linkPin(pins, 'connect4')).toBe(`${pins}/links/connect4`);
    expect(programPin(pins, 'connect4')).toBe(`${pins}/progs/connect4`);
  });

  it('hold no character that bpffs refuses, and no two devices share one', () => {
    const names = ['eth0.100', 'eth0_2e100', 'eth0-100', 'eth0:1', 'eth0'].map((device) => linkName(device, 'ingress'));
    expect(names[0]).toBe('eth0_2e100_ingress');
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]+$/);
  });
});
