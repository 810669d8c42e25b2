/** Removes what kube-proxy left, when it runs no more. Connections keep their translation: nf_conntrack has it. */
import type { CliContext } from '../context.ts';
import { type Check, rulesChecks } from './checks.ts';
import type { Migration } from './render.ts';

/** Milliseconds after which rules that came back would be there. */
const AGAIN_MS = 1500;

export async function finish(
  { kernel, wait }: CliContext,
  { dryRun, force }: { readonly dryRun: boolean; readonly force: boolean },
): Promise<Migration> {
  const { visible, found: processes } = kernel.findKubeProxy();
  const texts = kernel.readKubeProxyRules();
  const rules = rulesChecks(texts).map(
    (check): Check => ({ ...check, result: check.result === 'failed' ? 'ok' : check.result }),
  );
  const base = { direction: 'to sluice' as const, dryRun, checks: rules };
  const obstacles = [
    ...processes.map(
      ({ pid }) => `kube-proxy runs as process ${pid}: it would write its rules again; keep it off this node`,
    ),
    ...(processes.length === 0 && !visible && !force
      ? [
          "it cannot be seen from here whether kube-proxy runs, the node's processes are hidden: say --force when it is gone",
        ]
      : []),
  ];
  const steps = ["remove kube-proxy's chains, tables, sets and kube-ipvs0, of others nothing"];
  if (dryRun || obstacles.length > 0) return { ...base, done: false, obstacles, steps };
  const { failures, ...removed } = kernel.removeKubeProxy();
  await wait(AGAIN_MS);
  const again = kernel.readKubeProxyRules().found;
  const left = [
    ...failures,
    ...again.map(({ form, by }) => `rules of ${form} mode are there again (${by}): does kube-proxy run?`),
  ];
  return {
    ...base,
    done: left.length === 0,
    obstacles: left,
    steps,
    removed,
    outcome: "open connections that kube-proxy's rules began go on: nf_conntrack translates them",
  };
}
