import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Place } from '../../../bench/competitors/competitor.ts';
import { NotAvailable } from '../../../bench/competitors/competitor.ts';
import { kubeProxy } from '../../../bench/competitors/kube-proxy.ts';
import { listCompetitors } from '../../../bench/competitors/list.ts';
import { lastWord } from '../../support/kube-proxy/process.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-kube-proxy-'));
  mkdirSync(join(directory, 'logs'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A program in kube-proxy's place. @param body what it does when it is not asked for its version */
function program(body: string): string {
  const path = join(directory, 'kube-proxy');
  writeFileSync(path, `#!/bin/sh\nif [ "$1" = --version ]; then echo Kubernetes v1.2.3; exit; fi\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A node whose processes run here; no Service of its world is dialled. */
function place(): Place {
  const node = {
    name: 'node1',
    ipv4: '172.30.0.11',
    spawn: (argv: string[], options: object) => spawn(argv[0] as string, argv.slice(1), options),
    exec: async () => ({ code: 0, stdout: '', stderr: '' }),
    pod: () => undefined,
  };
  const world = { lab: { directory }, api: { kubeconfig: '/kubeconfig' }, endpoints: [], tools: { load: '' } };
  return { world, node, services: [] } as unknown as Place;
}

describe('what kube-proxy said at its end', () => {
  it.each([
    [
      'I1130 04:10:00.1 1 server.go:1] a\nF1130 04:10:01.2 1 server.go:480] failed validate: Mode\n',
      'failed validate: Mode',
    ],
    ['Error: unknown flag: --x\nUsage:\n  kube-proxy [flags]\n', 'Error: unknown flag: --x'],
    ['I1130 04:10:00.123 7 server.go:1] Starting\n', 'Starting'],
    ['', 'no word'],
  ])('%j', (log, word) => {
    expect(lastWord(log)).toBe(word);
  });
});

describe('a kube-proxy that KUBE_PROXY names', () => {
  it('takes the place of the modelled rules, by its version', () => {
    const labels = listCompetitors(false, { KUBE_PROXY: program(''), IPTABLES: 'nft' }).map(({ label }) => label);
    expect(labels).toContain('kube-proxy v1.2.3, iptables mode (iptables-nft)');
    expect(labels).toContain('kube-proxy v1.2.3, nftables mode');
    expect(labels.filter((label) => label.includes('modelled'))).toEqual([]);
  });

  it('that does not run is an error which names it', () => {
    expect(() => listCompetitors(false, { KUBE_PROXY: '/nowhere/kube-proxy' })).toThrow(
      'run KUBE_PROXY=/nowhere/kube-proxy',
    );
  });

  it('that ends is not available, with its last word, at once', async () => {
    const path = program('echo "F1130 04:10:01.2 1 server.go:480] no such mode" >&2; exit 255');
    const installed = kubeProxy('nftables', { path, iptables: 'legacy' }).install(place());
    await expect(installed).rejects.toThrow(NotAvailable);
    await expect(installed).rejects.toThrow('kube-proxy ended (code 255): no such mode');
  });

  it('finds the iptables of the wanted variant, and a configuration for its mode', async () => {
    const path = program(
      `(command -v iptables; command -v iptables-restore) > ${directory}/tools; cp "$2" ${directory}/config; exit 1`,
    );
    await expect(kubeProxy('iptables', { path, iptables: 'legacy' }).install(place())).rejects.toThrow('code 1');
    const tools = `${directory}/iptables-legacy`;
    expect(readFileSync(join(directory, 'tools'), 'utf8')).toBe(`${tools}/iptables\n${tools}/iptables-restore\n`);
    expect(JSON.parse(readFileSync(join(directory, 'config'), 'utf8'))).toMatchObject({
      kind: 'KubeProxyConfiguration',
      mode: 'iptables',
      hostnameOverride: 'node1',
      clientConnection: { kubeconfig: '/kubeconfig' },
    });
  });
});
