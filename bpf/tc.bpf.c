/*
 * The packet path in tc: what enters or leaves the node, and what pods send and receive that the
 * socket hook does not serve. A packet's story: parse; an established flow says the whole rewrite;
 * else, coming in, a frontend leads to a backend and a flow is made.
 */
#include "lib/packet_skb.h"
#include "lib/agent.h"
#include "lib/answer_limit.h"
#include "lib/binding.h"
#include "lib/decap.h"
#include "lib/direct.h"
#include "lib/encap.h"
#include "lib/established.h"
#include "lib/foreign.h"
#include "lib/frame.h"
#include "lib/frontend.h"
#include "lib/held.h"
#include "lib/icmp.h"
#include "lib/known.h"
#include "lib/lookup.h"
#include "lib/monitor_packet.h"
#include "lib/new_flow.h"
#include "lib/owner.h"
#include "lib/parse.h"
#include "lib/reject.h"
#include "lib/rewrite_skb.h"
#include "lib/send_skb.h"
#include "lib/select.h"
#include "lib/signals.h"
#include "lib/source.h"
#include "lib/stats.h"
#include "lib/unallocated.h"
#include "lib/undeliverable.h"

INLINE int drop(const struct packet *packet, __u32 reason)
{
	stats_count(reason, packet->bytes);
	monitor_packet(reason);
	return TC_ACT_SHOT;
}

/*
 * The same for a backend that answers the client directly: in another packet, to its node.
 * @neighbour: as packet_route has it.
 */
NOINLINE int carry_encapsulated(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow,
				__u32 neighbour, __u32 reason)
{
	struct scratch *scratch = scratch_get();
	int verdict;

	if (!scratch || !packet || !flow)
		return TC_ACT_SHOT;
	if (encap_rewrite(skb, scratch, packet, flow))
		return drop(packet, REASON_DROP_REWRITE);
	if (packet->piece == PACKET_FIRST)
		packet_remember_ports(packet);
	if (encap_wrap(skb, packet, flow))
		return drop(packet, REASON_DROP_REWRITE);
	verdict = packet_send(skb, flow, neighbour);
	if (verdict == TC_ACT_SHOT)
		return drop(packet, REASON_DROP_NO_ROUTE);
	stats_count(reason == REASON_REDIRECTED ? REASON_ENCAPSULATED : reason, packet->bytes);
	return verdict;
}

/* Rewrites the packet and sends it on. */
INLINE int carry(struct __sk_buff *skb, struct packet *packet, struct flow *flow, __u32 reason)
{
	bool redirect = flow->flags & FLOW_REDIRECT;
	int verdict = VERDICT_NEXT;
	__u32 neighbour = 0;

	/* Written on every path: kernels before 5.16 forget what they know of a value that is put aside. */
	barrier_var(neighbour);
	if (redirect) {
		if (packet->ttl <= 1)
			return time_exceeded_tell(skb, packet);
		if (!packet_route(skb, &packet->key, flow, &neighbour))
			return drop(packet, REASON_DROP_NO_ROUTE);
		if (unlikely(packet->bytes > flow->mtu && flow->mtu) && packet_exceeds(skb, packet, flow->mtu))
			return too_big_tell(skb, packet, flow->mtu);
		if (unlikely(flow->flags & FLOW_DSR))
			return carry_encapsulated(skb, packet, flow, neighbour, reason);
	}
	if (rewrite_packet(skb, packet, flow, redirect))
		return drop(packet, REASON_DROP_REWRITE);
	if (unlikely(packet->piece == PACKET_FIRST))
		packet_remember_ports(packet);
	if (redirect) {
		verdict = packet_send(skb, flow, neighbour);
		if (unlikely(verdict == TC_ACT_SHOT))
			return drop(packet, REASON_DROP_NO_ROUTE);
	}
	stats_count(reason, packet->bytes);
	return verdict;
}

/* An established or half-open flow has the packet. */
INLINE int carry_established(struct __sk_buff *skb, struct packet *packet, struct flow *flow, bool half_open)
{
	int verdict;

	if (unlikely(flow->flags & FLOW_FOREIGN)) {
		foreign_use(flow, packet, half_open);
		return VERDICT_NEXT;
	}
	if (unlikely(!binding_holds(skb, packet, flow)) && !binding_renew(skb, flow))
		return drop(packet, REASON_DROP_SOURCE);
	flow_use(flow, packet, clock_now());
	verdict = carry(skb, packet, flow, flow->flags & FLOW_REDIRECT ? REASON_REDIRECTED : REASON_FORWARDED);
	if (unlikely(half_open) && flow_may_promote(flow, packet)) {
		flow_promote();
		flow_forget_all();
	}
	return verdict;
}

