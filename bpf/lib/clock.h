/* Time for flows: jiffies, because reading a finer clock costs as much as the flow lookup. */
#pragma once

#include "common.h"

/* Low 32 bits of the jiffies: differences are right for 49 days at 1000 Hz. */
INLINE __u32 clock_now(void)
{
	return (__u32)bpf_jiffies64();
}

/* Jiffies by which a stamp may be ahead: another CPU wrote it after this one read its clock. */
#define CLOCK_AHEAD (1 << 16)

/* Did more than @seconds pass between @then and @now (both jiffies)? Not since a moment that is still to come. */
INLINE bool clock_passed(__u32 now, __u32 then, __u32 seconds)
{
	__u32 passed = now - then;

	return passed > (__u64)seconds * knobs.jiffies_per_second && passed <= (__u32)-CLOCK_AHEAD;
}
