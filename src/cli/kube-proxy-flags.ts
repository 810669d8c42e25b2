/** kube-proxy's flags on the command line of `sluice agent`, as pflag reads them. */
import { type Command, Option } from 'commander';
import { type FlagTexts, flagValue, KUBE_PROXY_FLAGS } from '../config/flags.ts';

/** Those that the agent itself defines. */
const OURS: ReadonlySet<string> = new Set(['cleanup', 'config', 'kubeconfig']);

const OTHERS = Object.entries(KUBE_PROXY_FLAGS).filter(([name]) => !OURS.has(name));

/** Adds the options, which help leaves to the documentation. */
export function addKubeProxyFlags(command: Command): Command {
  for (const [name, { kind }] of OTHERS) {
    command.addOption(
      new Option(`--${name} <value>`).hideHelp().argParser((text: string, before?: string) => {
        flagValue(name, kind, text);
        return kind === 'list' && before !== undefined ? `${before},${text}` : text;
      }),
    );
  }
  return command;
}

/** @param flags what commander made of the options. @returns what was given of kube-proxy's, by the flag's name. */
export function kubeProxyFlagsOf(flags: Readonly<Record<string, unknown>>): FlagTexts {
  return Object.fromEntries(
    OTHERS.flatMap(([name]) => {
      const text = flags[new Option(`--${name} <value>`).attributeName()];
      return typeof text === 'string' ? [[name, text]] : [];
    }),
  );
}

/**
 * Puts arguments in commander's form: `-v=2` and `-v2`, `_` for `-` in names, and flags of yes or no
 * that are given without a value.
 */
export function asCommanderReads(args: readonly string[]): string[] {
  return args.map((arg) => {
    if (arg === '-v') return '--v';
    const short = /^-v=?(\d+)$/.exec(arg);
    if (short) return `--v=${short[1]}`;
    const [, written = '', value] = /^--([^=]+)(=.*)?$/s.exec(arg) ?? [];
    const name = written.replaceAll('_', '-');
    const flag = KUBE_PROXY_FLAGS[name];
    if (flag === undefined) return arg;
    if (OURS.has(name)) return flag.kind === 'boolean' && value === '=true' ? `--${name}` : arg;
    return `--${name}${value ?? (flag.kind === 'boolean' ? '=true' : '')}`;
  });
}
