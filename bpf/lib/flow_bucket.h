/*
 * What the two tables of flows have in common: hash tables of ours in arrays. The verifier turns the lookup of an
 * array's element into a few instructions, so that finding a flow calls nothing; nor does a new flow wait while the
 * kernel looks through its LRU lists for what is old. docs/architecture.md tells what that gives.
 *
 * A bucket has 16 or 32 places. 16 bits of the hash, the tag, say which place may have a key, so that there is hardly
 * ever another key to compare. Tags lie apart from the flows: those of a whole table stay in a processor's cache, its
 * flows would not.
 *
 * Readers and writers. A bucket's lock is held by who writes a flow into a place, frees one, or changes flow.seen or
 * flow.closing; nobody holds two. Whoever decides by a flow that it may go looks without the lock, and says then with
 * it what was seen (struct flow_judged): a flow that was used or replaced meanwhile stays. A lookup takes no lock, so a
 * flow may be replaced by another while a packet uses it:
 *
 *   the tag, the key, the rewrite   the writer makes flow.writes odd first, and even when all is there; the tag comes
 *                                   last. Who has rewritten a plain packet compares flow.writes with what it was before
 *                                   the key was compared (flow_was_replaced), and drops the packet when it differs.
 *   last_seen, packets, bytes,      written by every packet without the lock, each in one store: the last one counts,
 *   acked, device, the next hop     and one packet of the former flow may count for the next. The next hop is believed
 *                                   for a second (fib.h).
 *   seen, closing                   whole bytes.
 *
 * A flow that moves to the other table is there before it is gone here; who has looked in both in vain looks once more
 * (flow_find). What makes room takes the rest of its connection along (flow_forget), so no direction is left alone.
 *
 * Stores become visible in the order in which they stand, as on x86. On a processor that may change it (arm64), a
 * lookup in the moment of a flow's writing may see the tag first: the key differs then, or flow.writes is odd.
 */
#pragma once

#include "common.h"

/* Where another CPU may come between two steps, a test puts time. */
#ifndef RACE_PAUSE
#define RACE_PAUSE 0
#endif

INLINE void race_pause(void)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < RACE_PAUSE; i++)
		bpf_ktime_get_ns();
}

/* Each of the four tags of a word. */
#define TAGS_1 0x0001000100010001ULL
#define TAGS_TOP 0x8000800080008000ULL

INLINE const struct control *flow_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/*
 * NH (RFC 4418 5.2) over the words of the key with secret numbers, then mixed, so that all bits of the sum take part
 * in what is made of it. src/bpf/flow-hash.ts does the same.
 */
INLINE __u64 flow_hash(const struct control *settings, const struct flow_key *key)
{
	const __u32 *words = (const __u32 *)key;
	const __u32 *secret = (const __u32 *)settings->flow_hash;
	__u64 sum = 0;

	_Static_assert(sizeof(*key) == sizeof(settings->flow_hash), "a secret number for each word of the key");
#pragma unroll
	for (unsigned int i = 0; i < sizeof(*key) / sizeof(__u32); i += 2)
		sum += (__u64)(__u32)(words[i] + secret[i]) * (__u32)(words[i + 1] + secret[i + 1]);
	sum ^= sum >> 29;
	sum *= 0xbf58476d1ce4e5b9ULL;
	return sum ^ sum >> 32;
}

/* Of a key; 0 when the settings are not there, which does not happen. */
NOINLINE __u64 flow_hash_of(const struct flow_key *key)
{
	const struct control *settings = flow_settings();

	return settings && key ? flow_hash(settings, key) : 0;
}

/* The bucket of a key, of so many. */
INLINE __u32 flow_first(__u64 hash, __u32 buckets)
{
	return (hash >> 32) * buckets >> 32;
}

/* Another one. */
INLINE __u32 flow_second(__u64 hash, __u32 buckets)
{
	return (__u64)(__u32)hash * buckets >> 32;
}

/* Not 0. */
INLINE __u16 flow_tag(__u64 hash)
{
	__u16 tag = hash >> 32;

	return tag ? tag : 1;
}

INLINE bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 differs = 0;

