/**
 * Just enough of the protobuf encoding to read what `kubectl create service` and `kubectl create
 * namespace` send: those speak nothing else. Field numbers are those of the API's generated.proto.
 */
import { ApiError } from './errors.ts';

// biome-ignore lint/suspicious/noExplicitAny: decoded messages are free-form
type Json = any;
type Reader = (bytes: Buffer, value: number) => Json;
interface Field {
  readonly name: string;
  readonly read: Reader;
  readonly kind: 'one' | 'list' | 'map';
}
type Message = Readonly<Record<number, Field>>;

const text: Reader = (bytes) => bytes.toString('utf8');
const number: Reader = (_bytes, value) => value;
const flag: Reader = (_bytes, value) => value !== 0;
const one = (name: string, read: Reader = text): Field => ({ name, read, kind: 'one' });
const list = (name: string, read: Reader = text): Field => ({ name, read, kind: 'list' });
const map = (name: string): Field => ({ name, read: message({ 1: one('key'), 2: one('value') }), kind: 'map' });

function message(fields: Message): Reader {
  return (bytes) => decode(bytes, fields);
}

const intOrString: Reader = (bytes) => {
  const { type, int, string } = decode(bytes, { 1: one('type', number), 2: one('int', number), 3: one('string') });
  return type === 1 ? string : int;
};

const METADATA = message({
  1: one('name'),
  2: one('generateName'),
  3: one('namespace'),
  11: map('labels'),
  12: map('annotations'),
  14: list('finalizers'),
});

const PORT = message({
  1: one('name'),
  2: one('protocol'),
  3: one('port', number),
  4: one('targetPort', intOrString),
  5: one('nodePort', number),
  6: one('appProtocol'),
});

const SERVICE_SPEC = message({
  1: list('ports', PORT),
  2: map('selector'),
  3: one('clusterIP'),
  4: one('type'),
  5: list('externalIPs'),
  7: one('sessionAffinity'),
  8: one('loadBalancerIP'),
  9: list('loadBalancerSourceRanges'),
  10: one('externalName'),
  11: one('externalTrafficPolicy'),
  12: one('healthCheckNodePort', number),
  13: one('publishNotReadyAddresses', flag),
  14: one('sessionAffinityConfig', message({ 1: one('clientIP', message({ 1: one('timeoutSeconds', number) })) })),
  17: one('ipFamilyPolicy'),
  18: list('clusterIPs'),
  19: list('ipFamilies'),
  20: one('allocateLoadBalancerNodePorts', flag),
  21: one('loadBalancerClass'),
  22: one('internalTrafficPolicy'),
  23: one('trafficDistribution'),
});

const KINDS: Readonly<Record<string, Reader>> = {
  Service: message({ 1: one('metadata', METADATA), 2: one('spec', SERVICE_SPEC) }),
  Namespace: message({ 1: one('metadata', METADATA) }),
};

const ENVELOPE = message({
  1: one('type', message({ 1: one('apiVersion'), 2: one('kind') })),
  2: one('raw', (bytes) => bytes),
});
const MAGIC = Buffer.from('k8s\0');

/** @throws ApiError 415 for a kind that is not known here */
export function decodeProtobuf(body: Buffer): Json {
  const { type, raw } = body.subarray(0, 4).equals(MAGIC) ? ENVELOPE(body.subarray(4), 0) : {};
  const read = KINDS[type?.kind ?? ''];
  if (!read)
    throw new ApiError(
      415,
      'UnsupportedMediaType',
      `protobuf of kind ${type?.kind} is not understood: send application/json`,
    );
  return { apiVersion: type.apiVersion, kind: type.kind, ...read(raw ?? Buffer.alloc(0), 0) };
}

/** Empty texts, zeros and false are what absent fields look like. */
function decode(bytes: Buffer, fields: Message): Json {
  const result: Json = {};
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = fields[tag >>> 3];
    let value = 0;
    let part = bytes.subarray(at, at);
    if ((tag & 7) === 0) value = varint();
    else if ((tag & 7) === 2) {
      const length = varint();
      part = bytes.subarray(at, at + length);
      at += length;
    } else at += (tag & 7) === 1 ? 8 : 4;
    if (!field) continue;
    const decoded = field.read(part, value);
    if (field.kind === 'list') result[field.name] = [...(result[field.name] ?? []), decoded];
    else if (field.kind === 'map') {
      result[field.name] = { ...result[field.name], [decoded.key ?? '']: decoded.value ?? '' };
    } else if (decoded !== '' && decoded !== 0 && decoded !== false) result[field.name] = decoded;
  }
  return result;
}
