/* Every exit is counted, by reason, per CPU. */
#pragma once

#include "common.h"

/* @bytes: from the network header on; 0 for the socket hook. */
INLINE void stats_count(__u32 reason, __u64 bytes)
{
	struct counter *counter = bpf_map_lookup_elem(&counters, &reason);

	if (likely(counter)) {
		counter->packets++;
		counter->bytes += bytes;
	}
}
