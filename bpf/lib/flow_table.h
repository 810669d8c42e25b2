/*
 * The table of established flows: a hash table of ours in an array. The verifier turns the lookup of an array's element
 * into a few instructions, so that finding a flow calls nothing; nor does a new flow wait while the kernel looks
 * through its LRU lists for what is old. docs/architecture.md tells what that gives.
 *
 * A key has two buckets of 16 places each. It stands in the first, unless that is three quarters full and the second
 * has more room. Such flows are counted in their first bucket, so that what is not there is not looked for in the
 * second in vain. 16 bits of the hash, the tag, say which place may have the key: no two in a bucket have the same
 * tag, so that there is one key to compare, and no loop that the verifier would have to follow.
 *
 * What comes and goes does so under the bucket's lock; a lookup takes none. So a flow may be replaced by another while
 * a packet uses it, as in the kernel's preallocated tables.
 */
#pragma once

#include "clock.h"
#include "tally.h"

#define FLOW_PLACES 16
/* Flows in a bucket up to which a key's second one is not considered. */
#define FLOW_CROWDED 12
/* Seconds without a packet after which a connection that is being closed makes room for a new one. */
#define FLOW_CLOSED_SECONDS 1

/* Each of the four tags of a word. */
#define TAGS_1 0x0001000100010001ULL
#define TAGS_TOP 0x8000800080008000ULL

/* Where a key may stand. */
struct flow_buckets {
	__u32 first;
	__u32 second;
	/* Not 0. */
	__u16 tag;
};

/*
 * NH (RFC 4418 5.2) over the words of the key with secret numbers, then mixed, so that all bits of the sum take part
 * in each of the three. src/bpf/flow-hash.ts does the same.
 */
