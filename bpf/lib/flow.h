/*
 * Flows: complete translations, found with one lookup.
 *
 * What comes in has its destination rewritten, what goes out its source, as netfilter does it:
 * the stack in between routes and filters packets with the client's and the backend's addresses.
 * A connection from client C to frontend V with backend B has these entries (key => rewritten):
 *
 *   through the stack                         sent out from the hook
 *   in   C>V => C>B                           in  C>V => S>B
 *   out  C>B => S>B   (source NAT only)       in  B>S => V>C
 *   in   B>S => B>C   (source NAT only)
 *   out  B>C => V>C
 *
 * What the node's own sockets send past the socket hook is translated where it leaves, and sent out
 * from there: out C>V => S>B, in B>S => V>C.
 *
 * They begin in half_open_flows and move to flows when both sides have spoken.
 */
#pragma once

#include "checksum.h"
#include "half_open.h"
#include "lifetime.h"
#include "scratch.h"

/* For the path of every new flow; others call flow_set_deltas. */
INLINE void flow_set_deltas_fast(struct flow *flow, const struct flow_key *key)
{
	flow->address_delta = checksum_address_delta(&key->saddr, &key->daddr, &flow->saddr, &flow->daddr);
	flow->port_delta = checksum_port_delta(key->sport, key->dport, flow->sport, flow->dport);
	if (key->sport == flow->sport && key->dport == flow->dport)
		flow->port_delta = 0;
	flow->l4_delta = checksum_fold16((__u32)flow->address_delta + flow->port_delta);
	flow->pseudo_sum = checksum_fold16(checksum_fold32(
		(__u64)bpf_htonl(key->proto) +
		(address_is_v4(&key->saddr) ? (__u64)address_word(&key->saddr, 3) + address_word(&key->daddr, 3)
					    : checksum_address(&key->saddr) + checksum_address(&key->daddr))));
}

NOINLINE void flow_set_deltas(struct flow *flow, const struct flow_key *key)
{
	if (flow && key)
		flow_set_deltas_fast(flow, key);
}

INLINE bool flow_same_rewrite(const struct flow *a, const struct flow *b)
{
	return a->sport == b->sport && a->dport == b->dport && address_equal(&a->saddr, &b->saddr) &&
	       address_equal(&a->daddr, &b->daddr);
}

/*
 * Does the connection of this answer entry still live? Its own packets count, and those that go
 * the other way: a syslog sender is never answered. A connection that was reset yields after a moment.
 * @hard: no other port was found, so one that both sides have closed yields too, as in netfilter.
 */
NOINLINE bool flow_alive(const struct flow *flow, __u8 proto, bool half_open, bool hard)
{
	struct scratch *scratch = scratch_get();
	const struct flow *forward;
	struct flow_key *key;

	if (!flow || !scratch)
		return false;
	key = &scratch->opposite;
	if (flow->flags & FLOW_RESET)
		return !clock_passed(clock_now(), flow->last_seen, TCP_RESET_PORT_SECONDS);
	if (!(hard && flow->flags & FLOW_CLOSING) && !flow_expired(flow, proto, half_open))
		return true;
	flow_answer_key(key, flow, proto, flow->flags & FLOW_STAGED ? HOOK_EGRESS : HOOK_INGRESS);
	forward = flow_find(key, &half_open);
	return forward && !(hard && forward->flags & FLOW_CLOSING) && !flow_expired(forward, proto, half_open);
}

/*
 * Another connection takes @taken, the key of this answer entry: what its client still sends must not go there. The
 * client's own entry may be one of a newer connection by now, which leads elsewhere: that one stays.
 */
NOINLINE void flow_yield(const struct flow *flow, const struct flow_key *taken)
{
	struct scratch *scratch = scratch_get();
	const struct flow *forward;
	struct flow_key *key;
	bool half_open;

	if (!flow || !taken || !scratch)
		return;
	key = &scratch->opposite;
	flow_answer_key(key, flow, taken->proto, flow_opposite_hook(flow, taken->hook));
	forward = flow_find(key, &half_open);
	if (!forward || forward->dport != taken->sport || forward->sport != taken->dport ||
	    !address_equal(&forward->daddr, &taken->saddr))
		return;
	established_remove(key);
	half_open_remove(key);
}

enum claim {
	CLAIM_DONE,
	/* Another connection that lives has the key. */
	CLAIM_TAKEN,
	/* The table refused the entry. */
	CLAIM_FAILED,
	/* An entry has the key: flow_contend tells whether it lives. */
	CLAIM_CONTENDED,
};

/*
 * Makes the entry scratch->answer[@answer] => scratch->flow. A promotion writes to flows before it deletes from
 * half_open_flows, so that a key is always seen in one of them. Returns enum claim; CLAIM_CONTENDED: the entry may be
 * there or not.
 */
