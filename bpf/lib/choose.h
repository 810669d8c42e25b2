/*
 * Which backend of an extent a new flow is given: by chance, in turn, or by a hash (src/tables/choice.ts lays out the
 * tables). Nothing here is asked for a Service whose backends are chosen at random without weights.
 */
#pragma once

#include "address.h"

/* 2^64 divided by the golden ratio, odd. */
#define SELECT_MULTIPLIER 0x9e3779b97f4a7c15ULL
/* Numbers of a table in a slot: where a backend has its address. */
#define CHOICE_NUMBERS 8

INLINE const struct backend_slot *backend_at(__u32 base, __u32 offset)
{
	__u32 index = base + offset;

	return bpf_map_lookup_elem(&backend_slots, &index);
}

INLINE __u64 choice_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * SELECT_MULTIPLIER;
	return hash ^ hash >> 32;
}

INLINE __u64 choice_mix_address(__u64 hash, const struct address *address)
{
	const __u64 *words = (const __u64 *)address;

	return choice_mix(choice_mix(hash, words[0]), words[1]);
}

/* Counts on and returns the count before: no two flows on the node have the same. */
INLINE __u32 choice_take_turn(__u32 index)
{
	struct choice_turn *turn = bpf_map_lookup_elem(&choice_turns, &index);
	__u32 taken;

	if (!turn)
		return 0;
	bpf_spin_lock(&turn->lock);
	taken = turn->turn++;
	bpf_spin_unlock(&turn->lock);
	return taken;
}

/* Any 32 bits to a number below @count, each with the same chance. */
INLINE __u32 choice_below(__u32 number, __u32 count)
{
	return ((__u64)number * count) >> 32;
}

/*
 * The offset of the chosen backend in an extent of @count > 0 backends.
 * @packet: what the client sent; NULL at a socket, of which only @dialled is known.
 * @number: random; each 32 bits with the same chance.
 */
NOINLINE __u32 choice_offset(__u32 base, __u32 count, const struct flow_key *packet, const struct address *dialled,
			     __u32 number)
{
	const struct choice *choice = (const struct choice *)backend_at(base, count);
	const struct backend_slot *slot;
	__u32 entries, at;
	__u64 hash;

	/* An extent that is given back has lost it. */
	if (!choice || !dialled || !(choice->flags & BACKEND_CHOICE))
		return choice_below(number, count);
	entries = choice->entries ? choice->entries : count;
	hash = choice->seed;
	switch (choice->by) {
	case CHOICE_BY_TURN:
		at = choice_take_turn(choice->turn) % entries;
		break;
	case CHOICE_BY_FLOW:
		if (packet) {
			hash = choice_mix_address(choice_mix_address(hash, &packet->saddr), &packet->daddr);
			number = choice_mix(hash,
					    (__u64)packet->sport << 32 | (__u32)packet->dport << 16 | packet->proto);
		}
		at = choice_below(number, entries);
		break;
	case CHOICE_BY_SOURCE:
		at = choice_below(packet ? choice_mix_address(hash, &packet->saddr) : hash, entries);
		break;
	case CHOICE_BY_DESTINATION:
		at = choice_below(choice_mix_address(hash, dialled), entries);
		break;
	default:
		at = choice_below(number, entries);
		break;
	}
	if (!choice->entries)
		return at;
	slot = backend_at(base, choice->table + at / CHOICE_NUMBERS);
	if (!slot)
		return 0;
	at = ((const __u16 *)&slot->address)[at & (CHOICE_NUMBERS - 1)];
	return at < count ? at : 0;
}
