/*
 * Direct server return, the receiving side: encap.h has the sending one. Packets of peer nodes are
 * taken out of the packets around them, when they are for a frontend here and a backend of it on this
 * node; every other tunnel's packet is left alone. Then it is a connection through the stack without
 * source NAT, whose backend the peer chose:
 *
 *   in   C>V => C>B
 *   out  B>C => V>C
 */
#pragma once

#include "ecn.h"
#include "encap.h"
#include "established.h"
#include "icmp.h"
#include "inner.h"
#include "lookup.h"
#include "parse.h"

/* Is it an entry of a connection that came encapsulated, to this backend? */
INLINE bool decap_is_flow(const struct flow *flow, const struct address *backend)
{
	return flow && flow->flags & FLOW_DSR && !(flow->flags & FLOW_REDIRECT) && address_equal(&flow->daddr, backend);
}

/* The frontend and backend that the peer has chosen, when both are here. Returns NULL when they are not. */
INLINE const struct dsr_backend *decap_backend(const struct flow_key *key, const struct address *backend,
					       __u32 *service_port_id)
{
	/* The address may be one of the peer's own, on which NodePorts answer. */
	const struct frontend *frontend = frontend_lookup(&key->daddr, key->dport, key->proto, true);
	const struct dsr_backend *row;

	if (!frontend)
		return NULL;
	*service_port_id = frontend->service_port_id;
	row = dsr_backend(backend, frontend->service_port_id);
	return row && row->flags & BACKEND_LOCAL ? row : NULL;
}

/* An ICMP error inside: does it quote a packet of a connection that came encapsulated? */
NOINLINE bool decap_icmp_is_ours(struct __sk_buff *skb, const struct address *backend, __u32 offset, bool v4)
{
	struct scratch *scratch = scratch_get();
	bool half_open;

	return backend && scratch && icmp_read_quote(skb, scratch, offset, v4, HOOK_INGRESS) &&
	       decap_is_flow(flow_find(&scratch->quote.answer, &half_open), backend);
}

