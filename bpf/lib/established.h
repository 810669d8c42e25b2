/* A flow that exists: does it go on, and what its next packet changes in it. */
#pragma once

#include "flow.h"
#include "select.h"

/*
 * Does the client begin anew, or has the flow outlived its backend or its time? Then a backend is
 * chosen again, as conntrack forgets such a connection.
 */
INLINE bool begins_anew(const struct packet *packet, const struct flow *flow, bool half_open)
{
	if (!flow_is_first_stage(flow, packet->key.hook))
		return false;
	if (packet->key.proto == IPPROTO_SCTP)
		return flow_expired(flow, packet->key.proto, half_open);
	if (packet->key.proto == IPPROTO_TCP) {
		if (!packet_may_begin(packet))
			return false;
		return flow->flags & FLOW_CLOSING || !backend_serves(flow->backend_id, flow->backend_generation) ||
		       flow_expired(flow, packet->key.proto, half_open);
	}
	return !backend_serves(flow->backend_id, flow->backend_generation) ||
	       flow_expired(flow, packet->key.proto, half_open);
}

/*
 * A FIN or an RST used an entry. After an RST neither side says anything any more: the entry of the other direction
 * has to know, which would live on for a day otherwise, and its port with it.
 */
NOINLINE void flow_close(struct flow *flow, const struct packet *packet)
{
	struct flow_key opposite;
	struct flow *other;
	bool half_open;

	if (!flow || !packet)
		return;
	flow->flags |= FLOW_CLOSING;
	if (!(packet->tcp_flags & TCP_RST))
		return;
	flow->flags |= FLOW_RESET;
	flow_answer_key(&opposite, flow, IPPROTO_TCP, flow_opposite_hook(flow, packet->key.hook));
	other = flow_find(&opposite, &half_open);
	/* Of this connection, not of one that has taken its port since. */
	if (!other || other->sport != packet->key.dport || other->dport != packet->key.sport ||
	    !address_equal(&other->saddr, &packet->key.daddr) || !address_equal(&other->daddr, &packet->key.saddr))
		return;
	other->flags |= FLOW_CLOSING | FLOW_RESET;
	other->last_seen = flow->last_seen;
}

/* Counts a packet. @now: jiffies. */
INLINE void flow_use(struct flow *flow, const struct packet *packet, __u32 now)
{
	flow->last_seen = now;
	flow->packets++;
	flow->bytes += packet->bytes;
	if (unlikely(packet->tcp_flags & (TCP_FIN | TCP_RST)))
		flow_close(flow, packet);
}

/* A packet used a half-open entry: may the connection be established with it? Not by one that ends it. */
INLINE bool flow_may_promote(struct flow *flow, const struct packet *packet)
{
	flow->flags |= FLOW_SEEN;
	return flow_is_first_stage(flow, packet->key.hook) && !(packet->tcp_flags & (TCP_SYN | TCP_RST));
}
