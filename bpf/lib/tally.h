/* What comes to the flow tables and goes, and events that are lost, counted. */
#pragma once

#include "common.h"

INLINE void table_tally(__u32 event)
{
	struct tally *tally = bpf_map_lookup_elem(&table_events, &event);

	if (likely(tally))
		tally->entries++;
}
