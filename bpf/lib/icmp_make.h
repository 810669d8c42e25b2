/* Makes a packet into an ICMP error about itself (RFC 792, RFC 4443). */
#pragma once

#include "answer.h"
#include "scratch.h"

#define ICMP_DEST_UNREACH 3
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_TIME_EXCEEDED 11
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PORT_UNREACH 4
#define ICMPV6_PACKET_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3

enum icmp_made {
	ICMP_MADE_PORT_UNREACHABLE,
	ICMP_MADE_TOO_BIG,
	ICMP_MADE_TIME_EXCEEDED,
};

/* ICMP has 16 bits for an MTU, ICMPv6 32: the same bytes for every MTU below 64 KiB. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 mtu;
};

INLINE void icmp_set_type(struct icmp_error *icmp, __u32 what, bool v4)
{
	switch (what) {
	case ICMP_MADE_TOO_BIG:
		icmp->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_PACKET_TOO_BIG;
		icmp->code = v4 ? ICMP_FRAG_NEEDED : 0;
		break;
	case ICMP_MADE_TIME_EXCEEDED:
		icmp->type = v4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED;
		break;
	default:
		icmp->type = v4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH;
		icmp->code = v4 ? ICMP_PORT_UNREACH : ICMPV6_PORT_UNREACH;
	}
}

/* Sum of the quoted transport header, as it will be when the device has filled in its checksum. */
INLINE __u64 icmp_quoted_sum(struct __sk_buff *skb, const struct packet *packet, const __u32 *words, __u32 count)
{
	__u32 offset = packet->l4_offset;
	__u16 check = 0;
	__u64 sum = 0;

	offset += packet->key.proto == IPPROTO_TCP ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check);
	if (packet->key.proto != IPPROTO_SCTP && !bpf_skb_load_bytes(skb, offset, &check, sizeof(check))) {
		/* Filled in, all that follows sums to the complement of what stands there now. */
		if (answer_checksum_is_partial(skb, offset))
			return (__u16)~check;
		bpf_skb_store_bytes(skb, offset, &check, sizeof(check), 0);
	}
	for (__u32 i = 0; i < sizeof(struct tcphdr) / 4; i++)
		if (i < count)
			sum += words[i];
	return sum;
}

NOINLINE int icmp_write_l3(struct __sk_buff *skb, const struct packet *packet, __u16 payload)
{
	if (!packet)
		return -1;
	return answer_write_l3(skb, packet, packet_is_v4(packet) ? IPPROTO_ICMP : IPPROTO_ICMPV6, payload);
}

/*
 * Makes the packet that stands in the scratch memory into an error about itself, from scratch->packet.key.daddr. None
 * is made about a later piece of a datagram (RFC 1122 3.2.2): it has no ports. Options would be in the way.
 * @what: enum icmp_made. @mtu: 0 unless it is about that.
 * Returns 0, or a negative error: the packet has to be dropped.
 */
GLOBAL int icmp_make(struct __sk_buff *skb, __u32 what, __u32 mtu)
{
	struct icmp_error icmp = {.mtu = bpf_htonl(mtu)};
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
	icmp_set_type(&icmp, what, v4);
	l3 = v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	l4 = packet->key.proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	if (packet->piece == PACKET_LATER || packet->l4_offset != L3_OFFSET + l3)
		return -1;
	quote = l3 + l4;
	if (bpf_skb_change_tail(skb, L3_OFFSET + quote, 0))
		return -1;
	if (v4) {
		if (bpf_skb_load_bytes(skb, L3_OFFSET, words, sizeof(struct iphdr)) ||
		    bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(struct iphdr), &words[10], sizeof(struct udphdr)))
			return -1;
	} else {
		if (bpf_skb_load_bytes(skb, L3_OFFSET, words, sizeof(struct ipv6hdr)) ||
		    bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(struct ipv6hdr), &words[10], sizeof(struct udphdr)))
			return -1;
		sum = packet_pseudo_sum(packet, IPPROTO_ICMPV6, quote + sizeof(icmp));
	}
	if (l4 == sizeof(struct tcphdr) &&
	    bpf_skb_load_bytes(skb, packet->l4_offset, &words[10], sizeof(struct tcphdr)))
		return -1;
	for (__u32 i = 0; i < 10; i++)
		if (i < l3 / 4)
			sum += words[i];
	sum += icmp_quoted_sum(skb, packet, &words[10], l4 / 4);
	sum += (__u64) * (__u32 *)&icmp + icmp.mtu;
	icmp.check = ~checksum_fold16(checksum_fold32(sum));
	if (bpf_skb_adjust_room(skb, l3 + sizeof(icmp), BPF_ADJ_ROOM_MAC, 0) ||
	    icmp_write_l3(skb, packet, quote + sizeof(icmp)))
		return -1;
	return bpf_skb_store_bytes(skb, L3_OFFSET + l3, &icmp, sizeof(icmp), 0);
}
