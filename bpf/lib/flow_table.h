/*
 * The table of established flows. A key has two buckets. It stands in the first, unless that is three quarters full and
 * the second has more room; no two in a bucket have the same tag. Such flows are counted in their first bucket, so that
 * what is not there is not looked for in the second in vain.
 */
#pragma once

#include "clock.h"
#include "flow_bucket.h"
#include "monitor.h"
#include "tally.h"

#define FLOW_PLACES 16
#define FLOW_WORDS 4
/* Flows in a bucket up to which a key's second one is not considered. */
#define FLOW_CROWDED 12
/* Seconds without a packet after which a connection that is being closed makes room for a new one. */
#define FLOW_CLOSED_SECONDS 1

INLINE __u32 bucket_place(const struct flow_bucket *bucket, __u16 tag)
{
	return marks_place(tags_marks(bucket->tags, FLOW_WORDS, tag), FLOW_WORDS);
}

INLINE __u32 bucket_used(const struct flow_bucket *bucket)
{
	__u64 used = tags_used(bucket->tags[0]) + tags_used(bucket->tags[1]) + tags_used(bucket->tags[2]) +
		     tags_used(bucket->tags[3]);

	return used * TAGS_1 >> 48;
}

INLINE struct flow_bucket *established_bucket(__u32 index)
{
	return bpf_map_lookup_elem(&flow_buckets, &index);
}

INLINE struct flow_places *established_places(__u32 index)
{
	return bpf_map_lookup_elem(&flows, &index);
}

/* The flow of @key in one of its buckets. */
INLINE struct flow *established_in(const struct flow_bucket *bucket, __u32 index, const struct flow_key *key, __u16 tag)
{
	__u32 place = bucket_place(bucket, tag);
	struct flow_places *places;
	struct flow_row *row;

	if (unlikely(place >= FLOW_PLACES))
		return NULL;
	places = established_places(index);
	if (!places)
		return NULL;
	row = &places->rows[place];
	return likely(flow_key_equal(&row->key, key)) ? &row->flow : NULL;
}

/* The established flow of @key. For the path of every packet; others call established_find. */
INLINE struct flow *established_find_fast(const struct flow_key *key, __u64 hash, const struct control *settings)
{
	struct flow_bucket *bucket;
	struct flow *flow;
	__u32 index;

	index = flow_first(hash, settings->flow_buckets);
	bucket = established_bucket(index);
	if (!bucket)
		return NULL;
	flow = established_in(bucket, index, key, flow_tag(hash));
	if (likely(flow) || likely(!bucket->spilled))
		return flow;
	index = flow_second(hash, settings->flow_buckets);
	bucket = established_bucket(index);
	return bucket ? established_in(bucket, index, key, flow_tag(hash)) : NULL;
}

NOINLINE struct flow *established_find_hashed(const struct flow_key *key, __u64 hash)
{
	const struct control *settings = flow_settings();

	return key && settings ? established_find_fast(key, hash, settings) : NULL;
}

INLINE struct flow *established_find(const struct flow_key *key)
{
	return established_find_hashed(key, flow_hash_of(key));
}

