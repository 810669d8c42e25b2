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

/* How soon a claim is given up whose client says nothing more, by how few ports are left. */
enum flow_patience {
	/* Its time has to be over. */
	PATIENCE_FULL,
	/* No other port was found: a client that has not spoken for CLAIM_SECONDS loses it, and who has closed both
	   sides. */
	PATIENCE_LITTLE,
	/* Nor then. A client that is there has answered a SYN-ACK after a second, or repeated its SYN. */
	PATIENCE_NONE,
};

/* Seconds without a word of the client after which a half-open connection's port serves another, when ports run short.
 */
#define CLAIM_SECONDS 3
#define CLAIM_SECONDS_LEAST 1

/* Is @other the entry of the direction opposite to that of @flow, whose packets have @key? */
INLINE bool flow_is_opposite(const struct flow *other, const struct flow_key *key)
{
	return other->sport == key->dport && other->dport == key->sport && address_equal(&other->saddr, &key->daddr) &&
	       address_equal(&other->daddr, &key->saddr);
}

/*
 * Does the connection of this answer entry still live? Its own packets count, and those that go
 * the other way: a syslog sender is never answered. A connection that was reset yields after a moment.
 * @patience: enum flow_patience.
 */
NOINLINE bool flow_alive(const struct flow *flow, __u8 proto, bool half_open, __u32 patience)
{
	struct scratch *scratch = scratch_get();
	const struct flow *forward;
	struct flow_key *key;
	bool open = half_open;

	if (!flow || !scratch)
		return false;
	key = &scratch->opposite;
	if (flow->closing == FLOW_CLOSING_RST)
		return !clock_passed(clock_now(), flow->last_seen, TCP_RESET_PORT_SECONDS);
	if (!(patience && (half_open || flow->closing)) && !flow_expired(flow, proto, half_open))
		return true;
	flow_answer_key(key, flow, proto, flow->flags & FLOW_STAGED ? HOOK_EGRESS : HOOK_INGRESS);
	forward = flow_find(key, &open);
	/* SYN-ACKs are the backend's word, which anybody's SYN brings about. */
	if (patience && half_open && (!forward || open))
		return !clock_passed(clock_now(), forward ? forward->last_seen : flow->created,
				     patience == PATIENCE_NONE ? CLAIM_SECONDS_LEAST : CLAIM_SECONDS);
	if (!(patience && flow->closing) && !flow_expired(flow, proto, half_open))
		return true;
	return forward && !(patience && forward->closing) && !flow_expired(forward, proto, open);
}

/*
 * Removes the entry with scratch->opposite, when it is one of the direction opposite to that of @key. Returns it, in
 * scratch->replaced; NULL: it is not there.
 */
NOINLINE const struct flow *flow_remove_opposite(struct scratch *scratch, const struct flow_key *key)
{
	const struct flow *other;
	bool half_open;

	if (!scratch || !key)
		return NULL;
	other = flow_find(&scratch->opposite, &half_open);
	if (!other || !flow_is_opposite(other, key))
		return NULL;
	scratch->replaced.flow = *other;
	established_remove(&scratch->opposite);
	half_open_remove(&scratch->opposite);
	return &scratch->replaced.flow;
}

/*
 * An entry has made room for another: the rest of its connection goes with it, so that no direction is left alone. Of
 * one with source NAT in a second place these are three entries. @at: in scratch->evicted.
 */
GLOBAL int flow_forget(__u32 at)
{
	struct scratch *scratch = scratch_get();
	const struct flow *opposite, *staged, *stage;
	struct flow_row *row;
	bool half_open;

	if (!scratch)
		return 0;
	row = &scratch->evicted[at & (EVICTED_MAX - 1)].row;
	if (row->flow.flags & (FLOW_FOREIGN | FLOW_DSR))
		return 0;
	flow_answer_key(&scratch->opposite, &row->flow, row->key.proto, flow_opposite_hook(&row->flow, row->key.hook));
	opposite = flow_remove_opposite(scratch, &row->key);
	/* Else what is found further on may be another connection's. */
	if (!opposite)
		return 0;
	staged = row->flow.flags & FLOW_STAGED ? &row->flow : opposite;
	if (!(staged->flags & FLOW_STAGED))
		return 0;
	/* It leads to the other pair, where its packets leave. */
	address_copy(&row->key.saddr, &staged->saddr);
	address_copy(&row->key.daddr, &staged->daddr);
	row->key.sport = staged->sport;
	row->key.dport = staged->dport;
	row->key.hook = HOOK_EGRESS;
	stage = flow_find(&row->key, &half_open);
	/* All entries of a connection were made at once: another may have taken this one's place by now. */
	if (!stage || stage->created != row->flow.created || stage->service_port_id != row->flow.service_port_id)
		return 0;
	flow_answer_key(&scratch->opposite, stage, row->key.proto, flow_opposite_hook(stage, HOOK_EGRESS));
	established_remove(&row->key);
	half_open_remove(&row->key);
	flow_remove_opposite(scratch, &row->key);
	return 0;
}

