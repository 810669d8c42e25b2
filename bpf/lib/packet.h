/*
 * A packet as the programs see it. Only parsers check bounds and compute offsets. Whose context it
 * comes in, packet_skb.h or packet_xdp.h says, which is included before.
 */
#pragma once

#include "address.h"

/* struct iphdr.frag_off, in host byte order. */
#define IP_OFFSET_MASK 0x1fff
#define IP_MORE 0x2000

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

enum packet_piece {
	PACKET_WHOLE,
	/* The first piece of a datagram: it has the transport header. */
	PACKET_FIRST,
	/* Another piece: its ports are those of the first. */
	PACKET_LATER,
};

enum packet_kind {
	/* Never balanced: another protocol, or malformed. */
	PACKET_OTHER,
	/* A packet with ports. */
	PACKET_FLOW,
	/* ICMP or ICMPv6. */
	PACKET_ICMP,
	/* A packet with another one inside, by which peer nodes may have sent it. */
	PACKET_TUNNEL,
	/* A later piece of a datagram whose ports are not known. */
	PACKET_PORTLESS,
};

/* RFC 9260 3: ports, verification tag, CRC32c; and at least one chunk. */
struct sctphdr {
	__be16 source;
	__be16 dest;
	__be32 tag;
	__le32 checksum;
	/* The first chunk: type, flags, length. */
	__u8 chunk;
	__u8 chunk_flags;
	__be16 chunk_length;
};

/* INIT comes alone, and has no tag yet (RFC 9260 6.10, 8.5.1). */
#define SCTP_INIT 1

struct packet {
	/* The packet as this hook sees it; key.proto is the transport protocol. */
	struct flow_key key;
	/* Bytes from the start of the frame to the transport header. */
	__u32 l4_offset;
	/* Bytes from the network header on. */
	__u32 bytes;
	/* TCP_* of a TCP packet. An SCTP packet that begins an association has TCP_SYN, as if it were one; 0 otherwise.
	 */
	__u8 tcp_flags;
	/* 4 or 6. */
	__u8 family;
	/* Hop limit. */
	__u8 ttl;
	/* enum packet_piece. */
	__u8 piece;
	union {
		/* Identification of a datagram that comes in pieces, as it stands in the header. */
		__u32 fragment_id;
		/* Sequence number of a whole TCP packet, as it stands in the header. */
		__u32 sequence;
	};
	/* Acknowledgement number of a whole TCP packet, as it stands in the header; 0 otherwise. */
	__u32 acked;
} __attribute__((aligned(8)));

/* Offset of the network header: the programs are attached to Ethernet devices only. */
#define L3_OFFSET ETH_HLEN

/* Version 4 and a header of five words: an IPv4 header without options. */
#define IPV4_PLAIN 0x45

/*
 * Could the packet be the first of its connection? In TCP a SYN alone is, in SCTP an INIT (RFC 9260 5.1). Of a
 * datagram nobody knows.
 */
INLINE bool packet_may_begin(const struct packet *packet)
{
	return packet->key.proto == IPPROTO_UDP ||
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

INLINE bool packet_is_v4(const struct packet *packet)
{
	return packet->family == 4;
}

/* Where the transport header of a plain packet begins. */
INLINE __u32 plain_l4_offset(bool v4)
{
	return L3_OFFSET + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/*
 * A plain packet, as nearly all are: TCP or UDP, whole, without options or extension headers, its headers in reach,
 * its length in them (of segments that are still to be cut it may exceed 64 KiB). All its parts lie at fixed places.
 * @v4: the family, known when this is compiled: one body, made twice.
 * Returns false for another packet; then @packet means nothing.
 */
INLINE bool packet_parse_plain(struct context *ctx, struct packet *packet, __u8 hook, bool v4)
{
	void *data = context_data(ctx), *end = context_end(ctx), *l4 = data + plain_l4_offset(v4);
	const struct udphdr *ports = l4;

	if (l4 + sizeof(*ports) > end)
		return false;
	if (v4) {
		const struct iphdr *ip = data + L3_OFFSET;

		if (*(const __u8 *)ip != IPV4_PLAIN || ip->frag_off & bpf_htons(IP_OFFSET_MASK | IP_MORE) ||
		    !ip->tot_len)
			return false;
		packet->key.proto = ip->protocol;
		packet->ttl = ip->ttl;
		packet->bytes = bpf_ntohs(ip->tot_len);
		address_from_v4(&packet->key.saddr, ip->saddr);
		address_from_v4(&packet->key.daddr, ip->daddr);
	} else {
		const struct ipv6hdr *ip = data + L3_OFFSET;

		if (!ip->payload_len)
			return false;
		packet->key.proto = ip->nexthdr;
		packet->ttl = ip->hop_limit;
		packet->bytes = bpf_ntohs(ip->payload_len) + sizeof(*ip);
		address_copy_wide(&packet->key.saddr, &ip->saddr);
		address_copy_wide(&packet->key.daddr, &ip->daddr);
	}
	packet->key.sport = ports->source;
	packet->key.dport = ports->dest;
	packet->key.hook = hook;
	packet->key.pad[0] = 0;
	packet->key.pad[1] = 0;
	packet->l4_offset = plain_l4_offset(v4);
	packet->tcp_flags = 0;
	packet->family = v4 ? 4 : 6;
	packet->piece = PACKET_WHOLE;
	packet->fragment_id = 0;
	packet->acked = 0;
	if (packet->key.proto == IPPROTO_TCP) {
		if (l4 + sizeof(struct tcphdr) > end)
			return false;
		packet->tcp_flags = ((const __u8 *)l4)[13];
		packet->sequence = ((const struct tcphdr *)l4)->seq;
		packet->acked = ((const struct tcphdr *)l4)->ack_seq;
		return true;
	}
	return packet->key.proto == IPPROTO_UDP && packet->key.dport != knobs.geneve_port;
}