/*
 * The plain case: a plain packet of an established flow, which says all. Nearly every packet goes this way, so it does
 * without helpers where it can.
 * Returns false, with nothing changed, for one that needs more. @writes: flow.writes before the key was compared.
 */
INLINE bool carry_plain(struct __sk_buff *skb, const struct packet *packet, struct flow *flow, __u32 writes, bool v4,
			int *verdict)
{
	bool redirect = flow->flags & FLOW_REDIRECT;
	void *data = context_data(skb);
	__u32 now = clock_now();

	if (flow->flags & (FLOW_DSR | FLOW_FOREIGN) || data + ETH_HLEN > context_end(skb) ||
	    begins_anew(packet, flow, false) || !binding_holds(skb, packet, flow))
		return false;
	if (redirect && (packet->ttl <= 1 || (flow->mtu && packet->bytes > flow->mtu) ||
			 !nexthop_holds(flow, fib_generation(), now)))
		return false;
	if (unlikely(!rewrite_plain(skb, packet, flow, redirect, v4)))
		return false;
	*verdict = VERDICT_NEXT;
	if (redirect) {
		skb->tc_index = TC_INDEX_DONE;
		nexthop_write(data, flow);
		*verdict = bpf_redirect(flow->ifindex, 0);
	}
	if (unlikely(flow_was_replaced(flow, writes))) {
		*verdict = drop(packet, REASON_DROP_REWRITE);
		return true;
	}
	flow_use(flow, packet, now);
	stats_count(redirect ? REASON_REDIRECTED : REASON_FORWARDED, packet->bytes);
	return true;
}

/*
 * The packet that stands in the scratch memory is for no frontend. Returns a TC_ACT verdict.
 * @output: the node sends it.
 */
GLOBAL int carry_direct(struct __sk_buff *skb, __u32 output)
{
	struct scratch *scratch = scratch_get();
	__u32 reason;

	if (!scratch)
		return TC_ACT_SHOT;
	if (output && address_is_unallocated(&scratch->packet.key.daddr))
		return drop(&scratch->packet, REASON_DROP_UNALLOCATED);
	reason = output ? direct_egress(skb) : direct_ingress(skb);
	if (likely(reason == REASON_NOT_OURS))
		return VERDICT_NEXT;
	if (reason != REASON_NEW_FLOW)
		return drop(&scratch->packet, reason);
	monitor_packet(reason);
	return carry(skb, &scratch->packet, &scratch->flow, REASON_NEW_FLOW);
}

/* @reason: why; counted. */
INLINE int refuse_packet(struct __sk_buff *skb, const struct packet *packet, __u32 reason)
{
	int verdict;

	if (!answer_may(&packet->key.saddr))
		return drop(packet, REASON_DROP_ANSWER_LIMIT);
	verdict = reject_packet(skb);
	if (verdict == TC_ACT_SHOT)
		return drop(packet, REASON_DROP_REJECT_FAILED);
	stats_count(reason, packet->bytes);
	monitor_packet(reason);
	return verdict;
}

/* No verdict: begin leaves the packet to carry_direct. */
#define NO_FRONTEND (-2)

/*
 * No flow has the packet that stands in the scratch memory: it is for a frontend, or none of our
 * business. Returns a TC_ACT verdict or NO_FRONTEND.
 */