/* The same for all that the packet at hand brought about. */
INLINE void flow_forget_all(void)
{
	struct scratch *scratch = scratch_get();
	__u32 count;

	if (!scratch || likely(!scratch->forget))
		return;
	count = scratch->forget;
	scratch->forget = 0;
	for (__u32 i = 0; i < EVICTED_MAX; i++)
		if (i < count)
			flow_forget(i);
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
	__u32 writes;
	__u64 hash;

	if (!scratch || !settings)
		return CLAIM_FAILED;
	key = scratch_answer(scratch, answer);
	hash = flow_hash(settings, key);
	switch (half_open_put_fast(key, &scratch->flow, hash, settings, false, &scratch_evicted(scratch)->row)) {
	case PUT_REFUSED:
		return CLAIM_FAILED;
	case PUT_PRESENT:
		return CLAIM_CONTENDED;
	case PUT_EVICTED:
		scratch->forget++;
		break;
	default:
		break;
	}
	return unlikely(established_find_fast(key, hash, settings, &writes)) ? CLAIM_CONTENDED : CLAIM_DONE;
}

/*
 * The same when an entry has the key: it yields unless its connection lives. Who takes it writes what was judged, with
 * the lock of the entry: of two who find the same one dead, one has it. @patience: enum flow_patience.
 * Returns enum claim, but never CLAIM_CONTENDED.
 */
GLOBAL int flow_contend(__u32 answer, __u32 patience)
{
	struct scratch *scratch = scratch_get();
	const struct flow_key *key;
	const struct flow *flow;
	struct flow *other;
	__u64 hash;
	enum put put;

	if (!scratch)
		return CLAIM_FAILED;
	key = scratch_answer(scratch, answer);
	flow = &scratch->flow;
	hash = flow_hash_of(key);
	put = half_open_put(key, flow, hash, &scratch_evicted(scratch)->row);
	if (put == PUT_EVICTED) {
		scratch->forget++;
	} else if (put == PUT_PRESENT) {
		other = half_open_find_hashed(key, hash);
		/* Gone in this moment: nobody says where to. */
		if (!other)
			return CLAIM_TAKEN;
		flow_judge(&scratch->judged, other);
		if (flow_same_rewrite(other, flow)) {
			half_open_replace(key, flow, hash, NULL, &scratch->replaced);
		} else {
			if (flow_alive(other, key->proto, true, patience))
				return CLAIM_TAKEN;
			race_pause();
			if (!half_open_replace(key, flow, hash, &scratch->judged, &scratch_evicted(scratch)->row))
				return CLAIM_TAKEN;
			scratch->forget++;
		}
	}
	other = established_find_hashed(key, hash);
	if (!other)
		return CLAIM_DONE;
	flow_judge(&scratch->judged, other);
	if (flow_same_rewrite(other, flow)) {
		established_remove(key);
		return CLAIM_DONE;
	}
	scratch_evicted(scratch)->row.key = *key;
	scratch_evicted(scratch)->row.flow = *other;
	if (flow_alive(other, key->proto, false, patience) || !established_remove_judged(key, &scratch->judged)) {
		half_open_remove(key);
		return CLAIM_TAKEN;
	}
	scratch->forget++;
	return CLAIM_DONE;
}

/* Makes the entry scratch_key(@which) => scratch->flow, whose key nobody else can want. */
GLOBAL int flow_put(__u32 which)
{
	const struct control *settings = flow_settings();
	struct scratch *scratch = scratch_get();
	const struct flow_key *key;
	enum put put;
	__u64 hash;

	if (!scratch || !settings)
		return 0;
	key = scratch_key(scratch, which);
	hash = flow_hash(settings, key);
	put = half_open_put_fast(key, &scratch->flow, hash, settings, false, &scratch_evicted(scratch)->row);
	if (unlikely(put == PUT_PRESENT))
		put = half_open_put(key, &scratch->flow, hash, &scratch_evicted(scratch)->row);
	if (unlikely(put == PUT_PRESENT))
		half_open_replace(key, &scratch->flow, hash, NULL, &scratch->replaced);
	if (unlikely(put == PUT_EVICTED))
		scratch->forget++;
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
	__u32 writes;
	enum put put;

	if (!scratch)
		return 0;
	key = scratch_key(scratch, which);
	flow = half_open_find(key);
	if (!flow)
		return 0;
	writes = flow->writes;
	barrier();
	put = established_set(key, flow, scratch_evicted(scratch));
	if (put == PUT_EVICTED)
		scratch->forget++;
	if (put == PUT_REFUSED)
		return 0;
	/* What was copied may be another flow, or parts of two. */
	if (unlikely(flow_was_replaced(flow, writes)))
		established_remove(key);
	else
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
	if (!other->seen)
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