INLINE void flow_hash(const struct control *settings, const struct flow_key *key, struct flow_buckets *buckets)
{
	const __u32 *words = (const __u32 *)key;
	const __u32 *secret = (const __u32 *)settings->flow_hash;
	__u64 sum = 0;
	__u16 tag;

	_Static_assert(sizeof(*key) == sizeof(settings->flow_hash), "a secret number for each word of the key");
#pragma unroll
	for (unsigned int i = 0; i < sizeof(*key) / sizeof(__u32); i += 2)
		sum += (__u64)(__u32)(words[i] + secret[i]) * (__u32)(words[i + 1] + secret[i + 1]);
	sum ^= sum >> 29;
	sum *= 0xbf58476d1ce4e5b9ULL;
	sum ^= sum >> 32;
	buckets->first = (sum >> 32) * settings->flow_buckets >> 32;
	buckets->second = (__u64)(__u32)sum * settings->flow_buckets >> 32;
	tag = sum >> 32;
	buckets->tag = tag ? tag : 1;
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
 * The first place that has @tag (0: that is free); FLOW_PLACES: none. Without a branch for each word: which of them
 * it is, no processor could guess. A bit for each place, those of the four words side by side.
 */
INLINE __u32 bucket_place(const struct flow_bucket *bucket, __u16 tag)
{
	__u64 tags = tag * TAGS_1, marks, word;

	marks = tags_zero(bucket->tags[0] ^ tags) >> 15 | tags_zero(bucket->tags[1] ^ tags) >> 14 |
		tags_zero(bucket->tags[2] ^ tags) >> 13 | tags_zero(bucket->tags[3] ^ tags) >> 12;
	if (!marks)
		return FLOW_PLACES;
	marks &= -marks;
	/* 1, 2, 4 or 8, of which the logarithm is the word. */
	word = marks | marks >> 32;
	word = (word | word >> 16) & 15;
	word = (word >> 1) - (word >> 3);
	return (word * 4 + ((marks >> word) * 0x0000000100020003ULL >> 48)) & (FLOW_PLACES - 1);
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

INLINE __u32 bucket_used(const struct flow_bucket *bucket)
{
	__u64 used = tags_used(bucket->tags[0]) + tags_used(bucket->tags[1]) + tags_used(bucket->tags[2]) +
		     tags_used(bucket->tags[3]);

	return used * TAGS_1 >> 48;
}

/* The place of @key; FLOW_PLACES: none. */
INLINE __u32 bucket_find(const struct flow_bucket *bucket, const struct flow_key *key, __u16 tag)
{
	__u32 place = bucket_place(bucket, tag);

	return place < FLOW_PLACES && likely(flow_key_equal(&bucket->keys[place], key)) ? place : FLOW_PLACES;
}

INLINE void bucket_set_tag(struct flow_bucket *bucket, __u32 place, __u16 tag)
{
	((__u16 *)bucket->tags)[place] = tag;
}

INLINE const struct control *flow_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* The established flow of @key. For the path of every packet; others call established_find. */
INLINE struct flow *established_find_fast(const struct flow_key *key)
{
	const struct control *settings = flow_settings();
	struct flow_buckets buckets;
	struct flow_bucket *bucket;
	__u32 place;

	if (!settings)
		return NULL;
	flow_hash(settings, key, &buckets);
	bucket = bpf_map_lookup_elem(&flows, &buckets.first);
	if (!bucket)
		return NULL;
	place = bucket_find(bucket, key, buckets.tag);
	if (unlikely(place >= FLOW_PLACES) && unlikely(bucket->spilled)) {
		bucket = bpf_map_lookup_elem(&flows, &buckets.second);
		if (!bucket)
			return NULL;
		place = bucket_find(bucket, key, buckets.tag);
	}
	return likely(place < FLOW_PLACES) ? &bucket->flows[place] : NULL;
}

NOINLINE struct flow *established_find(const struct flow_key *key)
{
	return key ? established_find_fast(key) : NULL;
}

/* A flow that stood in its second bucket is there no more. @index: of the bucket where it stood. */
NOINLINE void bucket_unspill(const struct flow_key *key, __u32 index)
{
	const struct control *settings = flow_settings();
	struct flow_buckets buckets;
	struct flow_bucket *first;

	if (!settings)
		return;
	flow_hash(settings, key, &buckets);
	if (buckets.first == index)
		return;
	first = bpf_map_lookup_elem(&flows, &buckets.first);
	if (first)
		__sync_fetch_and_add(&first->spilled, -1);
}

/* What a flow is put in place of. */
struct flow_evicted {
	struct flow_key key;
	__u16 tag;
};

/*
 * The place that makes room in a full bucket: the first from the hand on that is closed and quiet; else the one that
 * was not used for longest. No call in it: the lock is held.
 */
INLINE __u32 bucket_victim(const struct flow_bucket *bucket, __u32 now)
{
	__u32 hand = bucket->hand, victim = hand & (FLOW_PLACES - 1), longest = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FLOW_PLACES; i++) {
		__u32 place = (hand + i) & (FLOW_PLACES - 1);
		const struct flow *flow = &bucket->flows[place];
		__u32 idle = now - flow->last_seen;

		if (flow->flags & FLOW_CLOSING && clock_passed(now, flow->last_seen, FLOW_CLOSED_SECONDS))
			return place;
		if ((__s32)idle > (__s32)longest) {
			longest = idle;
			victim = place;
		}
	}
	return victim;
}

enum put {
	/* There was room. */
	PUT_DONE,
	/* The key was there. */
	PUT_PRESENT,
	/* Another flow made room. */
	PUT_EVICTED,
	/* Another key has the tag. */
	PUT_TAKEN,
};

/*
 * Writes a flow into a free place of the bucket, or of a flow that makes room.
 * @evicted: the tag; on return the key that had to go, if any.
 */
NOINLINE enum put bucket_put(struct flow_bucket *bucket, const struct flow_key *key, const struct flow *flow,
			     struct flow_evicted *evicted)
{
	__u32 now = clock_now(), place;
	__u16 tag = evicted->tag;
	enum put put = PUT_DONE;

	bpf_spin_lock(&bucket->lock);
	place = bucket_place(bucket, tag);
	if (unlikely(place < FLOW_PLACES)) {
		put = flow_key_equal(&bucket->keys[place], key) ? PUT_PRESENT : PUT_TAKEN;
	} else {
		place = bucket_place(bucket, 0);
		if (unlikely(place >= FLOW_PLACES)) {
			place = bucket_victim(bucket, now);
			bucket->hand = place + 1;
			put = PUT_EVICTED;
		}
	}
	place &= FLOW_PLACES - 1;
	if (put == PUT_EVICTED) {
		evicted->key = bucket->keys[place];
		bucket_set_tag(bucket, place, 0);
	}
	if (put != PUT_TAKEN) {
		bucket->keys[place] = *key;
		bucket->flows[place] = *flow;
		barrier();
		bucket_set_tag(bucket, place, tag);
	}
	bpf_spin_unlock(&bucket->lock);
	return put;
}

/*
 * Writes an established flow, whether the key is taken or not; in a full table another makes room. Returns false when
 * other keys have its tag in both buckets, which happens to one flow in thirty millions.
 */
NOINLINE bool established_set(const struct flow_key *key, const struct flow *flow)
{
	const struct control *settings = flow_settings();
	struct flow_bucket *first, *second;
	struct flow_evicted evicted;
	struct flow_buckets buckets;
	struct flow *present;
	enum put put = PUT_TAKEN;
	bool single, spills;
	__u32 used;

	if (!key || !flow || !settings)
		return false;
	present = established_find(key);
	if (present) {
		*present = *flow;
		return true;
	}
	flow_hash(settings, key, &buckets);
	first = bpf_map_lookup_elem(&flows, &buckets.first);
	second = bpf_map_lookup_elem(&flows, &buckets.second);
	if (!first || !second)
		return false;
	evicted.tag = buckets.tag;
	used = bucket_used(first);
	/* Both may be the same one, which other CPUs may have changed between two looks. */
	single = buckets.first == buckets.second;
	spills = used >= FLOW_CROWDED && !single && used > bucket_used(second);
	for (int i = 0; i < 2 - single; i++, spills = !spills) {
		/* Before it is there, so that it is found as soon as it is. */
		if (spills)
			__sync_fetch_and_add(&first->spilled, 1);
		put = bucket_put(spills ? second : first, key, flow, &evicted);
		if (likely(put == PUT_DONE || put == PUT_EVICTED))
			break;
		if (spills)
			__sync_fetch_and_add(&first->spilled, -1);
		/* By another CPU, a moment ago. */
		if (put == PUT_PRESENT)
			return true;
	}
	if (put == PUT_TAKEN)
		return false;
	table_tally(TABLE_FLOWS_ADDED);
	if (put == PUT_EVICTED)
		bucket_unspill(&evicted.key, spills ? buckets.second : buckets.first);
	return true;
}

/* Returns false when the bucket does not have the key. */
INLINE bool bucket_remove(struct flow_bucket *bucket, const struct flow_key *key, __u16 tag)
{
	__u32 place = bucket_find(bucket, key, tag);
	bool there;

	if (place >= FLOW_PLACES)
		return false;
	bpf_spin_lock(&bucket->lock);
	/* Another may have been quicker. */
	there = bucket_find(bucket, key, tag) == place;
	if (there)
		bucket_set_tag(bucket, place, 0);
	bpf_spin_unlock(&bucket->lock);
	return there;
}

NOINLINE bool established_remove(const struct flow_key *key)
{
	const struct control *settings = flow_settings();
	struct flow_bucket *first, *second;
	struct flow_buckets buckets;
	bool removed;

	if (!key || !settings)
		return false;
	flow_hash(settings, key, &buckets);
	first = bpf_map_lookup_elem(&flows, &buckets.first);
	if (!first)
		return false;
	removed = bucket_remove(first, key, buckets.tag);
	if (removed)
		table_tally(TABLE_FLOWS_REMOVED);
	if (likely(!first->spilled) || buckets.first == buckets.second)
		return removed;
	/* In both, when two CPUs wrote it at once and found its first bucket differently full. */
	second = bpf_map_lookup_elem(&flows, &buckets.second);
	if (!second || !bucket_remove(second, key, buckets.tag))
		return removed;
	__sync_fetch_and_add(&first->spilled, -1);
	table_tally(TABLE_FLOWS_REMOVED);
	return true;
}
