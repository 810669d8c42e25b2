/*
 * Pieces of datagrams that come before their first. Only the first has the ports, so nobody
 * knows yet whether a Service is meant and where they go. They are held here, and come in once more
 * by the same device when the first one has said.
 *
 * Room is for a few pieces of a few datagrams at a time. One that is kept out by that, or by its length,
 * goes on when a host has its address: this node, or whoever has an external IP. There it may be for any process.
 * Should it be for a Service, its datagram is lost, for the others are translated. To an address that is a
 * Service's alone it is dropped. Both are counted.
 */
#pragma once

#include "lookup.h"
#include "monitor_packet.h"
#include "parse.h"
#include "scratch.h"
#include "stats.h"

/* Bytes of a frame: an Ethernet header and 1,500 bytes, and what a tag adds. */
#define HELD_BYTES 1532
/* Pieces of one datagram. Loops over them are unrolled: kernels before 5.16 lose count of a number on the stack. */
#define HELD_PIECES 6

struct held_key {
	struct fragment_key datagram;
	__u32 number;
};

struct held {
	__u32 length;
	/* Jiffies. */
	__u32 made;
	__u8 frame[HELD_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct held_key);
	__type(value, struct held);
	__uint(max_entries, 256);
} held_pieces SEC(".maps");

/* The first piece, while others take its place; and the piece that is being put away. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct held);
	__uint(max_entries, 1);
} held_copy SEC(".maps");

/* Could a Service's datagram have this destination: one of its addresses, or one for NodePorts? */
INLINE bool held_concerns(const struct packet *packet)
{
	return service_address(&packet->key.daddr) || node_address_flags(&packet->key.daddr) & NODE_ADDRESS_NODE_PORT;
}

/* The piece in the scratch memory cannot be held. Returns a TC_ACT verdict. */
INLINE int held_refuse(const struct packet *packet)
{
	const struct mark *mark = service_address(&packet->key.daddr);
	bool alone = mark && mark->flags & (SERVICE_ADDRESS_CLUSTER_IP | SERVICE_ADDRESS_PING);

	if (!alone || node_address_flags(&packet->key.daddr) & NODE_ADDRESS_LOCAL) {
		stats_count(REASON_PIECE_NOT_HELD, packet->bytes);
		monitor_packet(REASON_PIECE_NOT_HELD);
		return VERDICT_NEXT;
	}
	stats_count(REASON_DROP_PIECE, packet->bytes);
	monitor_packet(REASON_DROP_PIECE);
	return TC_ACT_SHOT;
}

INLINE void held_key_of(struct held_key *key, const struct packet *packet)
{
	__builtin_memset(key, 0, sizeof(*key));
	packet_fragment_key(&key->datagram, packet);
}

/* Copies the whole frame out of @ctx. Returns false when it is too long. */
INLINE bool held_save(struct __sk_buff *ctx, struct held *copy)
{
	__u32 length = ctx->len;

	if (length < ETH_HLEN || length > HELD_BYTES)
		return false;
	copy->length = length;
	copy->made = clock_now();
	return bpf_skb_load_bytes(ctx, 0, copy->frame, length) == 0;
}

/* Makes @ctx a copy of the frame. */
INLINE bool held_restore(struct __sk_buff *ctx, const struct held *copy)
{
	__u32 length = copy->length;

	if (length <= ETH_HLEN || length > HELD_BYTES)
		return false;
	/* A sum of the packet begins behind the Ethernet header, and has to follow. */
	return bpf_skb_change_tail(ctx, length, 0) == 0 && bpf_skb_store_bytes(ctx, 0, copy->frame, ETH_HLEN, 0) == 0 &&
	       bpf_skb_store_bytes(ctx, ETH_HLEN, &copy->frame[ETH_HLEN], length - ETH_HLEN, BPF_F_RECOMPUTE_CSUM) == 0;
}

/* Is it of a datagram that nobody waits for any more, another one by now? */
INLINE bool held_is_old(const struct held *piece)
{
	return clock_passed(clock_now(), piece->made, PIECES_SECONDS);
}

/* Puts a piece away, in a place that is free or has an old one. */
NOINLINE bool held_put(const struct held_key *key, const struct held *copy)
{
	const struct held *piece;

	if (!key || !copy)
		return false;
	piece = bpf_map_lookup_elem(&held_pieces, key);
	if (piece && held_is_old(piece))
		return bpf_map_update_elem(&held_pieces, key, copy, BPF_ANY) == 0;
	return !piece && bpf_map_update_elem(&held_pieces, key, copy, BPF_NOEXIST) == 0;
}

/*
 * A later piece, which stands in the scratch memory, came before the first. Returns a TC_ACT verdict:
 * it is held, or goes on when it can be none of a Service's; held_refuse has what does not fit.
 */
GLOBAL int held_take(struct __sk_buff *ctx)
{
	struct scratch *scratch = scratch_get();
	struct held_key key;
	struct held *copy;
	__u32 zero = 0;

	copy = bpf_map_lookup_elem(&held_copy, &zero);
	if (!scratch || !copy || !held_concerns(&scratch->packet))
		return VERDICT_NEXT;
	held_key_of(&key, &scratch->packet);
	if (held_save(ctx, copy)) {
#pragma unroll
		for (__u32 i = 0; i < HELD_PIECES; i++) {
			key.number = i;
			if (!held_put(&key, copy))
				continue;
			stats_count(REASON_PIECE_HELD, scratch->packet.bytes);
			return TC_ACT_SHOT;
		}
	}
	return held_refuse(&scratch->packet);
}

/*
 * The first piece, which stands in the scratch memory, has come: its ports are known from now on, and
 * pieces that were held come in again, behind it. Returns false when the packet was lost over it.
 */
GLOBAL int held_release(struct __sk_buff *ctx)
{
	struct scratch *scratch = scratch_get();
	struct held *copy, *piece;
	struct held_key key;
	__u32 zero = 0;

	copy = bpf_map_lookup_elem(&held_copy, &zero);
	if (!scratch || !copy || !held_concerns(&scratch->packet))
		return true;
	packet_remember_ports(&scratch->packet);
	held_key_of(&key, &scratch->packet);
	if (likely(!bpf_map_lookup_elem(&held_pieces, &key)) || !held_save(ctx, copy))
		return true;
#pragma unroll
	for (__u32 i = 0; i < HELD_PIECES; i++) {
		key.number = i;
		piece = bpf_map_lookup_elem(&held_pieces, &key);
		if (!piece)
			break;
		if (!held_is_old(piece) && held_restore(ctx, piece))
			bpf_clone_redirect(ctx, ctx->ifindex, BPF_F_INGRESS);
		bpf_map_delete_elem(&held_pieces, &key);
	}
	return held_restore(ctx, copy);
}
