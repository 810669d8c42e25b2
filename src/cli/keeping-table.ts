/** Tables of nftables that keep connections going which kube-proxy's rules began, when those rules are gone. */
import { type Run, run } from '../host/run.ts';

/** A table of ours with which netfilter goes on following connections. */
const KEEPING_TABLE = 'sluice-open-connections';

/**
 * The kernel follows and translates connections only while some rule asks for it. With kube-proxy's the last such rule may
 * go, and the connections that it began would break. This one asks, and does nothing.
 */
export function keepingTable(family: 'ip' | 'ip6'): string {
  return `table ${family} ${KEEPING_TABLE} {
  chain follow {
    type filter hook prerouting priority filter;
    ct status dnat
  }
  chain translate {
    type nat hook postrouting priority srcnat;
  }
}
`;
}

/** Takes them away again; what they kept going ends. @returns how many there were; without the program nft none */
export function removeKeepingTables(execute: Run = run): number {
  return ['ip', 'ip6'].filter((family) => execute('nft', ['delete', 'table', family, KEEPING_TABLE])?.code === 0)
    .length;
}
