/*
 * Writes a flow's new addresses and ports into a packet of the tc hooks.
 *
 * The transport checksum is changed through helpers, because only they know whether the device
 * still has to fill it in (CHECKSUM_PARTIAL) or has summed the whole packet (CHECKSUM_COMPLETE).
 */
#pragma once

#include "crc32c.h"
#include "rewrite.h"

INLINE int rewrite_l4_checksum(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	__u32 offset = packet->l4_offset;
	__u64 udp = 0;
	int error = 0;

	switch (packet->key.proto) {
	case IPPROTO_TCP:
		offset += offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
		offset += offsetof(struct udphdr, check);
		udp = BPF_F_MARK_MANGLED_0;
		break;
	default:
		return 0;
	}
	if (flow->address_delta)
		error = bpf_l4_csum_replace(skb, offset, 0, flow->address_delta, BPF_F_PSEUDO_HDR | udp);
	if (flow->port_delta)
		error |= bpf_l4_csum_replace(skb, offset, 0, flow->port_delta, udp);
	return error;
}

/* SCTP sums its ports, but not the addresses. */
NOINLINE int rewrite_sctp(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	__u32 checksum_offset, before, after, checksum, following;

	if (!packet || !flow)
		return -1;
	checksum_offset = packet->l4_offset + offsetof(struct sctphdr, checksum);
	before = packet->key.sport | (__u32)packet->key.dport << 16;
	after = flow->sport | (__u32)flow->dport << 16;
	following = packet->bytes - (packet->l4_offset - L3_OFFSET) - sizeof(after);
	if (bpf_skb_load_bytes(skb, checksum_offset, &checksum, sizeof(checksum)))
		return -1;
	/* Zero: the device still has to fill it in, or the peers do without (RFC 9653). */
	if (!checksum)
		return bpf_skb_store_bytes(skb, packet->l4_offset, &after, sizeof(after), BPF_F_RECOMPUTE_CSUM);
	/* The sum is one of the whole, whose length the first piece does not tell. */
	if (packet->piece == PACKET_FIRST)
		return -1;
	checksum ^= crc32c_difference(before ^ after, following & 0xffff);
	if (bpf_skb_store_bytes(skb, checksum_offset, &checksum, sizeof(checksum), BPF_F_RECOMPUTE_CSUM))
		return -1;
	return bpf_skb_store_bytes(skb, packet->l4_offset, &after, sizeof(after), BPF_F_RECOMPUTE_CSUM);
}

/*
 * @ttl_less: 1 when the packet is forwarded here, past the stack.
 * Returns 0, or a negative error: the packet may be half rewritten then and must be dropped.
 */
INLINE int rewrite_packet(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow, __u8 ttl_less)
{
	__be16 *at;
	__u32 offset;
	void *end;

	if (packet->piece != PACKET_LATER && rewrite_l4_checksum(skb, packet, flow))
		return -1;
	if (packet_is_v4(packet)) {
		struct iphdr *ip = (void *)(long)skb->data + L3_OFFSET;

		end = (void *)(long)skb->data_end;
		if ((void *)(ip + 1) > end)
			return -1;
		rewrite_v4_header(ip, flow, ttl_less);
	} else {
		struct ipv6hdr *ip = (void *)(long)skb->data + L3_OFFSET;

		end = (void *)(long)skb->data_end;
		if ((void *)(ip + 1) > end)
			return -1;
		if (ttl_less) {
			ip->hop_limit -= 1;
			/* No header checksum absorbs the change: a sum of the whole packet has to follow. */
			bpf_csum_update(skb, ~(__u32)bpf_htons(0x0001));
		}
		/* By helper: with CHECKSUM_COMPLETE the sum over the header has to follow. */
		if (bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, saddr), &flow->saddr, 32,
					BPF_F_RECOMPUTE_CSUM))
			return -1;
	}
	if (packet->piece == PACKET_LATER || !flow->port_delta)
		return 0;
	if (packet->key.proto == IPPROTO_SCTP)
		return rewrite_sctp(skb, packet, flow);
	offset = packet->l4_offset;
	if (offset > L3_OFFSET + 256)
		return -1;
	at = (void *)(long)skb->data + offset;
	end = (void *)(long)skb->data_end;
	if ((void *)(at + 2) > end)
		return -1;
	at[0] = flow->sport;
	at[1] = flow->dport;
	return 0;
}
