/*
 * The table of half-open flows. A key has one bucket, so that whoever holds its lock can tell whether the key is taken;
 * when another key there has the same tag it gets a second tag. What a flood brings pushes out its like: the hand of a
 * full bucket goes round, and what has had an answer or a second packet is spared as long as there is something else
 * (R-74).
 */
#pragma once

#include "flow_bucket.h"
#include "tally.h"

/* Places that are looked at for one that makes room. */
#define HALF_OPEN_LOOKS 4

/* Where a key stands. */
struct half_open_at {
	struct flow_bucket *bucket;
	struct flow_places *places;
	__u16 tag;
};

/* @hash: of the key, as everywhere here. Returns false when the table is not there. */
INLINE bool half_open_locate(__u64 hash, const struct control *settings, struct half_open_at *at)
{
	__u32 index = flow_first(hash, settings->half_open_buckets);

	at->tag = flow_tag(hash);
	at->bucket = bpf_map_lookup_elem(&half_open_buckets, &index);
	at->places = bpf_map_lookup_elem(&half_open_flows, &index);
	return at->bucket && at->places;
}

INLINE __u16 half_open_second_tag(__u16 tag)
{
	return -tag;
}

/* FLOW_PLACES: none. */
INLINE __u32 half_open_place(const struct half_open_at *at, const struct flow_key *key)
{
	__u32 place = bucket_find(at->bucket, at->places, key, at->tag);

	return place < FLOW_PLACES ? place : bucket_find(at->bucket, at->places, key, half_open_second_tag(at->tag));
}

/* For a packet's first look; others call half_open_find. */
INLINE struct flow *half_open_find_fast(const struct flow_key *key, __u64 hash, const struct control *settings)
{
	struct half_open_at at;
	__u32 place;

	if (!half_open_locate(hash, settings, &at))
		return NULL;
	place = half_open_place(&at, key);
	return place < FLOW_PLACES ? &at.places->rows[place].flow : NULL;
}

NOINLINE struct flow *half_open_find_hashed(const struct flow_key *key, __u64 hash)
{
	const struct control *settings = flow_settings();

	return key && settings ? half_open_find_fast(key, hash, settings) : NULL;
}

INLINE struct flow *half_open_find(const struct flow_key *key)
{
	return half_open_find_hashed(key, flow_hash_of(key));
}

/* The place that makes room in a full bucket. */
INLINE __u32 half_open_victim(const struct flow_bucket *bucket, const struct flow_places *places)
{
	__u32 hand = bucket->hand;

#pragma unroll
	for (__u32 i = 0; i < HALF_OPEN_LOOKS; i++) {
		__u32 place = (hand + i) & (FLOW_PLACES - 1);

		if (!(places->rows[place].flow.flags & FLOW_SEEN))
			return place;
	}
	return hand & (FLOW_PLACES - 1);
}

/*
 * Writes a half-open flow; in a full bucket another makes room. Returns PUT_PRESENT when the key is taken. Where few
 * values are alive; others call half_open_put.
 */
INLINE enum put half_open_put_fast(const struct flow_key *key, const struct flow *flow, __u64 hash,
				   const struct control *settings)
{
	enum put put = PUT_DONE;
	struct half_open_at at;
	__u32 place;

	if (!half_open_locate(hash, settings, &at))
		return PUT_REFUSED;
	bpf_spin_lock(&at.bucket->lock);
	place = half_open_place(&at, key);
	if (unlikely(place < FLOW_PLACES)) {
		put = PUT_PRESENT;
	} else {
		if (unlikely(bucket_place(at.bucket, at.tag) < FLOW_PLACES)) {
			/* Of another key. When one has the second tag too, it makes room. */
			at.tag = half_open_second_tag(at.tag);
			place = bucket_place(at.bucket, at.tag);
		}
		if (likely(place >= FLOW_PLACES))
			place = bucket_place(at.bucket, 0);
		if (unlikely(place >= FLOW_PLACES)) {
			place = half_open_victim(at.bucket, at.places);
			at.bucket->hand = place + 1;
		}
		bucket_write(at.bucket, at.places, place & (FLOW_PLACES - 1), at.tag, key, flow);
	}
	bpf_spin_unlock(&at.bucket->lock);
	if (put == PUT_DONE)
		table_tally(TABLE_HALF_OPEN_ADDED);
	return put;
}

NOINLINE enum put half_open_put(const struct flow_key *key, const struct flow *flow, __u64 hash)
{
	const struct control *settings = flow_settings();

	return key && flow && settings ? half_open_put_fast(key, flow, hash, settings) : PUT_REFUSED;
}

/* Writes a flow when the key is there. Under the lock: else it could be another key's place by now. */
NOINLINE void half_open_replace(const struct flow_key *key, const struct flow *flow, __u64 hash)
{
	const struct control *settings = flow_settings();
	struct half_open_at at;
	__u32 place;

	if (!key || !flow || !settings || !half_open_locate(hash, settings, &at))
		return;
	bpf_spin_lock(&at.bucket->lock);
	place = half_open_place(&at, key);
	if (place < FLOW_PLACES)
		at.places->rows[place].flow = *flow;
	bpf_spin_unlock(&at.bucket->lock);
}

NOINLINE bool half_open_remove_hashed(const struct flow_key *key, __u64 hash)
{
	const struct control *settings = flow_settings();
	struct half_open_at at;
	__u32 place;

	if (!key || !settings || !half_open_locate(hash, settings, &at))
		return false;
	bpf_spin_lock(&at.bucket->lock);
	place = half_open_place(&at, key);
	if (place < FLOW_PLACES)
		bucket_free(at.bucket, at.places, place);
	bpf_spin_unlock(&at.bucket->lock);
	if (place >= FLOW_PLACES)
		return false;
	table_tally(TABLE_HALF_OPEN_REMOVED);
	return true;
}

INLINE bool half_open_remove(const struct flow_key *key)
{
	return half_open_remove_hashed(key, flow_hash_of(key));
}
