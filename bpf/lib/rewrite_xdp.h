/* Writes a flow's next hop, addresses and ports into a packet of the XDP hook. */
#pragma once

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
 * Rewrites a TCP or UDP packet that is forwarded: its TTL is one less.
 * Returns false, and leaves it as it was, when that is better done by tc.
 */
INLINE bool rewrite_packet(struct context *ctx, const struct packet *packet, const struct flow *flow)
{
	void *data = context_data(ctx), *end = context_end(ctx);
	__u32 offset = packet->l4_offset;
	struct ethhdr *eth = data;
	__be16 *ports;
	__u16 *check;

	if (offset > L3_OFFSET + 60)
		return false;
	ports = data + offset;
	if (packet->key.proto == IPPROTO_TCP) {
		check = (void *)ports + offsetof(struct tcphdr, check);
		if ((void *)ports + sizeof(struct tcphdr) > end)
			return false;
	} else {
		check = (void *)ports + offsetof(struct udphdr, check);
		if ((void *)ports + sizeof(struct udphdr) > end)
			return false;
	}
	if (data + L3_OFFSET + (packet_is_v4(packet) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) > end)
		return false;
	if (rewrite_sum_is_partial(packet, *check))
		return false;
	*check = rewrite_sum(packet, flow, *check);
	ports[0] = flow->sport;
	ports[1] = flow->dport;
	if (packet_is_v4(packet)) {
		rewrite_v4_header(data + L3_OFFSET, flow, 1);
	} else {
		struct ipv6hdr *ip = data + L3_OFFSET;

		ip->hop_limit -= 1;
		__builtin_memcpy(&ip->saddr, &flow->saddr, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &flow->daddr, sizeof(ip->daddr));
	}
	__builtin_memcpy(eth->h_dest, flow->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, flow->smac, ETH_ALEN);
	return true;
}