GLOBAL int begin(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	const struct frontend *frontend;
	const struct backend_slot *slot;
	struct packet *packet;
	enum source source;
	__u32 reason;
	struct route route = {};
	bool internal, refuse;

	if (!scratch)
		return TC_ACT_SHOT;
	packet = &scratch->packet;
	route.output = packet->key.hook == HOOK_EGRESS;
	frontend = frontend_of_packet(skb, &packet->key, &refuse);
	if (likely(!frontend && !refuse) || (route.output && agent_dialled(skb)) || standing_by())
		return NO_FRONTEND;
	if (!route.output)
		route.in = device_of(skb->ifindex);
	source = source_of(skb, packet, route.in);
	if (source == SOURCE_IMPOSSIBLE)
		return drop(packet, REASON_DROP_SOURCE);
	if (owner_awaits(skb, packet) || owner_is_proxy(skb, packet, frontend))
		return VERDICT_NEXT;
	if (!frontend)
		return refuse_packet(skb, packet, REASON_REJECT_NO_PORT);
	if (!source_is_allowed(packet, frontend)) {
		signal_count(frontend->service_port_id, SIGNAL_DROPPED);
		return drop(packet, REASON_DROP_SOURCE_RANGE);
	}
	internal = source != SOURCE_OUTSIDE;
	slot = backend_select(frontend, internal, &packet->key.saddr, &packet->key, &packet->key.daddr,
			      packet_number(&packet->key));
	if (!slot) {
		if (frontend->flags & FRONTEND_ROUTER)
			return VERDICT_NEXT;
		if (frontend->flags & (internal ? FRONTEND_INTERNAL_DROP : FRONTEND_EXTERNAL_DROP)) {
			signal_count(frontend->service_port_id, SIGNAL_DROPPED);
			return drop(packet, REASON_DROP_NO_LOCAL_BACKEND);
		}
		signal_count(frontend->service_port_id, SIGNAL_REFUSED);
		return refuse_packet(skb, packet, REASON_REJECT_NO_BACKEND);
	}
	if (!knobs.respect_netfilter && frontend->flags & FRONTEND_DSR && source == SOURCE_OUTSIDE &&
	    !(slot->flags & BACKEND_LOCAL)) {
		reason = encap_begin(skb, packet, frontend, slot, scratch);
		if (reason == REASON_NEW_FLOW) {
			signal_count(frontend->service_port_id, SIGNAL_OPENED);
			monitor_packet(reason);
			return carry(skb, packet, &scratch->flow, REASON_NEW_FLOW);
		}
	}
	route.pod_device = route.in && route.in->flags & DEVICE_POD;
	route.snat = source_is_translated(source, frontend->flags);
	reason = flow_route(skb, packet, slot, &route, scratch);
	if (reason == REASON_NEW_FLOW)
		reason = flow_begin(skb, packet, frontend, slot, &route, scratch);
	signal_count(frontend->service_port_id, reason == REASON_NEW_FLOW ? SIGNAL_OPENED : SIGNAL_DROPPED);
	if (reason != REASON_NEW_FLOW)
		return drop(packet, reason);
	monitor_packet(reason);
	return carry(skb, packet, &scratch->flow, REASON_NEW_FLOW);
}

/* Why a packet in the middle of a connection is refused. @frontend: NULL when the cluster IP has no such port. */
INLINE __u32 lost_reason(const struct frontend *frontend)
{
	if (!frontend)
		return REASON_REJECT_NO_PORT;
	return frontend->internal_count || frontend->external_count ? REASON_REJECT_LOST : REASON_REJECT_NO_BACKEND;
}

/*
 * A TCP packet that comes in, that no flow has and that begins none. To an address beyond this node its connection may
 * be somebody's who does not go by a Service, older than the frontend, say: nf_conntrack knows most of these. Else its
 * flow was lost, with the memory of the node or because another node had it. Then the client is told, as its
 * connection would hang else: where nobody but a Service has the address, or where the stack would only send the packet
 * back to where it came from. The packet stands in the scratch memory. Returns a TC_ACT verdict.
 */
GLOBAL int carry_lost(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	const struct frontend *frontend;
	struct packet *packet;
	bool refuse;

	if (!scratch)
		return TC_ACT_SHOT;
	packet = &scratch->packet;
	/* The stack knows its own connections, and netfilter its own. */
	if (packet->tcp_flags & TCP_SYN || node_address_flags(&packet->key.daddr) & NODE_ADDRESS_LOCAL)
		return VERDICT_NEXT;
	frontend = frontend_of_packet(skb, &packet->key, &refuse);
	if (likely(!frontend && !refuse) || standing_by())
		return VERDICT_NEXT;
	if (frontend && frontend->flags & FRONTEND_ROUTER)
		return VERDICT_NEXT;
	if (!binding_is_possible(skb))
		return drop(packet, REASON_DROP_SOURCE);
	if (frontend && !source_is_allowed(packet, frontend))
		return drop(packet, REASON_DROP_SOURCE_RANGE);
	if (owner_in_conntrack(skb, &packet->key) != CONNTRACK_NONE)
		return VERDICT_NEXT;
	if (frontend && !(frontend->flags & FRONTEND_CLUSTER_IP) &&
	    (!fib_lookup(skb, &packet->key, &scratch->next) || scratch->next.ifindex != skb->ifindex))
		return VERDICT_NEXT;
	return refuse_packet(skb, packet, lost_reason(frontend));
}

