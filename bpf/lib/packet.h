/* A packet as the tc programs see it. Only parsers check bounds and compute offsets. */
#pragma once

#include "address.h"

/* IPv6 extension headers that are walked before a packet is left alone. */
#define EXTENSION_HEADERS_MAX 4

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct packet {
	/* The packet as this hook sees it; key.proto is the transport protocol. */
	struct flow_key key;
	/* Bytes from the start of the frame to the transport header. */
	__u32 l4_offset;
	/* Bytes from the network header on. */
	__u32 bytes;
	/* TCP_* of a TCP packet, 0 otherwise. */
	__u8 tcp_flags;
	/* 4 or 6. */
	__u8 family;
	/* Hop limit. */
	__u8 ttl;
};

/* Offset of the network header: the programs are attached to Ethernet devices only. */
#define L3_OFFSET ETH_HLEN

INLINE bool packet_is_v4(const struct packet *packet)
{
	return packet->family == 4;
}

/* Makes the first @length bytes of the packet readable by pointer. */
INLINE bool packet_pull(struct __sk_buff *skb, __u32 length)
{
	if (likely((void *)(long)skb->data + length <= (void *)(long)skb->data_end))
		return true;
	return bpf_skb_pull_data(skb, length) == 0;
}

/* Ports, and the flags of TCP. Returns false for a protocol that is never balanced. */
INLINE bool packet_parse_l4(struct __sk_buff *skb, struct packet *packet)
{
	__u32 need = packet->key.proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	void *data, *end;

	if (packet->key.proto != IPPROTO_TCP && packet->key.proto != IPPROTO_UDP)
		return false;
	/* The verifier wants a bound on an offset that it did not see computed. */
	if (packet->l4_offset > L3_OFFSET + 256 || !packet_pull(skb, packet->l4_offset + need))
		return false;
	data = (void *)(long)skb->data + packet->l4_offset;
	end = (void *)(long)skb->data_end;
	if (packet->key.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = data;

		if ((void *)(tcp + 1) > end)
			return false;
		packet->key.sport = tcp->source;
		packet->key.dport = tcp->dest;
		packet->tcp_flags = ((__u8 *)tcp)[13];
	} else {
		struct udphdr *udp = data;

		if ((void *)(udp + 1) > end)
			return false;
		packet->key.sport = udp->source;
		packet->key.dport = udp->dest;
	}
	return true;
}

INLINE bool packet_parse_v4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr *ip;

	if (!packet_pull(skb, L3_OFFSET + sizeof(*ip)))
		return false;
	ip = (void *)(long)skb->data + L3_OFFSET;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->ihl < 5)
		return false;
	/* Only the first fragment has ports. */
	if (ip->frag_off & bpf_htons(0x1fff))
		return false;
	packet->family = 4;
	packet->ttl = ip->ttl;
	packet->key.proto = ip->protocol;
	packet->bytes = bpf_ntohs(ip->tot_len);
	packet->l4_offset = L3_OFFSET + ip->ihl * 4;
	address_from_v4(&packet->key.saddr, ip->saddr);
	address_from_v4(&packet->key.daddr, ip->daddr);
	return packet_parse_l4(skb, packet);
}

/* Walks extension headers (RFC 8200 4). Returns false for one that hides the ports. */
NOINLINE bool packet_skip_extensions(struct __sk_buff *skb, struct packet *packet)
{
	__u32 offset = packet->l4_offset;
	__u8 next = packet->key.proto;
	__u8 header[4];

	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (bpf_skb_load_bytes(skb, offset, header, sizeof(header)) < 0)
				return false;
			offset += (header[1] + 1) * 8;
			break;
		case IPPROTO_FRAGMENT:
			if (bpf_skb_load_bytes(skb, offset, header, sizeof(header)) < 0)
				return false;
			if (header[2] || header[3] & 0xf8)
				return false;
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

INLINE bool packet_parse_v6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr *ip;

	if (!packet_pull(skb, L3_OFFSET + sizeof(*ip)))
		return false;
	ip = (void *)(long)skb->data + L3_OFFSET;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	packet->family = 6;
	packet->ttl = ip->hop_limit;
	packet->key.proto = ip->nexthdr;
	packet->bytes = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	packet->l4_offset = L3_OFFSET + sizeof(*ip);
	address_copy(&packet->key.saddr, (struct address *)&ip->saddr);
	address_copy(&packet->key.daddr, (struct address *)&ip->daddr);
	if (unlikely(ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP) && !packet_skip_extensions(skb, packet))
		return false;
	return packet_parse_l4(skb, packet);
}

/*
 * @hook: enum flow_hook.
 * Returns false for what is never balanced: other protocols, later fragments, what is malformed.
 */
INLINE bool packet_parse(struct __sk_buff *skb, struct packet *packet, __u8 hook)
{
	__builtin_memset(packet, 0, sizeof(*packet));
	packet->key.hook = hook;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return packet_parse_v4(skb, packet);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return packet_parse_v6(skb, packet);
	return false;
}
