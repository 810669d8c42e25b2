/*
 * The table of half-open flows. A key has one bucket, so that whoever holds its lock can tell whether the key is taken.
 * Two keys there may have the same tag; of three, which happens once in thousands of millions, one is not found and
 * begins anew. What a flood brings pushes out its like: the hand of a full bucket goes round, and what has had an
 * answer or a second packet is spared as long as there is something else.
 */
#pragma once

#include "flow_bucket.h"
#include "monitor.h"

#define HALF_OPEN_PLACES 32
#define HALF_OPEN_WORDS 8
/* Places that are looked at for one that makes room. */
#define HALF_OPEN_LOOKS 4

/* Where a key stands. */
struct half_open_at {
	struct half_open_bucket *bucket;
	struct half_open_places *places;
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

/* The place of a key. HALF_OPEN_PLACES: none. */
INLINE __u32 half_open_place(const struct half_open_at *at, const struct flow_key *key)
{
	__u64 marks = tags_marks(at->bucket->tags, HALF_OPEN_WORDS, at->tag);

#pragma clang loop unroll(disable)
	for (int i = 0; i < 2 && marks; i++, marks &= marks - 1) {
		__u32 place = marks_place(marks, HALF_OPEN_WORDS) & (HALF_OPEN_PLACES - 1);

		/* Else the compiler keeps the key's words on the stack for the second. */
		barrier();
		if (likely(flow_key_equal(&at->places->rows[place].key, key)))
			return place;
	}
	return HALF_OPEN_PLACES;
}

NOINLINE struct flow *half_open_find_hashed(const struct flow_key *key, __u64 hash)
{
	const struct control *settings = flow_settings();
	struct half_open_at at;
	__u32 place;

	if (!key || !settings || !half_open_locate(hash, settings, &at))
		return NULL;
	place = half_open_place(&at, key);
	return place < HALF_OPEN_PLACES ? &at.places->rows[place].flow : NULL;
}

INLINE struct flow *half_open_find(const struct flow_key *key)
{
	return half_open_find_hashed(key, flow_hash_of(key));
}

/* The place that makes room in a full bucket. */
INLINE __u32 half_open_victim(const struct half_open_bucket *bucket, const struct half_open_places *places)
{
	__u32 hand = bucket->hand;

#pragma unroll
	for (__u32 i = 0; i < HALF_OPEN_LOOKS; i++) {
		__u32 place = (hand + i) & (HALF_OPEN_PLACES - 1);

		if (!(places->rows[place].flow.flags & FLOW_SEEN))
			return place;
	}
	return hand & (HALF_OPEN_PLACES - 1);
}

/* Writes a flow into a free place; in a full bucket another makes room. The lock is held. */
INLINE void half_open_insert(struct half_open_at *at, const struct flow_key *key, const struct flow *flow)
{
	__u32 place = marks_place(tags_marks(at->bucket->tags, HALF_OPEN_WORDS, 0), HALF_OPEN_WORDS);

	if (unlikely(place >= HALF_OPEN_PLACES)) {
		place = half_open_victim(at->bucket, at->places);
		at->bucket->hand = place + 1;
	}
	place &= HALF_OPEN_PLACES - 1;
	row_write(at->bucket->tags, place, &at->places->rows[place], at->tag, key, flow);
}

/*
 * Tells a monitor whose place a new flow takes, should the bucket be full: before its lock is taken. Of the few flows
 * that have the tag of another nothing is told.
 */
NOINLINE void half_open_tell(__u64 hash)
{
	const struct control *settings = flow_settings();
	const struct flow_row *row;
	struct half_open_at at;

	if (!settings || !half_open_locate(hash, settings, &at) || tags_marks(at.bucket->tags, HALF_OPEN_WORDS, 0) ||
	    tags_marks(at.bucket->tags, HALF_OPEN_WORDS, at.tag))
		return;
	row = &at.places->rows[half_open_victim(at.bucket, at.places) & (HALF_OPEN_PLACES - 1)];
	monitor_evicted(&row->key, &row->flow, MONITOR_EVICTED_HALF_OPEN);
}

/*
 * Writes a half-open flow. Returns PUT_PRESENT when the key is taken. @compare: else it may be another key that has the
 * tag, which half_open_put tells; so the path of every new flow compares no keys.
 */
INLINE enum put half_open_put_fast(const struct flow_key *key, const struct flow *flow, __u64 hash,
				   const struct control *settings, bool compare)
{
	struct half_open_at at;
	bool taken;

	if (!half_open_locate(hash, settings, &at))
		return PUT_REFUSED;
	if (!compare && unlikely(monitor_wants(settings, MONITOR_EVICTIONS)))
		half_open_tell(hash);
	bpf_spin_lock(&at.bucket->lock);
	taken = compare ? half_open_place(&at, key) < HALF_OPEN_PLACES
			: tags_marks(at.bucket->tags, HALF_OPEN_WORDS, at.tag) != 0;
	if (likely(!taken))
		half_open_insert(&at, key, flow);
	bpf_spin_unlock(&at.bucket->lock);
	if (unlikely(taken))
		return PUT_PRESENT;
	table_tally(TABLE_HALF_OPEN_ADDED);
	return PUT_DONE;
}

NOINLINE enum put half_open_put(const struct flow_key *key, const struct flow *flow, __u64 hash)
{
	const struct control *settings = flow_settings();

	return key && flow && settings ? half_open_put_fast(key, flow, hash, settings, true) : PUT_REFUSED;
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
	if (place < HALF_OPEN_PLACES)
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
	if (place < HALF_OPEN_PLACES)
		row_free(at.bucket->tags, place, &at.places->rows[place]);
	bpf_spin_unlock(&at.bucket->lock);
	if (place >= HALF_OPEN_PLACES)
		return false;
	table_tally(TABLE_HALF_OPEN_REMOVED);
	return true;
}

INLINE bool half_open_remove(const struct flow_key *key)
{
	return half_open_remove_hashed(key, flow_hash_of(key));
}