/* A flow that stood in its second bucket is there no more. @index: of the bucket where it stood. */
NOINLINE void established_unspill(const struct flow_key *key, __u32 index)
{
	const struct control *settings = flow_settings();
	struct flow_bucket *bucket;
	__u32 first;

	if (!settings || !key)
		return;
	first = flow_first(flow_hash(settings, key), settings->flow_buckets);
	if (first == index)
		return;
	bucket = established_bucket(first);
	if (bucket)
		__sync_fetch_and_add(&bucket->spilled, -1);
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
INLINE __u32 established_victim(const struct flow_bucket *bucket, const struct flow_places *places, __u32 now)
{
	__u32 hand = bucket->hand, victim = hand & (FLOW_PLACES - 1), longest = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < FLOW_PLACES; i++) {
		__u32 place = (hand + i) & (FLOW_PLACES - 1);
		const struct flow *flow = &places->rows[place].flow;
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

/*
 * Writes a flow into its place in the bucket, a free one, or that of a flow that makes room.
 * @evicted: the tag; on return the key that had to go, if any.
 * Returns PUT_REFUSED when another key has the tag.
 */
NOINLINE enum put established_put(struct flow_bucket *bucket, struct flow_places *places, const struct flow_key *key,
				  const struct flow *flow, struct flow_evicted *evicted)
{
	__u32 now = clock_now(), place;
	__u16 tag = evicted->tag;
	enum put put = PUT_DONE;

	bpf_spin_lock(&bucket->lock);
	place = bucket_place(bucket, tag);
	if (unlikely(place < FLOW_PLACES)) {
		put = flow_key_equal(&places->rows[place].key, key) ? PUT_PRESENT : PUT_REFUSED;
	} else {
		place = bucket_place(bucket, 0);
		if (unlikely(place >= FLOW_PLACES)) {
			place = established_victim(bucket, places, now);
			bucket->hand = place + 1;
			put = PUT_EVICTED;
		}
	}
	place &= FLOW_PLACES - 1;
	if (put == PUT_EVICTED) {
		evicted->key = places->rows[place].key;
		tags_set(bucket->tags, place, 0);
	}
	if (put != PUT_REFUSED)
		row_write(bucket->tags, place, &places->rows[place], tag, key, flow);
	bpf_spin_unlock(&bucket->lock);
	return put;
}

/* Tells a monitor which flow of a full bucket makes room for one with this tag: before its lock is taken. */
GLOBAL int established_tell(__u32 index, __u32 tag)
{
	const struct flow_bucket *bucket = established_bucket(index);
	const struct flow_places *places = established_places(index);
	const struct flow_row *row;

	if (!bucket || !places || bucket_place(bucket, 0) < FLOW_PLACES || bucket_place(bucket, tag) < FLOW_PLACES)
		return 0;
	row = &places->rows[established_victim(bucket, places, clock_now()) & (FLOW_PLACES - 1)];
	monitor_evicted(&row->key, &row->flow, MONITOR_EVICTED);
	return 0;
}

/*
 * Is a key with these two buckets put into its second one? Where it is already, else where there is more room.
 * A function of numbers: the verifier does not follow each way through it together with each way through the writing.
 */
GLOBAL int established_spills(__u32 at, __u32 other, __u32 tag)
{
	const struct flow_bucket *first = established_bucket(at), *second = established_bucket(other);
	__u32 used;

	if (!first || !second || at == other || bucket_place(first, tag) < FLOW_PLACES)
		return false;
	if (unlikely(first->spilled) && bucket_place(second, tag) < FLOW_PLACES)
		return true;
	used = bucket_used(first);
	return used >= FLOW_CROWDED && used > bucket_used(second);
}

/*
 * Writes an established flow, whether the key is taken or not; in a full table another makes room. Returns false when
 * other keys have its tag in both buckets, which happens to one flow in thirty millions.
 */
NOINLINE bool established_set(const struct flow_key *key, const struct flow *flow)
{
	const struct control *settings = flow_settings();
	struct flow_bucket *first, *second;
	struct flow_places *places[2];
	struct flow_evicted evicted;
	enum put put = PUT_REFUSED;
	__u32 at, other;
	bool single, spills;
	__u64 hash;

	if (!key || !flow || !settings)
		return false;
	hash = flow_hash(settings, key);
	at = flow_first(hash, settings->flow_buckets);
	other = flow_second(hash, settings->flow_buckets);
	first = established_bucket(at);
	second = established_bucket(other);
	places[0] = established_places(at);
	places[1] = established_places(other);
	if (!first || !second || !places[0] || !places[1])
		return false;
	evicted.tag = flow_tag(hash);
	/* Both may be the same one, which other CPUs may have changed between two looks. */
	single = at == other;
	spills = established_spills(at, other, evicted.tag);
	for (int i = 0; i < 2 - single; i++, spills = !spills) {
		/* Before it is there, so that it is found as soon as it is. */
		if (spills)
			__sync_fetch_and_add(&first->spilled, 1);
		if (unlikely(monitor_wants(settings, MONITOR_EVICTIONS)))
			established_tell(spills ? other : at, evicted.tag);
		put = established_put(spills ? second : first, spills ? places[1] : places[0], key, flow, &evicted);
		if (likely(put == PUT_DONE || put == PUT_EVICTED))
			break;
		if (spills)
			__sync_fetch_and_add(&first->spilled, -1);
		/* By another CPU, a moment ago. */
		if (put == PUT_PRESENT)
			return true;
	}
	if (put == PUT_REFUSED)
		return false;
	table_tally(TABLE_FLOWS_ADDED);
	if (put == PUT_EVICTED)
		established_unspill(&evicted.key, spills ? other : at);
	return true;
}

/* Returns false when the bucket does not have the key. */
INLINE bool established_remove_in(struct flow_bucket *bucket, __u32 index, const struct flow_key *key, __u16 tag)
{
	struct flow_places *places;
	bool there = false;
	__u32 place;

	if (bucket_place(bucket, tag) >= FLOW_PLACES)
		return false;
	places = established_places(index);
	if (!places)
		return false;
	bpf_spin_lock(&bucket->lock);
	place = bucket_place(bucket, tag);
	if (place < FLOW_PLACES && flow_key_equal(&places->rows[place].key, key)) {
		row_free(bucket->tags, place, &places->rows[place]);
		there = true;
	}
	bpf_spin_unlock(&bucket->lock);
	return there;
}

NOINLINE bool established_remove(const struct flow_key *key)
{
	const struct control *settings = flow_settings();
	struct flow_bucket *first, *second;
	__u32 at, other;
	bool removed;
	__u64 hash;

	if (!key || !settings)
		return false;
	hash = flow_hash(settings, key);
	at = flow_first(hash, settings->flow_buckets);
	first = established_bucket(at);
	if (!first)
		return false;
	removed = established_remove_in(first, at, key, flow_tag(hash));
	if (removed)
		table_tally(TABLE_FLOWS_REMOVED);
	other = flow_second(hash, settings->flow_buckets);
	if (likely(!first->spilled) || at == other)
		return removed;
	/* In both, when two CPUs wrote it at once and found its first bucket differently full. */
	second = established_bucket(other);
	if (!second || !established_remove_in(second, other, key, flow_tag(hash)))
		return removed;
	__sync_fetch_and_add(&first->spilled, -1);
	table_tally(TABLE_FLOWS_REMOVED);
	return true;
}
