/*
 * Direct server return, the sending side: the node that a client reached puts the client's packet into
 * another one, for the node of the backend, which answers the client itself.
 *
 *   IP in IP   this node > backend [ C>V ]                            the backend's node finds the port
 *   Geneve     this node > backend's node [ option: V ] [ C>B ]
 *
 * One entry, in C>V; no source NAT and no answer, for the answers never come by here.
 */
#pragma once

#include "new_flow.h"
#include "rewrite_skb.h"
#include "send_skb.h"

#define ENCAP_TTL 64
/* struct iphdr.frag_off: the way must not break it, so that the client learns of a smaller MTU. */
#define ENCAP_DF 0x4000

INLINE bool address_is_peer(const struct address *address)
{
	struct node_address_key key;

	address_copy(&key.address, address);
	return bpf_map_lookup_elem(&peers, &key);
}

INLINE const struct dsr_backend *dsr_backend(const struct address *address, __u32 service_port_id)
{
	struct dsr_backend_key key = {.service_port_id = service_port_id};

	address_copy(&key.address, address);
	return bpf_map_lookup_elem(&dsr_backends, &key);
}

/*
 * Makes the entry of a connection from outside whose backend answers directly.
 * Returns REASON_NEW_FLOW, with the entry in scratch->flow; REASON_NOT_OURS when source NAT has to do:
 * the backend's node is not known, or would see an address of its own as the client's.
 */
NOINLINE __u32 encap_begin(struct __sk_buff *skb, const struct packet *packet, const struct frontend *frontend,
			   const struct backend_slot *slot, struct scratch *scratch)
{
	bool geneve = knobs.dsr_encapsulation == DSR_ENCAPSULATION_GENEVE;
	const struct dsr_backend *backend;
	struct flow *flow;

	if (!packet || !frontend || !slot || !scratch)
		return REASON_NOT_OURS;
	flow = &scratch->flow;
	backend = dsr_backend(&slot->address, frontend->service_port_id);
	if (!backend || backend->port != slot->port || (geneve && address_is_none(&backend->node)) ||
	    address_is_none(node_own_address(&slot->address)) || address_is_peer(&packet->key.saddr))
		return REASON_NOT_OURS;
	flow_init(flow, frontend, slot);
	flow->flags = FLOW_REDIRECT | FLOW_DSR | (geneve ? FLOW_GENEVE : 0);
	address_copy(&flow->daddr, &slot->address);
	flow->sport = packet->key.sport;
	flow->dport = slot->port;
	if (geneve) {
		/* What is changed inside: the destination alone. */
		address_copy(&flow->saddr, &packet->key.saddr);
		flow_set_deltas(flow, &packet->key);
		address_copy(&flow->saddr, &backend->node);
	} else {
		address_copy(&flow->saddr, &slot->address);
	}
	nexthop_key(&scratch->routed, flow, &packet->key);
	if (!nexthop_refresh(skb, flow, &scratch->routed, &scratch->next))
		return REASON_NOT_OURS;
	flow->packets = 1;
	flow->bytes = packet->bytes;
	flow_put(ANSWER_MAX);
	return REASON_NEW_FLOW;
}

INLINE void encap_udp(struct udphdr *udp, const struct packet *packet, __u32 length)
{
	udp->source = encap_source_port(&packet->key);
	udp->dest = knobs.geneve_port;
	udp->len = bpf_htons(length);
	/* None: the packet inside has its own (RFC 6935 for IPv6). */
	udp->check = 0;
}

/* Lengths above 64 KiB stand as 0, as the kernel has it for a packet that is still to be cut. */
INLINE __be16 encap_length(__u32 length)
{
	return length > 0xffff ? 0 : bpf_htons(length);
}

