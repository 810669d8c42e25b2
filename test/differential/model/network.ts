/** Networks and families, by Node's own means. */
import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** Whether the text is a network that holds the address; other families and malformed texts hold none. */
export function holds(network: string, address: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  const type = isIPv4(address) ? 'ipv4' : 'ipv6';
  if (!isNetwork(network) || isIPv4(base) !== isIPv4(address)) return false;
  const list = new BlockList();
  list.addSubnet(base, Number(bits), type);
  return list.check(address, type);
}

function isNetwork(text: string): boolean {
  const [base = '', bits = '', more] = text.split('/');
  const most = isIPv4(base) ? 32 : isIPv6(base) ? 128 : -1;
  return more === undefined && /^\d+$/.test(bits) && Number(bits) <= most;
}

export function sameFamily(a: string, b: string): boolean {
  return a.includes(':') === b.includes(':');
}
