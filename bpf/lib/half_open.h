/*
 * Half-open flows, in a table of the kernel's. Each entry that comes or goes is tallied, so that what was
 * evicted from a full table can be told: added - removed - present.
 */
#pragma once

#include "tally.h"

/* Returns false when the key is taken, or the table refused the entry. */
INLINE bool half_open_add(const struct flow_key *key, const struct flow *flow)
{
	if (bpf_map_update_elem(&half_open_flows, key, flow, BPF_NOEXIST) != 0)
		return false;
	table_tally(TABLE_HALF_OPEN_ADDED);
	return true;
}

/* Whether the key is taken or not. Returns false when the table refused the entry. */
INLINE bool half_open_set(const struct flow_key *key, const struct flow *flow)
{
	return half_open_add(key, flow) || bpf_map_update_elem(&half_open_flows, key, flow, BPF_ANY) == 0;
}

INLINE bool half_open_remove(const struct flow_key *key)
{
	if (bpf_map_delete_elem(&half_open_flows, key) != 0)
		return false;
	table_tally(TABLE_HALF_OPEN_REMOVED);
	return true;
}
