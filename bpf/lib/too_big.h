/*
 * A packet that is sent out from the hook and is longer than the next hop takes: the sender is told the
 * MTU, as a router does it (RFC 1191, RFC 8201). The one who forwards past the stack has to; a packet
 * that may be broken into pieces is answered in the same way, because here nobody could break it.
 */
#pragma once

#include "answer.h"
#include "reject.h"
#include "stats.h"

#define ICMP_FRAG_NEEDED 4
#define ICMPV6_PACKET_TOO_BIG 2

/* ICMP has 16 bits for the MTU, ICMPv6 32: the same bytes for every MTU below 64 KiB. */
struct icmp_too_big {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 mtu;
};

/* Does the packet, or a segment of it when it is still to be cut into segments, exceed @mtu? */
NOINLINE bool packet_exceeds(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 header, segment = skb->gso_size;
	__u8 offset = 0;

	if (!packet)
		return false;
	if (!segment)
		return packet->bytes > mtu;
	header = packet->l4_offset - L3_OFFSET + sizeof(struct udphdr);
	if (packet->key.proto == IPPROTO_TCP) {
		bpf_skb_load_bytes(skb, packet->l4_offset + 12, &offset, sizeof(offset));
		header = packet->l4_offset - L3_OFFSET + (offset >> 4) * 4;
	}
	return header + segment > mtu;
}

/* Sum of the quoted transport header, as it will be when the device has filled in its checksum. */
INLINE __u64 too_big_transport_sum(struct __sk_buff *skb, const struct packet *packet, const __u32 *words, __u32 count)
{
	__u32 offset = packet->l4_offset;
	__u16 check = 0;
	__u64 sum = 0;

	offset += packet->key.proto == IPPROTO_TCP ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check);
	if (packet->key.proto != IPPROTO_SCTP && !bpf_skb_load_bytes(skb, offset, &check, sizeof(check))) {
		/* Filled in, all that follows sums to the complement of what stands there now. */
		if (reject_checksum_is_partial(skb, offset))
			return (__u16)~check;
		bpf_skb_store_bytes(skb, offset, &check, sizeof(check), 0);
	}
	for (__u32 i = 0; i < sizeof(struct tcphdr) / 4; i++)
		if (i < count)
			sum += words[i];
	return sum;
}

NOINLINE int too_big_write_l3(struct __sk_buff *skb, const struct packet *packet, __u16 payload)
{
	if (!packet)
		return -1;
	return reject_write_l3(skb, packet, packet_is_v4(packet) ? IPPROTO_ICMP : IPPROTO_ICMPV6, payload);
}

/*
 * Makes the packet that stands in the scratch memory into the error about itself.
 * Returns 0, or a negative error: the packet has to be dropped.
 */
GLOBAL int too_big_build(struct __sk_buff *skb, __u32 mtu)
{
	struct icmp_too_big icmp = {.mtu = bpf_htonl(mtu)};
	struct scratch *scratch = scratch_get();
	struct packet *packet;
	__u32 *words, l3, l4, quote;
	__u64 sum = 0;
	bool v4;

	if (!scratch)
		return -1;
	packet = &scratch->packet;
	words = scratch->words;
	v4 = packet_is_v4(packet);
	l3 = v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	l4 = packet->key.proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	/* Without ports an error tells nobody anything; and options would be in the way. */
	if (packet->piece == PACKET_LATER || packet->l4_offset != L3_OFFSET + l3)
		return -1;
	quote = l3 + l4;
	if (bpf_skb_change_tail(skb, L3_OFFSET + quote, 0))
		return -1;
	if (v4) {
		if (bpf_skb_load_bytes(skb, L3_OFFSET, words, sizeof(struct iphdr)) ||
		    bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(struct iphdr), &words[10], sizeof(struct udphdr)))
			return -1;
		icmp.type = ICMP_DEST_UNREACH;
		icmp.code = ICMP_FRAG_NEEDED;
	} else {
		if (bpf_skb_load_bytes(skb, L3_OFFSET, words, sizeof(struct ipv6hdr)) ||
		    bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(struct ipv6hdr), &words[10], sizeof(struct udphdr)))
			return -1;
		icmp.type = ICMPV6_PACKET_TOO_BIG;
		sum = packet_pseudo_sum(packet, IPPROTO_ICMPV6, quote + sizeof(icmp));
	}
	if (l4 == sizeof(struct tcphdr) &&
	    bpf_skb_load_bytes(skb, packet->l4_offset, &words[10], sizeof(struct tcphdr)))
		return -1;
	for (__u32 i = 0; i < 10; i++)
		if (i < l3 / 4)
			sum += words[i];
	sum += too_big_transport_sum(skb, packet, &words[10], l4 / 4);
	sum += (__u64) * (__u32 *)&icmp + icmp.mtu;
	icmp.check = ~checksum_fold16(checksum_fold32(sum));
	if (bpf_skb_adjust_room(skb, l3 + sizeof(icmp), BPF_ADJ_ROOM_MAC, 0) ||
	    too_big_write_l3(skb, packet, quote + sizeof(icmp)))
		return -1;
	return bpf_skb_store_bytes(skb, L3_OFFSET + l3, &icmp, sizeof(icmp), 0);
}

/* Tells the sender of the packet that stands in the scratch memory. Returns a TC_ACT verdict; counts it. */
INLINE int too_big_tell(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 bytes = packet->bytes;

	if (too_big_build(skb, mtu)) {
		stats_count(REASON_DROP_TOO_BIG, bytes);
		return TC_ACT_SHOT;
	}
	stats_count(REASON_TOO_BIG, bytes);
	return answer_send(skb, packet->key.hook);
}