#pragma unroll
	for (unsigned int i = 0; i < sizeof(*a) / sizeof(__u32); i++)
		differs |= x[i] ^ y[i];
	return !differs;
}

/* The top bit of each tag of @word that is zero; above the first such tag perhaps of others too. */
INLINE __u64 tags_zero(__u64 word)
{
	return (word - TAGS_1) & ~word & TAGS_TOP;
}

/*
 * A bit for each of the places that have @tag (0: that are free), those of the words side by side. @words: 4 or 8.
 * Without a branch for each: which of them it is, no processor could guess.
 */
INLINE __u64 tags_marks(const __u64 *tags, __u32 words, __u16 tag)
{
	__u64 wanted = tag * TAGS_1, marks = 0;

#pragma unroll
	for (__u32 i = 0; i < words; i++) {
		marks |= tags_zero(tags[i] ^ wanted) >> (15 - i);
		/* One after the other: the compiler would have eight at once, on the stack. */
		if (words > 4)
			barrier_var(marks);
	}
	return marks;
}

/* The place of one of the marks, the first; 4 * @words: there is none. */
INLINE __u32 marks_place(__u64 marks, __u32 words)
{
	__u64 word;

	if (!marks)
		return 4 * words;
	marks &= -marks;
	/* A power of two, of which the logarithm is the word. */
	word = marks | marks >> 32;
	word = (word | word >> 16) & ((1 << words) - 1);
	/* By a de Bruijn sequence, when there are eight. */
	word = words == 4 ? (word >> 1) - (word >> 3) : 0x56374210ULL >> ((word * 0x17 >> 5 & 7) * 4) & 7;
	return (word * 4 + ((marks >> word) * 0x0000000100020003ULL >> 48)) & (4 * words - 1);
}

/* Tags of @word that are not zero. */
INLINE __u64 tags_used(__u64 word)
{
	word |= word >> 8;
	word |= word >> 4;
	word |= word >> 2;
	word |= word >> 1;
	return word & TAGS_1;
}

/* The lock is held. */
INLINE void tags_set(__u64 *tags, __u32 place, __u16 tag)
{
	((__u16 *)tags)[place] = tag;
}

/* Writes a flow into the place that @row is. The lock is held. */
INLINE void row_write(__u64 *tags, __u32 place, struct flow_row *row, __u16 tag, const struct flow_key *key,
		      const struct flow *flow)
{
	row->flow.writes++;
	barrier();
	row->key = *key;
	__builtin_memcpy(&row->flow, flow, __builtin_offsetof(struct flow, writes));
	barrier();
	row->flow.writes++;
	barrier();
	tags_set(tags, place, tag);
}

/* Was the flow replaced since its key was found? @writes: flow.writes then. */
INLINE bool flow_was_replaced(const struct flow *flow, __u32 writes)
{
	barrier();
	return flow->writes != writes || writes & 1;
}

/* What a flow was judged by. */
struct flow_judged {
	__u32 writes;
	__u32 created;
	__u32 last_seen;
	__be16 sport;
	__be16 dport;
};

INLINE void flow_judge(struct flow_judged *judged, const struct flow *flow)
{
	judged->writes = flow->writes;
	judged->created = flow->created;
	judged->last_seen = flow->last_seen;
	judged->sport = flow->sport;
	judged->dport = flow->dport;
}

/* Is it the flow that was judged, unused since? The lock is held. NULL: any is. */
INLINE bool flow_is_judged(const struct flow *flow, const struct flow_judged *judged)
{
	return !judged ||
	       (flow->writes == judged->writes && flow->created == judged->created &&
		flow->last_seen == judged->last_seen && flow->sport == judged->sport && flow->dport == judged->dport);
}

/* The lock is held. */
INLINE void row_free(__u64 *tags, __u32 place, struct flow_row *row)
{
	tags_set(tags, place, 0);
	/* For those who read the table. */
	row->key.proto = 0;
}

enum put {
	/* There was room. */
	PUT_DONE,
	/* The key was there. */
	PUT_PRESENT,
	/* Another flow made room. */
	PUT_EVICTED,
	/* There is no room for this key. */
	PUT_REFUSED,
};
