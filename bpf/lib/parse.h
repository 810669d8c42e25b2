/*
 * Packets of every kind that tc looks at: with options and extension headers, in pieces, with another packet inside,
 * or not all in reach. What is not plain comes by here.
 */
#pragma once

#include "clock.h"
#include "packet.h"

/* IPv6 extension headers that are walked before a packet is left alone. */
#define EXTENSION_HEADERS_MAX 4
/*
 * As long as the kernel waits for the pieces of a datagram (net.ipv4.ipfrag_time). Later its identification may be that
 * of another one: in IPv4 there are 65,536.
 */
#define PIECES_SECONDS 30

/* What the pieces of a datagram have in common. */
INLINE void packet_fragment_key(struct fragment_key *key, const struct packet *packet)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->id = packet->fragment_id;
	key->proto = packet->key.proto;
	key->hook = packet->key.hook;
	address_copy(&key->saddr, &packet->key.saddr);
	address_copy(&key->daddr, &packet->key.daddr);
}

/* The ports of a later piece, which the first one left behind. */
INLINE enum packet_kind packet_recall_ports(struct packet *packet)
{
	const struct fragment *fragment;
	struct fragment_key key;

	packet_fragment_key(&key, packet);
	fragment = bpf_map_lookup_elem(&fragments, &key);
	if (!fragment || clock_passed(clock_now(), fragment->made, PIECES_SECONDS))
		return PACKET_PORTLESS;
	packet->key.sport = fragment->sport;
	packet->key.dport = fragment->dport;
	return PACKET_FLOW;
}

/* Called for a first piece: the others of its datagram follow it. */
NOINLINE void packet_remember_ports(const struct packet *packet)
{
	struct fragment_key key;
	struct fragment fragment = {};

	if (!packet)
		return;
	packet_fragment_key(&key, packet);
	fragment.sport = packet->key.sport;
	fragment.dport = packet->key.dport;
	fragment.made = clock_now();
	bpf_map_update_elem(&fragments, &key, &fragment, BPF_ANY);
}

/* Ports, and the flags of TCP. */
INLINE enum packet_kind packet_parse_l4(struct context *ctx, struct packet *packet)
{
	__u32 need = sizeof(struct udphdr), offset = packet->l4_offset;
	void *data, *end;

	switch (packet->key.proto) {
	case IPPROTO_TCP:
		need = sizeof(struct tcphdr);
		break;
	case IPPROTO_UDP:
		break;
	case IPPROTO_SCTP:
		need = sizeof(struct sctphdr);
		break;
	case IPPROTO_ICMP:
		return packet->family == 4 && packet->piece == PACKET_WHOLE ? PACKET_ICMP : PACKET_OTHER;
	case IPPROTO_ICMPV6:
		return packet->family == 6 && packet->piece == PACKET_WHOLE ? PACKET_ICMP : PACKET_OTHER;
	case IPPROTO_IPIP:
		return packet->family == 4 ? PACKET_TUNNEL : PACKET_OTHER;
	case IPPROTO_IPV6:
		return packet->family == 6 ? PACKET_TUNNEL : PACKET_OTHER;
	default:
		return PACKET_OTHER;
	}
	if (unlikely(packet->piece == PACKET_LATER))
		return packet_recall_ports(packet);
	/* The verifier wants a bound on an offset that it did not see computed. */
	if (offset > L3_OFFSET + 256 || !packet_pull(ctx, offset + need))
		return PACKET_OTHER;
	data = context_data(ctx) + offset;
	end = context_end(ctx);
	if (packet->key.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = data;

		if ((void *)(tcp + 1) > end)
			return PACKET_OTHER;
		packet->key.sport = tcp->source;
		packet->key.dport = tcp->dest;
		packet->tcp_flags = ((__u8 *)tcp)[13];
	} else if (packet->key.proto == IPPROTO_SCTP) {
		struct sctphdr *sctp = data;

		if ((void *)(sctp + 1) > end)
			return PACKET_OTHER;
		packet->key.sport = sctp->source;
		packet->key.dport = sctp->dest;
		packet->tcp_flags = sctp->chunk == SCTP_INIT && !sctp->tag ? TCP_SYN : 0;
	} else {
		struct udphdr *udp = data;

		if ((void *)(udp + 1) > end)
			return PACKET_OTHER;
		packet->key.sport = udp->source;
		packet->key.dport = udp->dest;
		if (unlikely(packet->key.dport == knobs.geneve_port))
			return PACKET_TUNNEL;
	}
	return PACKET_FLOW;
}

