/*
 * Writes a flow's new addresses and ports into a packet of the tc hooks.
 *
 * The transport checksum is changed through helpers, because only they know whether the device
 * still has to fill it in (CHECKSUM_PARTIAL) or has summed the whole packet (CHECKSUM_COMPLETE).
 */
#pragma once

#include "checksum.h"
#include "packet.h"

/* Returns the offset of the transport checksum in the packet. */
INLINE __u32 rewrite_checksum_offset(const struct packet *packet)
{
	return packet->l4_offset +
	       (packet->key.proto == IPPROTO_TCP ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
}

INLINE int rewrite_l4_checksum(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	__u32 offset = rewrite_checksum_offset(packet);
	__u64 udp = packet->key.proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	int error = 0;

	if (flow->address_delta)
		error = bpf_l4_csum_replace(skb, offset, 0, flow->address_delta, BPF_F_PSEUDO_HDR | udp);
	if (flow->port_delta)
		error |= bpf_l4_csum_replace(skb, offset, 0, flow->port_delta, udp);
	return error;
}

/*
 * @ttl_less: 1 when the packet is forwarded here, past the stack.
 * Returns 0, or a negative error: the packet may be half rewritten then and must be dropped.
 */
INLINE int rewrite_packet(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow, __u8 ttl_less)
{
	__be16 ports[2] = {flow->sport, flow->dport};
	void *end;

	if (rewrite_l4_checksum(skb, packet, flow))
		return -1;
	if (packet_is_v4(packet)) {
		struct iphdr *ip = (void *)(long)skb->data + L3_OFFSET;

		end = (void *)(long)skb->data_end;
		if ((void *)(ip + 1) > end)
			return -1;
		ip->saddr = address_word(&flow->saddr, 3);
		ip->daddr = address_word(&flow->daddr, 3);
		ip->check = checksum_apply(ip->check, flow->address_delta);
		if (ttl_less) {
			ip->ttl -= 1;
			ip->check = checksum_apply(ip->check, (__u16)~bpf_htons(0x0100));
		}
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
	if (flow->port_delta) {
		__be16 *at;

		if (packet->l4_offset > L3_OFFSET + 256)
			return -1;
		at = (void *)(long)skb->data + packet->l4_offset;
		end = (void *)(long)skb->data_end;
		if ((void *)(at + 2) > end)
			return -1;
		at[0] = ports[0];
		at[1] = ports[1];
	}
	return 0;
}
