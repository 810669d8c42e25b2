/* What of a rewrite is the same in tc and in XDP. */
#pragma once

#include "checksum.h"
#include "packet.h"

/* The difference to a header's sum when its TTL is one less (RFC 1141). */
#define TTL_LESS_DELTA ((__u16)~bpf_htons(0x0100))

/* @ttl_less: 1 when the packet is forwarded here, past the stack. */
INLINE void rewrite_v4_header(struct iphdr *ip, const struct flow *flow, __u8 ttl_less)
{
	ip->saddr = address_word(&flow->saddr, 3);
	ip->daddr = address_word(&flow->daddr, 3);
	ip->ttl -= ttl_less;
	ip->check = checksum_apply(ip->check,
				   checksum_fold32((__u64)flow->address_delta + (ttl_less ? TTL_LESS_DELTA : 0)));
}

/* Sum of a pseudo header (RFC 9293 3.1, RFC 8200 8.1), in which source and destination may change places. */
INLINE __u64 packet_pseudo_sum(const struct packet *packet, __u8 proto, __u32 length)
{
	__u64 sum = bpf_htonl(proto + length);

	if (packet_is_v4(packet))
		return sum + address_word(&packet->key.saddr, 3) + address_word(&packet->key.daddr, 3);
	return sum + checksum_address(&packet->key.saddr) + checksum_address(&packet->key.daddr);
}
