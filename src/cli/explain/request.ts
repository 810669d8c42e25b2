/** What `sluice explain` is asked: who dials what. */
import { type Address, familyOf, parseAddress } from '../../model/address.ts';
import { PROTOCOL_NUMBERS, type Protocol } from '../../model/compiled.ts';
import { usageError } from '../errors.ts';

export interface Request {
  readonly from: {
    /** undefined: a process of this node, by whichever address. */
    readonly address: Address | undefined;
    /** undefined: any. */
    readonly port: number | undefined;
  };
  readonly to: { readonly address: Address; readonly port: number; readonly protocol: Protocol };
}

interface Endpoint {
  readonly address: Address;
  readonly port: number | undefined;
}

/** `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]:80`. */
function parseEndpoint(text: string): Endpoint | undefined {
  const alone = parseAddress(text.replace(/^\[(.*)\]$/, '$1'));
  if (alone !== undefined) return { address: alone, port: undefined };
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = parseAddress(bracketed ?? plain ?? '');
  const port = Number(digits);
  return address === undefined || port < 1 || port > 65_535 ? undefined : { address, port };
}

/** @throws SluiceError FLAG_INVALID, which says what can be given */
export function parseRequest(from: string, to: string): Request {
  const [destination = '', protocolText = 'tcp', more] = to.split('/');
  const protocol = (Object.keys(PROTOCOL_NUMBERS) as Protocol[]).find((name) => name === protocolText.toUpperCase());
  const target = parseEndpoint(destination);
  if (more !== undefined || protocol === undefined || target?.port === undefined)
    throw usageError(`--to: '${to}' is no address with a port; give e.g. 10.96.0.10:53/udp or [fd00::10]:80`);
  const wanted = { address: target.address, port: target.port, protocol };
  if (from === 'node') return { from: { address: undefined, port: undefined }, to: wanted };
  const source = parseEndpoint(from);
  if (source === undefined)
    throw usageError(
      `--from: '${from}' is no address; give e.g. 10.244.1.5, 10.244.1.5:40000 or node. Names of pods are not in the kernel: "kubectl get pod -o wide" tells their addresses`,
    );
  if (familyOf(source.address) !== familyOf(target.address))
    throw usageError(`--from: ${source.address} and ${target.address} are not of one family`);
  return { from: source, to: wanted };
}
