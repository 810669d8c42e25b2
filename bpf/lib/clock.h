/* Time for flows: jiffies, because reading a finer clock costs as much as the flow lookup. */
#pragma once

#include "common.h"

/* Low 32 bits of the jiffies: differences are right for 49 days at 1000 Hz. */
INLINE __u32 clock_now(void)
{
	return (__u32)bpf_jiffies64();
}

/* Did more than @seconds pass between @then and @now (both jiffies)? */
INLINE bool clock_passed(__u32 now, __u32 then, __u32 seconds)
{
	return (__u64)(__u32)(now - then) > (__u64)seconds * knobs.jiffies_per_second;
}