INLINE enum packet_kind packet_parse_v4(struct context *ctx, struct packet *packet)
{
	struct iphdr *ip;

	if (!packet_pull(ctx, L3_OFFSET + sizeof(*ip)))
		return PACKET_OTHER;
	ip = context_data(ctx) + L3_OFFSET;
	if ((void *)(ip + 1) > context_end(ctx) || ip->ihl < 5)
		return PACKET_OTHER;
	if (unlikely(ip->frag_off & bpf_htons(IP_OFFSET_MASK | IP_MORE))) {
		packet->piece = ip->frag_off & bpf_htons(IP_OFFSET_MASK) ? PACKET_LATER : PACKET_FIRST;
		packet->fragment_id = ip->id;
	}
	packet->family = 4;
	packet->ttl = ip->ttl;
	packet->key.proto = ip->protocol;
	packet->bytes = bpf_ntohs(ip->tot_len);
	packet->l4_offset = L3_OFFSET + ip->ihl * 4;
	address_from_v4(&packet->key.saddr, ip->saddr);
	address_from_v4(&packet->key.daddr, ip->daddr);
	return packet_parse_l4(ctx, packet);
}

/* Walks extension headers (RFC 8200 4). Returns false for one that hides the ports. */
NOINLINE bool packet_skip_extensions(struct context *ctx, struct packet *packet)
{
	__u32 offset = packet->l4_offset;
	__u8 next = packet->key.proto;
	__u8 header[4];

	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (!packet_load(ctx, offset, header, sizeof(header)))
				return false;
			offset += (header[1] + 1) * 8;
			break;
		case IPPROTO_FRAGMENT:
			if (!packet_load(ctx, offset, header, sizeof(header)) ||
			    !packet_load(ctx, offset + 4, &packet->fragment_id, sizeof(packet->fragment_id)))
				return false;
			if (header[2] || header[3] & 0xf8)
				packet->piece = PACKET_LATER;
			else if (header[3] & 1)
				packet->piece = PACKET_FIRST;
			offset += 8;
			break;
		default:
			packet->key.proto = next;
			packet->l4_offset = offset;
			return true;
		}
		next = header[0];
	}
	return false;
}

INLINE enum packet_kind packet_parse_v6(struct context *ctx, struct packet *packet)
{
	struct ipv6hdr *ip;

	if (!packet_pull(ctx, L3_OFFSET + sizeof(*ip)))
		return PACKET_OTHER;
	ip = context_data(ctx) + L3_OFFSET;
	if ((void *)(ip + 1) > context_end(ctx))
		return PACKET_OTHER;
	packet->family = 6;
	packet->ttl = ip->hop_limit;
	packet->key.proto = ip->nexthdr;
	packet->bytes = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	packet->l4_offset = L3_OFFSET + sizeof(*ip);
	address_copy(&packet->key.saddr, (struct address *)&ip->saddr);
	address_copy(&packet->key.daddr, (struct address *)&ip->daddr);
	if (unlikely(ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP) && ip->nexthdr != IPPROTO_ICMPV6 &&
	    !packet_skip_extensions(ctx, packet))
		return PACKET_OTHER;
	return packet_parse_l4(ctx, packet);
}

/*
 * @hook: enum flow_hook.
 * A later piece of a datagram has the ports of the first, when that belonged to a flow.
 */
INLINE enum packet_kind packet_parse(struct context *ctx, struct packet *packet, __u8 hook)
{
	__builtin_memset(packet, 0, sizeof(*packet));
	packet->key.hook = hook;
	if (context_protocol(ctx) == bpf_htons(ETH_P_IP))
		return packet_parse_v4(ctx, packet);
	if (context_protocol(ctx) == bpf_htons(ETH_P_IPV6))
		return packet_parse_v6(ctx, packet);
	return PACKET_OTHER;
}