GLOBAL int flow_claim(__u32 answer)
{
	const struct control *settings = flow_settings();
	struct scratch *scratch = scratch_get();
	const struct flow_key *key;
	__u64 hash;

	if (!scratch || !settings)
		return CLAIM_FAILED;
	key = scratch_answer(scratch, answer);
	hash = flow_hash(settings, key);
	switch (half_open_put_fast(key, &scratch->flow, hash, settings, false)) {
	case PUT_REFUSED:
		return CLAIM_FAILED;
	case PUT_PRESENT:
		return CLAIM_CONTENDED;
	default:
		return unlikely(established_find_fast(key, hash, settings)) ? CLAIM_CONTENDED : CLAIM_DONE;
	}
}

/*
 * The same when an entry has the key: it yields unless its connection lives. @hard: as flow_alive has it.
 * Returns enum claim, but never CLAIM_CONTENDED.
 */
GLOBAL int flow_contend(__u32 answer, __u32 hard)
{
	struct scratch *scratch = scratch_get();
	const struct flow_key *key;
	const struct flow *flow;
	struct flow *other;
	__u64 hash;
	__u8 proto;

	if (!scratch)
		return CLAIM_FAILED;
	key = scratch_answer(scratch, answer);
	flow = &scratch->flow;
	proto = key->proto;
	hash = flow_hash_of(key);
	if (half_open_put(key, flow, hash) == PUT_PRESENT) {
		other = half_open_find_hashed(key, hash);
		if (other && !flow_same_rewrite(other, flow)) {
			if (flow_alive(other, proto, true, hard))
				return CLAIM_TAKEN;
			flow_yield(other, key);
		}
		half_open_replace(key, flow, hash);
	}
	other = established_find_hashed(key, hash);
	if (!other)
		return CLAIM_DONE;
	if (!flow_same_rewrite(other, flow)) {
		if (flow_alive(other, proto, false, hard)) {
			half_open_remove(key);
			return CLAIM_TAKEN;
		}
		flow_yield(other, key);
	}
	established_remove(key);
	return CLAIM_DONE;
}

/* Makes the entry scratch_key(@which) => scratch->flow, whose key nobody else can want. */
GLOBAL int flow_put(__u32 which)
{
	const struct control *settings = flow_settings();
	struct scratch *scratch = scratch_get();
	const struct flow_key *key;
	__u64 hash;

	if (!scratch || !settings)
		return 0;
	key = scratch_key(scratch, which);
	hash = flow_hash(settings, key);
	if (unlikely(half_open_put_fast(key, &scratch->flow, hash, settings, false) == PUT_PRESENT) &&
	    half_open_put(key, &scratch->flow, hash) == PUT_PRESENT)
		half_open_replace(key, &scratch->flow, hash);
	return 0;
}

INLINE void flow_delete(const struct flow_key *key)
{
	established_remove(key);
	half_open_remove(key);
}

/*
 * Moves the half-open entry of scratch_key(@which) to the table of established flows. A function of numbers, because
 * the verifier would follow each call of the writing else.
 */
GLOBAL int flow_promote_one(__u32 which)
{
	struct scratch *scratch = scratch_get();
	const struct flow_key *key;
	const struct flow *flow;

	if (!scratch)
		return 0;
	key = scratch_key(scratch, which);
	flow = half_open_find(key);
	if (flow && established_set(key, flow))
		half_open_remove(key);
	return 0;
}

/*
 * A client's packet with the key that stands in the scratch memory just used a half-open entry.
 * When the backend has answered, the connection's entries move to the table of established flows.
 */
GLOBAL int flow_promote(void)
{
	struct scratch *scratch = scratch_get();
	struct flow_key *key, *answer;
	struct flow *flow, *other;

	if (!scratch)
		return 0;
	key = &scratch->packet.key;
	answer = &scratch->answer[ANSWER_FRONTEND];
	flow = half_open_find(key);
	if (!flow)
		return 0;
	if (flow->flags & FLOW_DSR && flow->flags & FLOW_REDIRECT) {
		/* Its answers do not come by here: that the client goes on has to do. */
		flow_promote_one(ANSWER_MAX);
		return 0;
	}
	flow_answer_key(answer, flow, key->proto,
			flow->flags & (FLOW_REDIRECT | FLOW_OUTPUT) ? HOOK_INGRESS : HOOK_EGRESS);
	other = half_open_find(answer);
	if (!other) {
		/* It went before, when there was no place for this one. */
		if (established_find(answer))
			flow_promote_one(ANSWER_MAX);
		return 0;
	}
	if (!(other->flags & FLOW_SEEN))
		return 0;
	flow_promote_one(ANSWER_FRONTEND);
	if (flow->flags & FLOW_STAGED) {
		/* out C>B, and in B>S. */
		address_copy(&answer->saddr, &flow->saddr);
		address_copy(&answer->daddr, &flow->daddr);
		answer->sport = flow->sport;
		answer->dport = flow->dport;
		answer->hook = HOOK_EGRESS;
		other = half_open_find(answer);
		if (other) {
			flow_answer_key(&scratch->answer[ANSWER_SNAT], other, key->proto, HOOK_INGRESS);
			flow_promote_one(ANSWER_SNAT);
			flow_promote_one(ANSWER_FRONTEND);
		}
	}
	flow_promote_one(ANSWER_MAX);
	return 0;
}
