/**
 * Virtual servers of IPVS, as /proc/net/ip_vs shows them. Whose source is translated and which sources are let in
 * stands in sets of ipset and is not told here; nor is a client told from another.
 */
import { type Address, parseAddress } from '../model/address.ts';
import { protocolOf } from './match.ts';
import { type Answer, endpointText, type Frontend, frontendText, type Rules } from './rules.ts';

interface Virtual extends Frontend {
  readonly affinitySeconds: number;
  readonly backends: string[];
}

/** `0A600001:0050` or `[fd96:0000:…:0001]:0050`: addresses and ports in hexadecimal. */
function readEndpoint(text: string): { readonly address: Address; readonly port: number } | undefined {
  const [, six, four, port = ''] = /^(?:\[([0-9a-fA-F:]+)\]|([0-9A-Fa-f]{8})):([0-9A-Fa-f]{4})$/.exec(text) ?? [];
  const dotted = four
    ?.match(/../g)
    ?.map((byte) => Number.parseInt(byte, 16))
    .join('.');
  const address = parseAddress(six ?? dotted ?? '');
  return address === undefined ? undefined : { address, port: Number.parseInt(port, 16) };
}

function readVirtuals(text: string): Map<string, Virtual> {
  const found = new Map<string, Virtual>();
  let current: Virtual | undefined;
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words[0] === '->') {
      const real = readEndpoint(words[1] ?? '');
      // A weight of 0: gets nothing new.
      if (real !== undefined && Number(words[3]) > 0) current?.backends.push(endpointText(real.address, real.port));
      continue;
    }
    const protocol = protocolOf(words[0] ?? '');
    const at = readEndpoint(words[1] ?? '');
    current = undefined;
    if (protocol === undefined || at === undefined) continue;
    const persistent = words.indexOf('persistent');
    const affinitySeconds = persistent < 0 ? 0 : Number(words[persistent + 1]) || 0;
    current = { ...at, protocol, affinitySeconds, backends: [] };
    found.set(frontendText(current), current);
  }
  return found;
}

/** @param text of /proc/net/ip_vs. @returns undefined when there is no virtual server. */
export function createIpvsRules(text: string): Rules | undefined {
  const virtuals = readVirtuals(text);
  if (virtuals.size === 0) return undefined;
  return {
    frontends: [...virtuals.values()].map(({ address, port, protocol }) => ({ address, port, protocol })),
    nameOf: () => undefined,
    clients: ['outside'],
    untold: ['masquerade', 'source ranges'],
    ask: (question) => answer(virtuals.get(frontendText(question))),
  };
}

function answer(virtual: Virtual | undefined): Answer {
  const rest = { masquerade: 'no' as const, networks: [], unknown: [] };
  if (virtual === undefined) return { verdict: 'none', backends: [], affinitySeconds: 0, ...rest };
  const { backends, affinitySeconds } = virtual;
  const verdict = backends.length > 0 ? 'backends' : 'refuse';
  return { verdict, backends: [...new Set(backends)].sort(), affinitySeconds, ...rest };
}