/* begin and carry_direct do not call each other: together their calls would not fit the stack. */
INLINE int begin_any(struct __sk_buff *skb, const struct packet *packet)
{
	bool output = packet->key.hook == HOOK_EGRESS;
	int verdict;

	if (!packet_may_begin(packet))
		return output ? VERDICT_NEXT : carry_lost(skb);
	verdict = begin(skb);
	if (verdict != NO_FRONTEND)
		return verdict;
	if (!output && unlikely(foreign_may_answer(packet)))
		foreign_note(skb, HOOK_EGRESS, skb->ifindex);
	return carry_direct(skb, output);
}

/*
 * A packet that may have one of a peer's in it; it stands in the scratch memory.
 * Returns a TC_ACT verdict; VERDICT_NOT_OURS for what was left as it is.
 */
GLOBAL int carry_decapsulated(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();
	__u32 reason = REASON_DECAPSULATED;
	struct packet *packet;
	struct flow *flow;
	bool half_open;

	if (!scratch)
		return TC_ACT_SHOT;
	packet = &scratch->packet;
	switch (decap_strip(skb)) {
	case DECAP_FLOW:
		break;
	case DECAP_ICMP:
		return icmp_carry(skb, HOOK_INGRESS);
	case DECAP_CONGESTED:
		return drop(packet, REASON_DROP_CONGESTED);
	case DECAP_FAILED:
		return drop(packet, REASON_DROP_REWRITE);
	case DECAP_OTHER:
		return VERDICT_NEXT;
	default:
		return VERDICT_NOT_OURS;
	}
	flow = flow_find(&packet->key, &half_open);
	if (flow && decap_goes_on(scratch, flow, half_open)) {
		flow_use(flow, packet, clock_now());
	} else {
		if (flow)
			flow_delete(&packet->key);
		reason = decap_begin(skb);
		if (reason != REASON_NEW_FLOW)
			return drop(packet, reason);
		monitor_packet(reason);
		half_open = false;
		flow = &scratch->flow;
	}
	if (decap_rewrite(skb, scratch, flow))
		return drop(packet, REASON_DROP_REWRITE);
	stats_count(reason, packet->bytes);
	if (unlikely(half_open) && flow_may_promote(flow, packet))
		flow_promote();
	flow_forget_all();
	return VERDICT_NEXT;
}

/*
 * A packet that is not plain, to the scratch memory. @hook: enum flow_hook.
 * Returns it; NULL when @verdict is already known.
 */
INLINE struct packet *parse(struct __sk_buff *skb, struct scratch *scratch, __u8 hook, int *verdict)
{
	bool udp;

	switch (packet_parse(skb, &scratch->packet, hook)) {
	case PACKET_FLOW:
		if (unlikely(scratch->packet.piece == PACKET_FIRST) && hook == HOOK_INGRESS && !held_release(skb)) {
			*verdict = drop(&scratch->packet, REASON_DROP_REWRITE);
			return NULL;
		}
		return &scratch->packet;
	case PACKET_PORTLESS:
		if (hook == HOOK_INGRESS)
			*verdict = held_take(skb);
		return NULL;
	case PACKET_ICMP:
		*verdict = icmp_carry(skb, hook);
		return NULL;
	case PACKET_TUNNEL:
		udp = scratch->packet.key.proto == IPPROTO_UDP;
		if (hook == HOOK_INGRESS) {
			*verdict = carry_decapsulated(skb);
			if (*verdict != VERDICT_NOT_OURS)
				return NULL;
			*verdict = VERDICT_NEXT;
		}
		/* Nobody's tunnel: UDP like any other. */
		return udp ? &scratch->packet : NULL;
	default:
		return NULL;
	}
}

/* May a flow or a frontend be concerned, as far as the addresses of a packet tell? What goes out is found by either. */
INLINE bool packet_is_known(const struct packet *packet, __u8 hook)
{
	const struct known_addresses *known = known_get();

	return address_is_known(known, &packet->key.daddr) ||
	       (hook == HOOK_EGRESS && address_is_known(known, &packet->key.saddr));
}

