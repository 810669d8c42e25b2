/*
 * Walks the flow tables, counts what lives and removes what does not: flows whose time is over
 * and datagram flows of backends that serve no more. In the kernel, an entry
 * is removed in the moment that it is judged: a packet that has just renewed it keeps it.
 */
#include "lib/common.h"
#include "lib/lifetime.h"
#include "lib/select.h"
#include "lib/tables.h"

struct bpf_map;

/* The context of a callback has to lie on the stack. */
struct walk {
	struct sweep counts;
	bool half_open;
};

NOINLINE bool sweep_lives(const struct flow_key *key, const struct flow *flow, bool half_open)
{
	const struct flow *opposite;
	struct flow_key answer;

	if (!key || !flow)
		return true;
	if (key->proto != IPPROTO_TCP && key->proto != IPPROTO_SCTP &&
	    !backend_serves(flow->backend_id, flow->backend_generation))
		return false;
	if (!flow_expired(flow, key->proto, half_open))
		return true;
	flow_answer_key(&answer, flow, key->proto, flow_opposite_hook(flow, key->hook));
	opposite = flow_find(&answer, &half_open);
	return opposite && !flow_expired(opposite, key->proto, half_open);
}

static long sweep_entry(struct bpf_map *map, const struct flow_key *key, const struct flow *flow, struct walk *walk)
{
	if (sweep_lives(key, flow, walk->half_open)) {
		if (walk->half_open)
			walk->counts.half_open++;
		else
			walk->counts.established++;
		return 0;
	}
	if (!(walk->half_open ? half_open_remove(key) : established_remove(key)))
		return 0;
	if (address_is_v4(&key->daddr))
		walk->counts.removed4++;
	else
		walk->counts.removed6++;
	return 0;
}

/* @result: all zero; filled in. */
SEC("syscall")
int sweep(struct sweep *result)
{
	struct walk walk = {};

	bpf_for_each_map_elem(&flows, sweep_entry, &walk, 0);
	walk.half_open = true;
	bpf_for_each_map_elem(&half_open_flows, sweep_entry, &walk, 0);
	*result = walk.counts;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
