/*
 * Refuses a packet at once, from the hook: a TCP reset, or ICMP port unreachable for the rest
 * (R-28).
 */
#pragma once

#include "answer.h"
#include "rewrite.h"
#include "scratch.h"

#define ICMP_DEST_UNREACH 3
#define ICMP_PORT_UNREACH 3
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PORT_UNREACH 4
#define REJECT_TTL 64

/* ICMP and ICMPv6 errors have the same first eight bytes. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 unused;
};

/* Writes the network header of the answer. @payload: bytes after it. */
INLINE int reject_write_l3(struct __sk_buff *skb, const struct packet *packet, __u8 proto, __u16 payload)
{
	if (packet_is_v4(packet)) {
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.tot_len = bpf_htons(sizeof(ip) + payload),
			.frag_off = bpf_htons(0x4000),
			.ttl = REJECT_TTL,
			.protocol = proto,
			.saddr = address_word(&packet->key.daddr, 3),
			.daddr = address_word(&packet->key.saddr, 3),
		};
		__u32 *words = (__u32 *)&ip;
		__u64 sum = 0;

		for (int i = 0; i < 5; i++)
			sum += words[i];
		ip.check = ~checksum_fold16(checksum_fold32(sum));
		return bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), 0);
	}
	struct ipv6hdr ip6 = {
		.version = 6,
		.payload_len = bpf_htons(payload),
		.nexthdr = proto,
		.hop_limit = REJECT_TTL,
	};
	__builtin_memcpy(&ip6.saddr, &packet->key.daddr, 16);
	__builtin_memcpy(&ip6.daddr, &packet->key.saddr, 16);
	return bpf_skb_store_bytes(skb, L3_OFFSET, &ip6, sizeof(ip6), 0);
}

/*
 * Is the transport checksum left to the device (CHECKSUM_PARTIAL)? The helper that follows a
 * change outside the pseudo header leaves such a checksum alone.
 */
INLINE bool reject_checksum_is_partial(struct __sk_buff *skb, __u32 offset)
{
	__u16 before = 0, after = 0;

	if (bpf_skb_load_bytes(skb, offset, &before, sizeof(before)) || bpf_l4_csum_replace(skb, offset, 0, 1, 0) ||
	    bpf_skb_load_bytes(skb, offset, &after, sizeof(after)))
		return false;
	return before == after;
}

/* RFC 9293 3.10.7.1: the answer to a segment for a connection that does not exist. */
NOINLINE int reject_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct tcphdr tcp, rst = {};
	__u32 *words = (__u32 *)&rst;
	__u32 header, segment;
	bool partial;
	__u64 sum;

	if (!packet || packet->tcp_flags & TCP_RST)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, packet->l4_offset, &tcp, sizeof(tcp)))
		return TC_ACT_SHOT;
	header = packet->l4_offset - L3_OFFSET + tcp.doff * 4;
	segment = packet->bytes > header ? packet->bytes - header : 0;
	rst.source = tcp.dest;
	rst.dest = tcp.source;
	rst.doff = 5;
	rst.rst = 1;
	if (tcp.ack) {
		rst.seq = tcp.ack_seq;
	} else {
		rst.ack = 1;
		rst.ack_seq = bpf_htonl(bpf_ntohl(tcp.seq) + segment + tcp.syn + tcp.fin);
	}
	partial = reject_checksum_is_partial(skb, packet->l4_offset + offsetof(struct tcphdr, check));
	sum = packet_pseudo_sum(packet, IPPROTO_TCP, sizeof(rst));
	if (partial) {
		rst.check = checksum_fold16(checksum_fold32(sum));
	} else {
		for (int i = 0; i < 5; i++)
			sum += words[i];
		rst.check = ~checksum_fold16(checksum_fold32(sum));
	}
	/* Options of the network header would be in the way. */
	if (packet->l4_offset != L3_OFFSET + (packet_is_v4(packet) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)))
		return TC_ACT_SHOT;
	if (bpf_skb_change_tail(skb, packet->l4_offset + sizeof(rst), 0) ||
	    reject_write_l3(skb, packet, IPPROTO_TCP, sizeof(rst)) ||
	    bpf_skb_store_bytes(skb, packet->l4_offset, &rst, sizeof(rst), 0))
		return TC_ACT_SHOT;
	return answer_send(skb, packet->key.hook);
}

/* RFC 792, RFC 4443 3.1: the error carries the network header and eight bytes more. */
NOINLINE int reject_unreachable(struct __sk_buff *skb, struct packet *packet)
{
	struct icmp_error icmp = {};
	__u32 words[12] = {};
	__u32 l3, inner, added;
	__u64 sum = 0;

	if (!packet)
		return TC_ACT_SHOT;
	l3 = packet_is_v4(packet) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (packet->l4_offset != L3_OFFSET + l3)
		return TC_ACT_SHOT;
	inner = l3 + 8;
	added = l3 + sizeof(icmp);
	if (bpf_skb_change_tail(skb, L3_OFFSET + inner, 0))
		return TC_ACT_SHOT;
	if (packet_is_v4(packet)) {
		if (bpf_skb_load_bytes(skb, L3_OFFSET, words, sizeof(struct iphdr) + 8))
			return TC_ACT_SHOT;
		icmp.type = ICMP_DEST_UNREACH;
		icmp.code = ICMP_PORT_UNREACH;
	} else {
		if (bpf_skb_load_bytes(skb, L3_OFFSET, words, sizeof(struct ipv6hdr) + 8))
			return TC_ACT_SHOT;
		icmp.type = ICMPV6_DEST_UNREACH;
		icmp.code = ICMPV6_PORT_UNREACH;
		sum = packet_pseudo_sum(packet, IPPROTO_ICMPV6, inner + sizeof(icmp));
	}
	for (int i = 0; i < 12; i++)
		sum += words[i];
	sum += *(__u32 *)&icmp;
	icmp.check = ~checksum_fold16(checksum_fold32(sum));
	if (bpf_skb_adjust_room(skb, added, BPF_ADJ_ROOM_MAC, 0) ||
	    reject_write_l3(skb, packet, packet_is_v4(packet) ? IPPROTO_ICMP : IPPROTO_ICMPV6, inner + sizeof(icmp)) ||
	    bpf_skb_store_bytes(skb, L3_OFFSET + l3, &icmp, sizeof(icmp), 0))
		return TC_ACT_SHOT;
	return answer_send(skb, packet->key.hook);
}

/*
 * Refuses the packet that stands in the scratch memory.
 * Returns a TC_ACT verdict: redirected, or dropped when the answer cannot be built.
 */
GLOBAL int reject_packet(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();

	if (!scratch)
		return TC_ACT_SHOT;
	if (scratch->packet.key.proto == IPPROTO_TCP)
		return reject_tcp(skb, &scratch->packet);
	return reject_unreachable(skb, &scratch->packet);
}