/* A packet that leaves, and that neither a flow nor a frontend has. Returns a TC_ACT verdict. */
INLINE int leave(const struct packet *packet)
{
	if (packet_may_begin(packet) && address_is_unallocated(&packet->key.daddr))
		return drop(packet, REASON_DROP_UNALLOCATED);
	return VERDICT_NEXT;
}

/*
 * The same for one that came in by another device, where it was seen: but with the source that it had then. Netfilter
 * may have given it another one since, with a port that a flow has. Returns a TC_ACT verdict.
 */
INLINE int leave_forwarded(struct __sk_buff *skb, const struct packet *packet)
{
	const struct known_addresses *known = known_get();

	if (packet_may_begin(packet) && address_is_known(known, &packet->key.saddr) &&
	    address_has_snat(known, &packet->key.daddr))
		return carry_direct(skb, true);
	return leave(packet);
}

/*
 * Sends the packet on when a flow has it. Returns it, in the scratch memory, when none has; NULL when
 * @verdict is known.
 */
INLINE struct packet *carry_known(struct __sk_buff *skb, __u8 hook, int *verdict)
{
	bool v4 = context_protocol(skb) == bpf_htons(ETH_P_IP), half_open = false;
	struct scratch *scratch = scratch_get();
	const struct control *settings;
	struct packet *packet;
	struct flow *flow;
	__u32 writes;
	__u64 hash;

	*verdict = VERDICT_NEXT;
	if (!scratch || (!v4 && context_protocol(skb) != bpf_htons(ETH_P_IPV6)))
		return NULL;
	packet = &scratch->packet;
	if (likely(v4 ? packet_parse_plain(skb, packet, hook, true) : packet_parse_plain(skb, packet, hook, false))) {
		if (!packet_is_known(packet, hook)) {
			if (hook == HOOK_EGRESS)
				*verdict = leave(packet);
			return NULL;
		}
		settings = flow_settings();
		if (!settings || (hook == HOOK_INGRESS && unlikely(!frame_is_ours(skb))))
			return NULL;
		hash = flow_hash(settings, &packet->key);
		flow = established_find_fast(&packet->key, hash, settings, &writes);
		if (flow && (v4 ? carry_plain(skb, packet, flow, writes, true, verdict)
				: carry_plain(skb, packet, flow, writes, false, verdict)))
			return NULL;
	} else if (hook == HOOK_INGRESS &&
		   (!frame_is_ours(skb) || (v4 ? geneve_is_foreign(skb, true) : geneve_is_foreign(skb, false)))) {
		return NULL;
	} else {
		packet = parse(skb, scratch, hook, verdict);
		if (!packet)
			return NULL;
		hash = flow_hash_of(&packet->key);
		flow = established_find_hashed(&packet->key, hash);
	}
	if (!flow) {
		race_pause();
		flow = half_open_find_hashed(&packet->key, hash);
		half_open = flow;
		/* On its way from the one table to the other. */
		if (!flow)
			flow = established_find_hashed(&packet->key, hash);
	}
	if (!flow)
		return packet;
	if (unlikely(begins_anew(packet, flow, half_open))) {
		flow_delete(&packet->key);
		return packet;
	}
	*verdict = carry_established(skb, packet, flow, half_open);
	return NULL;
}

SEC("tc")
int ingress(struct __sk_buff *skb)
{
	struct packet *packet;
	int verdict;

	/* A mark of another node's on this machine, or of somebody else's, says nothing here. */
	if (unlikely(skb->tc_index))
		skb->tc_index = 0;
	packet = carry_known(skb, HOOK_INGRESS, &verdict);
	if (!packet)
		return verdict;
	verdict = begin_any(skb, packet);
	flow_forget_all();
	return verdict;
}

SEC("tc")
int egress(struct __sk_buff *skb)
{
	struct packet *packet;
	int verdict;

	if (skb->tc_index == TC_INDEX_DONE) {
		skb->tc_index = 0;
		return VERDICT_NEXT;
	}
	packet = carry_known(skb, HOOK_EGRESS, &verdict);
	if (!packet)
		return verdict;
	if (unlikely(foreign_may_answer(packet)))
		foreign_note(skb, HOOK_INGRESS, skb->ingress_ifindex);
	/* Else the node's own, of a socket that the socket hook does not serve. */
	verdict = skb->ingress_ifindex ? leave_forwarded(skb, packet) : begin_any(skb, packet);
	flow_forget_all();
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
