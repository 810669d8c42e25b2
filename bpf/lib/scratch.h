/*
 * Memory of one CPU for the packet at hand. What is done once per connection works on it: it is too
 * large for the stack, and a function that takes only the context and numbers is verified once, not
 * once for every path that leads to it. Programs of one CPU do not interrupt each other.
 */
#pragma once

#include "fib.h"

/* The two entries whose port may be chosen. */
enum answer {
	/* The answer to the frontend's translation. */
	ANSWER_FRONTEND,
	/* The answer to source NAT in a second place. */
	ANSWER_SNAT,
	ANSWER_MAX,
};

/* What a packet around a packet said. */
struct decap {
	/* What the client dialled (Geneve). */
	struct address frontend;
	struct address backend;
	__be16 frontend_port;
	/* 0: the frontend's row says it. */
	__be16 backend_port;
	/* Else IP in IP. */
	__u32 geneve;
};

/* A packet that an ICMP error quotes. */
struct icmp_quote {
	/* Key of the answer to the quoted packet. */
	struct flow_key answer;
	/* Source of the error itself. */
	struct address sender;
	/* Bytes from the start of the frame. */
	__u32 icmp_offset;
	__u32 l3_offset;
	__u32 l4_offset;
	__u32 bytes;
	__u8 ttl;
	bool v4;
};

struct scratch {
	struct packet packet;
	/* The entry being written; in the end, the one that the packet itself uses. */
	struct flow flow;
	/* A rewrite that is not the entry's: only addresses, ports and deltas are set. */
	struct flow rewrite;
	struct decap decap;
	/* Headers that an ICMP error quotes. */
	__u32 words[15];
	struct icmp_quote quote;
	/* Of the other direction of a connection that may have to yield. */
	struct flow_key opposite;
	/* By enum answer. */
	struct flow_key answer[ANSWER_MAX];
	struct fib_result next;
	/* The packet whose way is looked up. */
	struct flow_key routed;
	/* The source address that source NAT gives. */
	struct address masquerade;
	/* Where a packet was going that became an error about itself. */
	struct address dialled;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct scratch);
	__uint(max_entries, 1);
} scratches SEC(".maps");

/*
 * @answer: enum answer; compared, not bounded, because the verifier forgets bounds of what is kept in two registers.
 */
INLINE struct flow_key *scratch_answer(struct scratch *scratch, __u32 answer)
{
	return answer == ANSWER_SNAT ? &scratch->answer[ANSWER_SNAT] : &scratch->answer[ANSWER_FRONTEND];
}

/* @which: enum answer; ANSWER_MAX: the packet's own key. */
INLINE struct flow_key *scratch_key(struct scratch *scratch, __u32 which)
{
	return which == ANSWER_MAX ? &scratch->packet.key : scratch_answer(scratch, which);
}

INLINE struct scratch *scratch_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}
