/* Writes a flow's new addresses and ports into a packet: what is the same in tc and in XDP. */
#pragma once

#include "checksum.h"
#include "packet.h"

/* The difference to a header's sum when its TTL is one less (RFC 1141). */
#define TTL_LESS_DELTA ((__u16)~bpf_htons(0x0100))
/* The same for the hop limit of IPv6, which is the second byte of a word. */
#define HOP_LESS_DELTA ((__u16)~bpf_htons(0x0001))

/* @ttl_less: 1 when the packet is forwarded here, past the stack. */
INLINE void rewrite_v4_header(struct iphdr *ip, const struct flow *flow, __u8 ttl_less)
{
	ip->saddr = address_word(&flow->saddr, 3);
	ip->daddr = address_word(&flow->daddr, 3);
	ip->ttl -= ttl_less;
	ip->check = checksum_apply_folded(ip->check, flow->address_delta + (ttl_less ? TTL_LESS_DELTA : 0));
}

/* Sum of a pseudo header (RFC 9293 3.1, RFC 8200 8.1), in which source and destination may change places. */
INLINE __u64 packet_pseudo_sum(const struct packet *packet, __u8 proto, __u32 length)
{
	__u64 sum = bpf_htonl(proto + length);

	if (packet_is_v4(packet))
		return sum + address_word(&packet->key.saddr, 3) + address_word(&packet->key.daddr, 3);
	return sum + checksum_address(&packet->key.saddr) + checksum_address(&packet->key.daddr);
}

/* The checksum of a plain packet whose transport header is @l4; NULL when it is not in reach. */
INLINE __u16 *plain_checksum(struct context *ctx, const struct packet *packet, void *l4)
{
	void *end = context_end(ctx);

	if (packet->key.proto == IPPROTO_TCP) {
		if (l4 + sizeof(struct tcphdr) > end)
			return NULL;
		/* Keeps this a branch: of one that chooses numbers the verifier does not know which check goes with
		 * which. */
		barrier_var(l4);
		return l4 + offsetof(struct tcphdr, check);
	}
	return l4 + sizeof(struct udphdr) > end ? NULL : l4 + offsetof(struct udphdr, check);
}

/*
 * Is @check left to the device that sends the packet at last (CHECKSUM_PARTIAL)? Packets of other namespaces of this
 * machine, and those that GRO has joined, come with the sum of the pseudo header alone; those of some guests without
 * its length, when they are still to be cut into segments. A whole sum looks so twice in 65,536 packets.
 * @sum: of the pseudo header without its length, which is @bytes; in 16 bits.
 */
INLINE bool checksum_is_partial(__u16 check, __u16 sum, __u32 bytes)
{
	return check == sum || check == checksum_fold16((__u32)sum + bpf_htons(bytes));
}

/* The same before there is a flow that knows the sum. */
INLINE bool packet_is_partial(struct context *ctx, const struct packet *packet, bool v4)
{
	__u32 offset = plain_l4_offset(v4);
	const __u16 *check = plain_checksum(ctx, packet, context_data(ctx) + offset);

	return !check ||
	       checksum_is_partial(*check,
				   checksum_fold16(checksum_fold32(packet_pseudo_sum(packet, packet->key.proto, 0))),
				   packet->bytes - (offset - L3_OFFSET));
}

/*
 * Rewrites a plain packet.
 * @forward: it is sent out again from here, so its TTL is one less.
 * Returns false, and leaves it as it was, when its checksum may be left to the device: what to do with it then only
 * an skb knows.
 */
INLINE bool rewrite_plain(struct context *ctx, const struct packet *packet, const struct flow *flow, bool forward,
			  bool v4)
{
	void *data = context_data(ctx), *l4 = data + plain_l4_offset(v4);
	bool udp = packet->key.proto == IPPROTO_UDP;
	__u32 change = flow->address_delta;
	__u16 *check = plain_checksum(ctx, packet, l4), sum;

	if (!check || data + plain_l4_offset(v4) + 4 > context_end(ctx))
		return false;
	sum = *check;
	if (unlikely(checksum_is_partial(sum, flow->pseudo_sum, packet->bytes - (plain_l4_offset(v4) - L3_OFFSET))))
		return false;
	if (likely(!udp || sum)) {
		sum = checksum_apply_folded(sum, flow->l4_delta);
		/* 0 stands for "none" in UDP (RFC 768). */
		*check = udp && !sum ? 0xffff : sum;
		/* The sum of the ports and of the checksum changed by what the addresses did, the other way. */
		change = v4 ? (__u16)~change : 0;
	} else {
		change = v4 ? flow->port_delta : flow->l4_delta;
	}
	((__be16 *)l4)[0] = flow->sport;
	((__be16 *)l4)[1] = flow->dport;
	if (v4) {
		/* This header's own checksum makes up for every change of it. */
		rewrite_v4_header(data + L3_OFFSET, flow, forward);
	} else {
		struct ipv6hdr *ip = data + L3_OFFSET;

		address_copy_wide(&ip->saddr, &flow->saddr);
		address_copy_wide(&ip->daddr, &flow->daddr);
		if (forward) {
			ip->hop_limit -= 1;
			change += HOP_LESS_DELTA;
		}
	}
	context_sum_changed(ctx, change);
	return true;
}
