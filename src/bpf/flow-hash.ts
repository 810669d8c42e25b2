/** Where a flow stands in a table of flows: the hash of bpf/lib/flow_bucket.h. */

export interface FlowBuckets {
  readonly first: number;
  readonly second: number;
  /** 1 to 65,535. */
  readonly tag: number;
}

const MULTIPLIER = 0xbf58476d1ce4e5b9n;
const u64 = (value: bigint) => BigInt.asUintN(64, value);

/**
 * NH (RFC 4418 5.2), then mixed.
 * @param key in the layout of struct flow_key @param secret control.flow_hash, as many bytes as the key
 * @param buckets of the table
 */
export function flowBuckets(key: Buffer, secret: Buffer, buckets: number): FlowBuckets {
  const sumOf = (at: number) => BigInt((key.readUInt32LE(at) + secret.readUInt32LE(at)) >>> 0);
  let sum = 0n;
  for (let at = 0; at < key.length; at += 8) sum += sumOf(at) * sumOf(at + 4);
  sum = u64(sum);
  sum = u64((sum ^ (sum >> 29n)) * MULTIPLIER);
  sum ^= sum >> 32n;
  const high = sum >> 32n;
  const count = BigInt(buckets);
  return {
    first: Number((high * count) >> 32n),
    second: Number(((sum & 0xffffffffn) * count) >> 32n),
    tag: Number(high & 0xffffn) || 1,
  };
}