/* IP in IP has no mark: what is inside must be for a frontend, or of a flow, and outside one of its backends here. */
NOINLINE bool decap_ipip_is_ours(struct __sk_buff *skb, struct scratch *scratch, __u32 offset, bool v4)
{
	struct packet *inner = &scratch->packet;
	bool half_open;
	__u32 id;

	if (!scratch)
		return false;
	inner->key.hook = HOOK_INGRESS;
	if (!inner_read(skb, inner, offset, v4) ||
	    (inner->piece == PACKET_LATER && packet_recall_ports(inner) != PACKET_FLOW))
		return false;
	if (inner->key.proto == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return decap_icmp_is_ours(skb, &scratch->decap.backend, offset, v4);
	return decap_is_flow(flow_find(&inner->key, &half_open), &scratch->decap.backend) ||
	       decap_backend(&inner->key, &scratch->decap.backend, &id);
}

/* The packet is nobody's whom we know. */
#define VERDICT_NOT_OURS (-2)

enum decap_result {
	/* Left as it was; scratch->packet is still the one outside when that has ports. */
	DECAP_NOT_OURS,
	/* The packet inside stands in scratch->packet and scratch->decap, its key as the client sent it. */
	DECAP_FLOW,
	/* An ICMP error, or a piece of a datagram whose first piece was not seen. */
	DECAP_ICMP,
	DECAP_OTHER,
	/* Half taken out: it must be dropped. */
	DECAP_FAILED,
	/* Routers say outside that they drop packets: so is this one, whose transport would not understand a mark. */
	DECAP_CONGESTED,
};

/* The packet inside, once it stands alone. */
INLINE enum decap_result decap_parse(struct __sk_buff *skb, struct scratch *scratch)
{
	struct packet *packet = &scratch->packet;

	switch (packet_parse(skb, packet, HOOK_INGRESS)) {
	case PACKET_FLOW:
		break;
	case PACKET_ICMP:
		return DECAP_ICMP;
	default:
		return DECAP_OTHER;
	}
	/* By the header that the other pieces have too. */
	if (unlikely(packet->piece == PACKET_FIRST))
		packet_remember_ports(packet);
	if (scratch->decap.geneve) {
		address_copy(&scratch->decap.backend, &packet->key.daddr);
		scratch->decap.backend_port = packet->key.dport;
		address_copy(&packet->key.daddr, &scratch->decap.frontend);
		packet->key.dport = scratch->decap.frontend_port;
	}
	return DECAP_FLOW;
}

/*
 * May it be one of a peer's, sent to this node? A pod can write what it likes around a packet, so only what came by a
 * node device is. Geneve goes to an address of this node; IP in IP to a backend, which decap_ipip_is_ours looks for.
 */
INLINE bool decap_may_be_ours(struct __sk_buff *skb, const struct packet *outer)
{
	const struct device *in = device_of(skb->ifindex);

	return in && in->flags & DEVICE_NODE && outer->piece == PACKET_WHOLE && address_is_peer(&outer->key.saddr) &&
	       (outer->key.proto != IPPROTO_UDP || node_address_flags(&outer->key.daddr) & NODE_ADDRESS_LOCAL);
}

/* Takes the packet that stands in the scratch memory apart. Returns enum decap_result. */
GLOBAL int decap_strip(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	struct packet *outer;
	struct decap *decap;
	__u32 offset, length;
	__be16 class;
	bool v4;

	if (!scratch)
		return DECAP_NOT_OURS;
	outer = &scratch->packet;
	decap = &scratch->decap;
	v4 = packet_is_v4(outer);
	offset = outer->l4_offset;
	if (!decap_may_be_ours(skb, outer))
		return DECAP_NOT_OURS;
	decap->geneve = outer->key.proto == IPPROTO_UDP;
	if (decap->geneve) {
		length = geneve_read(skb, decap, offset, v4);
		if (!length)
			return DECAP_NOT_OURS;
		offset += length;
	} else {
		address_copy(&decap->backend, &outer->key.daddr);
		decap->backend_port = 0;
		if (!decap_ipip_is_ours(skb, scratch, offset, v4))
			return DECAP_NOT_OURS;
	}
	if (ecn_load(skb, &class))
		return DECAP_NOT_OURS;
	if (bpf_skb_adjust_room(skb, -(__s32)(offset - L3_OFFSET), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return DECAP_FAILED;
	if (ecn_take_over(skb, ecn_of(class, v4), v4))
		return DECAP_CONGESTED;
	return decap_parse(skb, scratch);
}

/*
 * Makes the entries of the connection whose packet decap_strip took out.
 * Returns REASON_NEW_FLOW, with the entry for the packet in scratch->flow; or the reason to drop it.
 */
GLOBAL int decap_begin(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	const struct dsr_backend *row;
	struct backend_slot slot = {};
	struct packet *packet;
	__u32 reason, id = 0;
	struct flow *flow;

	if (!scratch)
		return REASON_DROP_IMPOSSIBLE;
	packet = &scratch->packet;
	flow = &scratch->flow;
	/* The node that took it in has looked already, but who says that this one is from there? */
	if (source_is_martian(&packet->key.saddr) || source_is_here(&packet->key.saddr))
		return REASON_DROP_SOURCE;
	row = decap_backend(&packet->key, &scratch->decap.backend, &id);
	if (!row)
		return REASON_DROP_NOT_BACKEND;
	address_copy(&slot.address, &scratch->decap.backend);
	slot.port = scratch->decap.geneve ? scratch->decap.backend_port : row->port;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->last_seen = clock_now();
	flow->created = flow->last_seen;
	/* No backend_id: whether the flow goes on is for the peer to say. */
	flow->service_port_id = id;
	reason = flow_begin_stack(skb, packet, &slot, false, scratch);
	if (reason != REASON_NEW_FLOW)
		return reason;
	flow->flags |= FLOW_DSR;
	flow->packets = 1;
	flow->bytes = packet->bytes;
	flow_set_deltas(flow, &packet->key);
	flow_put(ANSWER_MAX);
	return REASON_NEW_FLOW;
}

/* Does the flow lead where the peer wants the packet to go? */
INLINE bool decap_goes_on(const struct scratch *scratch, const struct flow *flow, bool half_open)
{
	const struct decap *decap = &scratch->decap;

	return decap_is_flow(flow, &decap->backend) && (!decap->geneve || flow->dport == decap->backend_port) &&
	       !begins_anew(&scratch->packet, flow, half_open);
}

/* Writes what is not yet as @flow wants it: for Geneve the client's port alone, if another stands in for it. */
NOINLINE int decap_rewrite(struct __sk_buff *skb, struct scratch *scratch, const struct flow *flow)
{
	const struct packet *packet;
	struct flow *rest;

	if (!scratch || !flow)
		return -1;
	packet = &scratch->packet;
	rest = &scratch->rewrite;
	address_copy(&rest->saddr, &flow->saddr);
	address_copy(&rest->daddr, &flow->daddr);
	rest->sport = flow->sport;
	rest->dport = flow->dport;
	rest->address_delta = flow->address_delta;
	rest->port_delta = flow->port_delta;
	if (scratch->decap.geneve) {
		if (flow->sport == packet->key.sport)
			return 0;
		rest->address_delta = 0;
		rest->port_delta = checksum_port_delta(packet->key.sport, 0, flow->sport, 0);
	}
	return rewrite_packet(skb, packet, rest, 0);
}
