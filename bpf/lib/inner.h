/*
 * The headers of a packet inside another one, at whatever place: one that a peer has put into its own, or one that an
 * ICMP error quotes.
 */
#pragma once

#include "packet.h"

/* A network header of either family. */
union inner_header {
	struct iphdr v4;
	struct ipv6hdr v6;
};

/*
 * The network header at @offset. Returns false when the packet is shorter. @header: zeroed before, as kernels
 * before 6.3 want it: they do not see that only what was loaded is read.
 */
INLINE bool inner_header_load(struct __sk_buff *skb, union inner_header *header, __u32 offset, bool v4)
{
	return bpf_skb_load_bytes(skb, offset, header, v4 ? sizeof(header->v4) : sizeof(header->v6)) == 0;
}

/* The header of pieces in IPv6 (RFC 8200 4.5), at inner->l4_offset. Returns false when the packet is shorter. */
INLINE bool inner_read_piece(struct __sk_buff *skb, struct packet *inner)
{
	__u8 fragment[8];

	if (bpf_skb_load_bytes(skb, inner->l4_offset, fragment, sizeof(fragment)))
		return false;
	inner->key.proto = fragment[0];
	inner->l4_offset += sizeof(fragment);
	if (fragment[2] || fragment[3] & 0xf8)
		inner->piece = PACKET_LATER;
	__builtin_memcpy(&inner->fragment_id, &fragment[4], sizeof(inner->fragment_id));
	return true;
}

/*
 * Reads the packet whose network header stands at @offset of the frame: on return @inner has its addresses, protocol,
 * identification, and where its transport header begins, from the start of the frame; its ports unless piece is
 * PACKET_LATER. Hook, length and what the parsers read besides are as they were.
 * Returns false when the packet is shorter than that, or malformed.
 */
NOINLINE bool inner_read(struct __sk_buff *skb, struct packet *inner, __u32 offset, bool v4)
{
	union inner_header ip = {};
	__be16 ports[2];

	if (!inner || !inner_header_load(skb, &ip, offset, v4))
		return false;
	inner->piece = PACKET_WHOLE;
	if (v4) {
		if (ip.v4.ihl < 5)
			return false;
		address_from_v4(&inner->key.saddr, ip.v4.saddr);
		address_from_v4(&inner->key.daddr, ip.v4.daddr);
		inner->key.proto = ip.v4.protocol;
		inner->fragment_id = ip.v4.id;
		inner->l4_offset = offset + ip.v4.ihl * 4;
		if (ip.v4.frag_off & bpf_htons(IP_OFFSET_MASK))
			inner->piece = PACKET_LATER;
	} else {
		address_copy(&inner->key.saddr, (struct address *)&ip.v6.saddr);
		address_copy(&inner->key.daddr, (struct address *)&ip.v6.daddr);
		inner->key.proto = ip.v6.nexthdr;
		inner->l4_offset = offset + sizeof(ip.v6);
		if (ip.v6.nexthdr == IPPROTO_FRAGMENT && !inner_read_piece(skb, inner))
			return false;
	}
	if (inner->piece == PACKET_LATER)
		return true;
	if (bpf_skb_load_bytes(skb, inner->l4_offset, ports, sizeof(ports)))
		return false;
	inner->key.sport = ports[0];
	inner->key.dport = ports[1];
	return true;
}