NOINLINE int encap_wrap4(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	struct geneve_packet4 outer = {};
	__u32 *words = (__u32 *)&outer.ip, length;
	__u64 sum = 0;
	__u8 tos = 0;
	bool geneve;

	if (!packet || !flow)
		return -1;
	geneve = flow->flags & FLOW_GENEVE;
	length = geneve ? sizeof(outer) : sizeof(outer.ip);
	bpf_skb_load_bytes(skb, L3_OFFSET + offsetof(struct iphdr, tos), &tos, sizeof(tos));
	outer.ip.version = 4;
	outer.ip.ihl = 5;
	outer.ip.tos = tos;
	outer.ip.tot_len = encap_length(packet->bytes + length);
	outer.ip.frag_off = bpf_htons(ENCAP_DF);
	outer.ip.ttl = ENCAP_TTL;
	outer.ip.protocol = geneve ? IPPROTO_UDP : IPPROTO_IPIP;
	outer.ip.saddr = address_word(node_own_address(&flow->saddr), 3);
	outer.ip.daddr = address_word(&flow->saddr, 3);
	for (int i = 0; i < 5; i++)
		sum += words[i];
	outer.ip.check = ~checksum_fold16(checksum_fold32(sum));
	if (!geneve)
		return bpf_skb_adjust_room(skb, sizeof(outer.ip), BPF_ADJ_ROOM_MAC,
					   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4) ||
		       bpf_skb_store_bytes(skb, L3_OFFSET, &outer, sizeof(outer.ip), BPF_F_RECOMPUTE_CSUM);
	encap_udp(&outer.udp, packet, packet->bytes + sizeof(outer) - sizeof(outer.ip));
	geneve_set(&outer.geneve, true);
	outer.frontend.address = address_word(&packet->key.daddr, 3);
	outer.frontend.port = packet->key.dport;
	return bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC,
				   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
					   BPF_F_ADJ_ROOM_ENCAP_L4_UDP) ||
	       bpf_skb_store_bytes(skb, L3_OFFSET, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM);
}

NOINLINE int encap_wrap6(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	struct geneve_packet6 outer = {};
	__be32 class = 0;
	__u32 length;
	bool geneve;

	if (!packet || !flow)
		return -1;
	geneve = flow->flags & FLOW_GENEVE;
	length = geneve ? sizeof(outer) : sizeof(outer.ip);
	/* Version and traffic class; the flow label says nothing of the way outside. */
	bpf_skb_load_bytes(skb, L3_OFFSET, &class, sizeof(class));
	*(__be32 *)&outer.ip = class & bpf_htonl(0xfff00000);
	outer.ip.payload_len = encap_length(packet->bytes + length - sizeof(outer.ip));
	outer.ip.nexthdr = geneve ? IPPROTO_UDP : IPPROTO_IPV6;
	outer.ip.hop_limit = ENCAP_TTL;
	address_copy((struct address *)&outer.ip.saddr, node_own_address(&flow->saddr));
	address_copy((struct address *)&outer.ip.daddr, &flow->saddr);
	if (!geneve)
		return bpf_skb_adjust_room(skb, sizeof(outer.ip), BPF_ADJ_ROOM_MAC,
					   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) ||
		       bpf_skb_store_bytes(skb, L3_OFFSET, &outer, sizeof(outer.ip), BPF_F_RECOMPUTE_CSUM);
	encap_udp(&outer.udp, packet, packet->bytes + sizeof(outer) - sizeof(outer.ip));
	geneve_set(&outer.geneve, false);
	address_copy(&outer.frontend.address, &packet->key.daddr);
	outer.frontend.port = packet->key.dport;
	return bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC,
				   BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 |
					   BPF_F_ADJ_ROOM_ENCAP_L4_UDP) ||
	       bpf_skb_store_bytes(skb, L3_OFFSET, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM);
}

/* Puts the packet, which is rewritten inside already, into another one. Returns 0 or an error. */
INLINE int encap_wrap(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	return packet_is_v4(packet) ? encap_wrap4(skb, packet, flow) : encap_wrap6(skb, packet, flow);
}

/*
 * What is changed inside: for Geneve the destination; the time to live as in any packet that is forwarded.
 * scratch->rewrite becomes the flow as rewrite_packet wants it.
 */
INLINE int encap_rewrite(struct __sk_buff *skb, struct scratch *scratch, const struct packet *packet,
			 const struct flow *flow)
{
	struct flow *inside = &scratch->rewrite;
	bool geneve = flow->flags & FLOW_GENEVE;

	address_copy(&inside->saddr, &packet->key.saddr);
	address_copy(&inside->daddr, geneve ? &flow->daddr : &packet->key.daddr);
	inside->sport = flow->sport;
	inside->dport = geneve ? flow->dport : packet->key.dport;
	inside->address_delta = flow->address_delta;
	inside->port_delta = flow->port_delta;
	return rewrite_packet(skb, packet, inside, 1);
}
