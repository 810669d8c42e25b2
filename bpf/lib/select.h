/* From a frontend to one of its backends: affinity first, else by the Service's algorithm: at random unless it says
 * otherwise. */
#pragma once

#include "choose.h"

#define NSEC_PER_SEC 1000000000ULL

/* Does a flow to this backend go on? Id 0 is no backend: the flow is not a Service's. */
INLINE bool backend_serves(__u32 id, __u32 generation)
{
	const struct backend_state *state = bpf_map_lookup_elem(&backend_states, &id);

	if (!id)
		return true;
	return state && state->generation == generation && (state->flags & BACKEND_STATE_SERVING);
}

INLINE __u32 backend_generation(__u32 id)
{
	const struct backend_state *state = bpf_map_lookup_elem(&backend_states, &id);

	return state ? state->generation : 0;
}

/*
 * The backend of the client's last new connection, when that is recent enough and the backend is
 * in the extent in force. NULL: choose anew.
 */
NOINLINE const struct backend_slot *affinity_backend(const struct affinity_key *key, __u32 base, __u32 count,
						     __u64 seconds)
{
	const struct affinity_member *member;
	struct affinity_member_key in;
	struct affinity *affinity;
	__u64 now;

	affinity = bpf_map_lookup_elem(&affinities, key);
	if (!affinity)
		return NULL;
	now = bpf_ktime_get_ns();
	/* Signed: another CPU may have written a moment that is later than this one's. */
	if ((__s64)(now - affinity->last_new) >= (__s64)(seconds * NSEC_PER_SEC))
		return NULL;
	in.base = base;
	in.backend_id = affinity->backend_id;
	member = bpf_map_lookup_elem(&affinity_members, &in);
	if (!member || member->offset >= count)
		return NULL;
	if (backend_generation(affinity->backend_id) != affinity->backend_generation)
		return NULL;
	affinity->last_new = now;
	return backend_at(base, member->offset);
}

NOINLINE void affinity_remember(const struct affinity_key *key, __u32 backend_id)
{
	struct affinity affinity = {
		.last_new = bpf_ktime_get_ns(),
		.backend_id = backend_id,
		.backend_generation = backend_generation(backend_id),
	};

	bpf_map_update_elem(&affinities, key, &affinity, BPF_ANY);
}

/*
 * The number by which a packet's backend is chosen: a hash with a secret seed. XDP and tc agree on
 * it: a packet that XDP lets pass because its backend is here leads to that backend in tc.
 */
INLINE __u32 packet_number(const struct flow_key *packet)
{
	const __u64 *words = (const __u64 *)packet;
	__u64 hash = knobs.select_seed;

	for (unsigned int i = 0; i < sizeof(*packet) / sizeof(*words); i++) {
		hash = (hash ^ words[i]) * SELECT_MULTIPLIER;
		hash ^= hash >> 32;
	}
	return hash;
}

/*
 * @internal: the client is inside the cluster.
 * @client: its address before any NAT, the key of affinity.
 * @packet: NULL at a socket. @dialled: the address of the frontend.
 * @number: any; each 32 bits with the same chance.
 * Returns NULL when the extent is empty.
 */
INLINE const struct backend_slot *backend_select(const struct frontend *frontend, bool internal,
						 const struct address *client, const struct flow_key *packet,
						 const struct address *dialled, __u32 number)
{
	__u32 base = internal ? frontend->internal_base : frontend->external_base;
	__u32 count = internal ? frontend->internal_count : frontend->external_count;
	const struct backend_slot *slot;
	struct affinity_key key;
	__u32 offset;

	if (!count)
		return NULL;
	if (frontend->affinity_seconds) {
		address_copy(&key.client, client);
		key.service_port_id = frontend->service_port_id;
		slot = affinity_backend(&key, base, count, frontend->affinity_seconds);
		if (slot)
			return slot;
	}
	if (unlikely(frontend->flags & FRONTEND_CHOICE))
		offset = choice_offset(base, count, packet, dialled, number);
	else
		offset = choice_below(number, count);
	slot = backend_at(base, offset);
	if (slot && frontend->affinity_seconds)
		affinity_remember(&key, slot->backend_id);
	return slot;
}
