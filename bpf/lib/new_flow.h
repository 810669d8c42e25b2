/* Makes the entries of a new connection: flow.h draws them. */
#pragma once

#include "binding.h"
#include "fib.h"
#include "known.h"
#include "select.h"
#include "snat.h"
#include "source.h"

INLINE void flow_init(struct flow *flow, const struct frontend *frontend, const struct backend_slot *slot)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->last_seen = clock_now();
	flow->created = flow->last_seen;
	flow->service_port_id = frontend->service_port_id;
	flow->backend_id = slot->backend_id;
	flow->backend_generation = backend_generation(slot->backend_id);
}

INLINE __u32 flow_refused(int claim)
{
	return claim == CLAIM_TAKEN ? REASON_DROP_NO_SNAT_PORT : REASON_DROP_FLOW_TABLE;
}

/* The rewritten packet of an answer: from the frontend to the client. */
INLINE void flow_answer_from_frontend(struct flow *flow, const struct packet *packet)
{
	address_copy(&flow->saddr, &packet->key.daddr);
	address_copy(&flow->daddr, &packet->key.saddr);
	flow->sport = packet->key.dport;
	flow->dport = packet->key.sport;
}

/* The key of an answer from the backend to @to. The port is claimed later. */
INLINE void flow_key_from_backend(struct flow_key *key, const struct packet *packet, const struct backend_slot *slot,
				  const struct address *to, __u8 hook)
{
	__builtin_memset(key, 0, sizeof(*key));
	address_copy(&key->saddr, &slot->address);
	address_copy(&key->daddr, to);
	key->sport = slot->port;
	key->proto = packet->key.proto;
	key->hook = hook;
}

/*
 * The source NAT of a connection that goes through the stack: out C>B => S>B, in B>S => B>C.
 * scratch->answer[ANSWER_FRONTEND] holds C's port in B's eyes before source NAT.
 * @first: FLOW_OUTPUT when the client's packets meet no entry before this one; else 0.
 */
INLINE __u32 flow_begin_staged(struct context *ctx, const struct packet *packet, const struct backend_slot *slot,
			       struct scratch *scratch, __u32 first)
{
	struct flow_key *key = &scratch->answer[ANSWER_SNAT];
	struct flow *flow = &scratch->flow;
	int claim;

	flow_key_from_backend(key, packet, slot, &scratch->masquerade, HOOK_INGRESS);
	address_make_snat(&key->daddr, &key->saddr);
	address_copy(&flow->saddr, &slot->address);
	address_copy(&flow->daddr, &packet->key.saddr);
	flow->sport = slot->port;
	flow->dport = scratch->answer[ANSWER_FRONTEND].dport;
	flow->flags = FLOW_REPLY | FLOW_SNAT | FLOW_STAGED;
	claim = snat_claim(ctx, ANSWER_SNAT, scratch->answer[ANSWER_FRONTEND].dport, SNAT_INWARD);
	if (claim != CLAIM_DONE)
		return flow_refused(claim);

	address_copy(&flow->saddr, &scratch->masquerade);
	address_copy(&flow->daddr, &slot->address);
	flow->sport = key->dport;
	flow->dport = slot->port;
	flow->flags = FLOW_SNAT | first;
	address_copy(&key->saddr, &packet->key.saddr);
	address_copy(&key->daddr, &slot->address);
	key->sport = scratch->answer[ANSWER_FRONTEND].dport;
	key->dport = slot->port;
	key->hook = HOOK_EGRESS;
	flow_set_deltas(flow, key);
	established_remove(key);
	flow_put(ANSWER_SNAT);
	return REASON_NEW_FLOW;
}

/* Does a process of this node answer, or a pod, or one elsewhere? */
NOINLINE enum snat_side flow_answer_side(const struct packet *packet, const struct backend_slot *slot)
{
	return packet && slot && packet->key.proto == IPPROTO_TCP &&
			       node_address_flags(&slot->address) & NODE_ADDRESS_LOCAL
		       ? SNAT_OUTWARD
		       : SNAT_PASSING;
}

/*
 * Through the stack: the CNI's rules see client and backend. When another connection of this client
 * already has the answers of this backend to this port, another port stands in for the client's.
 */
NOINLINE __u32 flow_begin_stack(struct context *ctx, const struct packet *packet, const struct backend_slot *slot,
				bool snat, struct scratch *scratch)
{
	struct flow_key *key = &scratch->answer[ANSWER_FRONTEND];
	struct flow *flow = &scratch->flow;
	int claim;
	__u32 reason;

	flow_key_from_backend(key, packet, slot, &packet->key.saddr, HOOK_EGRESS);
	address_make_known(&key->saddr);
	flow_answer_from_frontend(flow, packet);
	flow->flags = FLOW_REPLY;
	claim = snat_claim(ctx, ANSWER_FRONTEND, packet->key.sport, flow_answer_side(packet, slot));
	if (claim != CLAIM_DONE)
		return flow_refused(claim);
	if (snat) {
		reason = flow_begin_staged(ctx, packet, slot, scratch, 0);
		if (reason != REASON_NEW_FLOW) {
			half_open_remove(key);
			return reason;
		}
	}
	address_copy(&flow->saddr, &packet->key.saddr);
	address_copy(&flow->daddr, &slot->address);
	flow->sport = key->dport;
	flow->dport = slot->port;
	flow->flags = snat ? FLOW_STAGED : 0;
	return REASON_NEW_FLOW;
}

/*
 * Out again from the hook: both translations at once, C>V => S>B and in B>S => V>C. The answer to a
 * packet of this node goes up the stack, others are sent out again as well.
 */
