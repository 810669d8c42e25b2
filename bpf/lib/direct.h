/*
 * Connections that go to a backend by themselves, without a frontend on this node. A flow may have
 * their answers: the same client dialled a Service from the same port, or source NAT gave a client
 * that port of ours. Then another port stands in for theirs, as netfilter does it:
 *
 *   comes in                                  leaves with an address of this node
 *   in   C>B => C'>B                          out  S>B => S'>B
 *   out  B>C' => B>C                          in   B>S' => B>S
 *
 * Without such a flow, which is nearly always, they are left alone and nothing is remembered.
 */
#pragma once

#include "new_flow.h"

/*
 * The flow that has the answers to the packet, where @hook sees them. NULL: none. Answers that were noted for this very
 * packet, or one before it, are no rival's.
 */
INLINE const struct flow *direct_rival(const struct packet *packet, __u8 hook)
{
	const struct flow *rival;
	struct flow_key key;
	bool half_open;

	flow_key_reverse(&key, &packet->key, hook);
	rival = flow_find(&key, &half_open);
	return rival && !(rival->flags & FLOW_FOREIGN) ? rival : NULL;
}

/* A flow to an endpoint that is the destination itself. It is no backend's, so none that goes away ends it. */
INLINE void direct_init(struct flow *flow, struct backend_slot *slot, const struct packet *packet,
			const struct flow *rival)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->last_seen = clock_now();
	flow->created = flow->last_seen;
	flow->service_port_id = rival->service_port_id;
	__builtin_memset(slot, 0, sizeof(*slot));
	address_copy(&slot->address, &packet->key.daddr);
	slot->port = packet->key.dport;
}

/*
 * For the packet in the scratch memory, which comes in: makes entries when a flow has its answers.
 * Returns REASON_NOT_OURS when none has; REASON_NEW_FLOW, with the entry for the packet in
 * scratch->flow; or the reason to drop it.
 */
GLOBAL int direct_ingress(struct context *ctx)
{
	struct scratch *scratch = scratch_get();
	const struct flow *rival;
	struct backend_slot slot;
	struct packet *packet;
	__u32 reason;

	if (!scratch)
		return REASON_DROP_IMPOSSIBLE;
	packet = &scratch->packet;
	rival = direct_rival(packet, HOOK_EGRESS);
	if (likely(!rival))
		return REASON_NOT_OURS;
	direct_init(&scratch->flow, &slot, packet, rival);
	reason = flow_begin_stack(ctx, packet, &slot, false, scratch);
	if (reason != REASON_NEW_FLOW)
		return reason;
	scratch->flow.packets = 1;
	scratch->flow.bytes = packet->bytes;
	flow_set_deltas(&scratch->flow, &packet->key);
	flow_put(ANSWER_MAX);
	return REASON_NEW_FLOW;
}

/*
 * The same for a packet that goes out, with an address of the node as its source: its own, or one that netfilter has
 * masqueraded, which chose its port without knowing of the flow.
 */
GLOBAL int direct_egress(struct context *ctx)
{
	struct scratch *scratch = scratch_get();
	const struct flow *rival;
	struct backend_slot slot;
	struct packet *packet;

	if (!scratch)
		return REASON_DROP_IMPOSSIBLE;
	packet = &scratch->packet;
	rival = direct_rival(packet, HOOK_INGRESS);
	if (likely(!rival))
		return REASON_NOT_OURS;
	direct_init(&scratch->flow, &slot, packet, rival);
	address_copy(&scratch->masquerade, &packet->key.saddr);
	scratch->answer[ANSWER_FRONTEND].dport = packet->key.sport;
	return flow_begin_staged(ctx, packet, &slot, scratch, FLOW_OUTPUT);
}
