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
		return flow->closing || !backend_serves(flow->backend_id, flow->backend_generation) ||
		       flow_expired(flow, packet->key.proto, half_open);
	}
	return !backend_serves(flow->backend_id, flow->backend_generation) ||
	       flow_expired(flow, packet->key.proto, half_open);
}

/* Writes flow.closing of an entry, whichever table has it. */
NOINLINE void flow_mark_closing(const struct flow_key *key, __u8 closing)
{
	__u64 hash = flow_hash_of(key);

	if (!established_mark(key, hash, closing))
		half_open_mark(key, hash, closing);
}

/*
 * A FIN or an RST used an entry, or data did that is marked as closing. After an RST neither side says anything any
 * more: the entry of the other direction has to know, which would live on for a day otherwise, and its port with it
 * . An RST is believed when its number is the one that the other side has acknowledged: who cannot see the
 * connection does not know it (RFC 5961 3.2). Another one changes nothing; of a connection whose other side does not
 * come by here it counts as a FIN. Data that flow on take the mark back.
 */
NOINLINE void flow_close(const struct flow *flow, const struct packet *packet)
{
	struct flow_key opposite;
	struct flow *other;
	bool half_open;

	if (!flow || !packet)
		return;
	if (packet->tcp_flags & TCP_FIN) {
		flow_mark_closing(&packet->key, FLOW_CLOSING_FIN);
		return;
	}
	if (!(packet->tcp_flags & (TCP_RST | TCP_PSH)))
		return;
	flow_answer_key(&opposite, flow, IPPROTO_TCP, flow_opposite_hook(flow, packet->key.hook));
	other = flow_find(&opposite, &half_open);
	/* Of this connection, not of one that has taken its port since. */
	if (other && !flow_is_opposite(other, &packet->key))
		return;
	if (!(packet->tcp_flags & TCP_RST)) {
		flow_mark_closing(&packet->key, FLOW_CLOSING_NO);
		if (other && other->closing == FLOW_CLOSING_RST)
			flow_mark_closing(&opposite, FLOW_CLOSING_NO);
		return;
	}
	if (!other) {
		if (flow->flags & FLOW_DSR)
			flow_mark_closing(&packet->key, FLOW_CLOSING_FIN);
		return;
	}
	if (packet->piece != PACKET_WHOLE || other->acked != packet->sequence)
		return;
	flow_mark_closing(&packet->key, FLOW_CLOSING_RST);
	other->last_seen = flow->last_seen;
	flow_mark_closing(&opposite, FLOW_CLOSING_RST);
}

/* Counts a packet. @now: jiffies. */
INLINE void flow_use(struct flow *flow, const struct packet *packet, __u32 now)
{
	flow->last_seen = now;
	flow->packets++;
	flow->bytes += packet->bytes;
	if (packet->acked)
		flow->acked = packet->acked;
	if (unlikely(packet->tcp_flags & (TCP_FIN | TCP_RST) || flow->closing))
		flow_close(flow, packet);
}

/* A packet used a half-open entry: may the connection be established with it? Not by one that ends it. */
INLINE bool flow_may_promote(struct flow *flow, const struct packet *packet)
{
	if (!flow->seen)
		half_open_mark(&packet->key, flow_hash_of(&packet->key), FLOW_CLOSING_MAX);
	return flow_is_first_stage(flow, packet->key.hook) && !(packet->tcp_flags & (TCP_SYN | TCP_RST));
}