NOINLINE __u32 flow_begin_redirect(struct context *ctx, const struct packet *packet, const struct backend_slot *slot,
				   struct scratch *scratch)
{
	struct flow_key *key = &scratch->answer[ANSWER_FRONTEND];
	struct flow *flow = &scratch->flow;
	int claim;

	flow_key_from_backend(key, packet, slot, &scratch->masquerade, HOOK_INGRESS);
	address_make_snat(&key->daddr, &key->saddr);
	flow_answer_from_frontend(flow, packet);
	/* STAGED: the client's own entry is one of egress. */
	flow->flags = FLOW_REPLY | FLOW_SNAT | (packet->key.hook == HOOK_EGRESS ? FLOW_STAGED : FLOW_REDIRECT);
	claim = snat_claim(ctx, ANSWER_FRONTEND, packet->key.sport, SNAT_INWARD);
	if (claim != CLAIM_DONE)
		return flow_refused(claim);
	address_copy(&flow->saddr, &scratch->masquerade);
	address_copy(&flow->daddr, &slot->address);
	flow->sport = key->dport;
	flow->dport = slot->port;
	flow->flags = FLOW_SNAT | FLOW_REDIRECT | (packet->key.hook == HOOK_EGRESS ? FLOW_OUTPUT : 0);
	nexthop_remember(flow, &scratch->next, fib_generation(), flow->last_seen);
	return REASON_NEW_FLOW;
}

/* How a new connection goes to its backend. */
struct route {
	/* By which the packet came in; NULL: by one that the agent has not described, or it is the node's own. */
	const struct device *in;
	/* What the node itself sends, where it leaves. */
	bool output;
	/* It came in by the device of a pod. */
	bool pod_device;
	/* The source is translated. */
	bool snat;
	/*
	 * The stack has the last word: no next hop is found here (then with an address of the device here as source),
	 * or the next hop does not take every packet.
	 */
	bool stack;
};

/* Out again from the hook, with both translations at once? Else through the stack, past netfilter's rules. */
INLINE bool route_redirects(const struct route *route, const struct backend_slot *slot)
{
	return route->output || (!knobs.respect_netfilter && route->snat && !route->stack && !route->pod_device &&
				 !(slot->flags & BACKEND_LOCAL));
}

/*
 * May datagrams come in that are too long for @next? In IPv4 a router breaks them, pieces of them as well, and only
 * the stack can. Of pieces in IPv6 it tells the sender. TCP asks not to be broken: here that is told (undeliverable.h).
 */
INLINE bool route_breaks(struct context *ctx, const struct packet *packet, const struct fib_result *next)
{
	return packet->key.proto != IPPROTO_TCP && next->mtu < fib_device_mtu(context_ifindex(ctx));
}

/*
 * Completes @route, for which the caller has filled in what it knows; snat: the rules ask for it.
 * @scratch: on return, scratch->masquerade is the source address to be, and with source NAT
 * scratch->next the way to the backend.
 * Returns REASON_NEW_FLOW, or the reason to drop the packet. Nothing is written yet.
 */
INLINE __u32 flow_route(struct context *ctx, const struct packet *packet, const struct backend_slot *slot,
			struct route *route, struct scratch *scratch)
{
	/*
	 * A backend that is its own client must not see its own address. And from outside to
	 * a backend elsewhere the answer would not come by here, whatever the rules say.
	 */
	route->snat = route->snat || address_equal(&slot->address, &packet->key.saddr) ||
		      (!route->pod_device && !route->output && !(slot->flags & BACKEND_LOCAL));
	if (route->snat || route->output) {
		scratch->routed = packet->key;
		address_copy(&scratch->routed.daddr, &slot->address);
		scratch->routed.dport = slot->port;
		route->stack = !fib_lookup(ctx, &scratch->routed, &scratch->next);
		if (route->stack && route->output)
			return REASON_DROP_NO_ROUTE;
		if (!route->output && route_breaks(ctx, packet, &scratch->next))
			route->stack = true;
		/* Delivered here: nothing leaves, so nothing is masqueraded. */
		if (scratch->next.local)
			route->snat = false;
	}
	if (route->output && scratch->next.local)
		return REASON_DROP_NO_ROUTE;
	if (!route->snat)
		address_copy(&scratch->masquerade, &packet->key.saddr);
	else if (!snat_address(route->in && scratch->next.ifindex == context_ifindex(ctx)
				       ? route->in
				       : device_of(scratch->next.ifindex),
			       packet_is_v4(packet), &scratch->masquerade))
		return REASON_DROP_NO_SNAT_ADDRESS;
	return REASON_NEW_FLOW;
}

/*
 * Makes the entries that lead the packet's connection from @frontend to the backend of @slot.
 * @route: as flow_route completed it.
 * @scratch: on return, scratch->flow is the entry that the packet itself uses.
 * Returns REASON_NEW_FLOW, or the reason to drop the packet; then nothing is left behind that a
 * later packet could use.
 */
INLINE __u32 flow_begin(struct context *ctx, const struct packet *packet, const struct frontend *frontend,
			const struct backend_slot *slot, const struct route *route, struct scratch *scratch)
{
	struct flow *flow = &scratch->flow;
	__u32 reason;

	flow_init(flow, frontend, slot);
	if (route_redirects(route, slot))
		reason = flow_begin_redirect(ctx, packet, slot, scratch);
	else
		reason = flow_begin_stack(ctx, packet, slot, route->snat, scratch);
	if (reason != REASON_NEW_FLOW)
		return reason;
	flow->packets = 1;
	flow->bytes = packet->bytes;
	flow->device = binding_device(ctx);
	flow_set_deltas_fast(flow, &packet->key);
	flow_put(ANSWER_MAX);
	return REASON_NEW_FLOW;
}
