/* Writes a flow's next hop, addresses and ports into a packet of the XDP hook. */
#pragma once

#include "fib.h"
#include "packet_xdp.h"
#include "rewrite.h"

/*
 * Is the checksum left to the device that sends the packet at last (CHECKSUM_PARTIAL)? Packets of
 * another namespace of this machine, and those that GRO has joined, come by veth with the sum of
 * the pseudo header alone, and only an skb knows. A whole sum looks so once in 65,536 packets: tc
 * carries that one as well.
 */
INLINE bool rewrite_sum_is_partial(const struct packet *packet, __u16 check)
{
	__u32 length = packet->bytes - (packet->l4_offset - L3_OFFSET);

	return check == checksum_fold16(checksum_fold32(packet_pseudo_sum(packet, packet->key.proto, length)));
}

/* The checksum after the change; 0 stands for "none" in UDP and stays (RFC 768). */
INLINE __u16 rewrite_sum(const struct packet *packet, const struct flow *flow, __u16 check)
{
	bool udp = packet->key.proto == IPPROTO_UDP;

	if (udp && !check)
		return 0;
	check = checksum_apply(check, checksum_fold32((__u64)flow->address_delta + flow->port_delta));
	return udp && !check ? 0xffff : check;
}

/*
 * The checksum of a TCP or UDP packet; NULL for a packet that is better rewritten by tc.
 * @l4: where its transport header begins, when it is not NULL.
 */
INLINE __u16 *rewrite_locate(struct context *ctx, const struct packet *packet, void **l4)
{
	__u32 offset = packet->l4_offset;
	__u16 *check;

	if (offset > L3_OFFSET + 60)
		return NULL;
	*l4 = context_data(ctx) + offset;
	if (packet->key.proto == IPPROTO_TCP) {
		check = *l4 + offsetof(struct tcphdr, check);
		if (*l4 + sizeof(struct tcphdr) > context_end(ctx))
			return NULL;
	} else {
		check = *l4 + offsetof(struct udphdr, check);
		if (*l4 + sizeof(struct udphdr) > context_end(ctx))
			return NULL;
	}
	return rewrite_sum_is_partial(packet, *check) ? NULL : check;
}

/*
 * Rewrites a TCP or UDP packet that is forwarded: its TTL is one less.
 * Returns false, and leaves it as it was, when that is better done by tc.
 */
INLINE bool rewrite_packet(struct context *ctx, const struct packet *packet, const struct flow *flow)
{
	void *data = context_data(ctx), *l4;
	__u16 *check = rewrite_locate(ctx, packet, &l4);

	if (!check || data + L3_OFFSET + sizeof(struct iphdr) > context_end(ctx))
		return false;
	if (packet_is_v4(packet)) {
		rewrite_v4_header(data + L3_OFFSET, flow, 1);
	} else {
		struct ipv6hdr *ip = data + L3_OFFSET;

		if ((void *)(ip + 1) > context_end(ctx))
			return false;
		ip->hop_limit -= 1;
		address_copy((struct address *)&ip->saddr, &flow->saddr);
		address_copy((struct address *)&ip->daddr, &flow->daddr);
	}
	*check = rewrite_sum(packet, flow, *check);
	((__be16 *)l4)[0] = flow->sport;
	((__be16 *)l4)[1] = flow->dport;
	nexthop_write(data, flow);
	return true;
}
