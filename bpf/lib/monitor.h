/*
 * What `sluice monitor` is told, by a ring buffer. While none runs, nothing is read but two numbers of the control row,
 * and that only where a flow begins, a client is refused or a packet dropped: never for a packet of an established
 * flow.
 */
#pragma once

#include "clock.h"
#include "tally.h"

/* The bit of control.monitor_reasons that asks for evictions. */
#define MONITOR_EVICTIONS 63

/* Does somebody want events of this kind? @bit: enum reason, or MONITOR_EVICTIONS. */
INLINE bool monitor_wants(const struct control *settings, __u32 bit)
{
	return unlikely(settings->monitor_until) && settings->monitor_reasons >> (bit & 63) & 1;
}

/*
 * Room for an event, zeroed but for its time: to be submitted. NULL: none is wanted, or there is no room. A monitor
 * that was killed has left a deadline behind that is over.
 */
INLINE struct monitor_event *monitor_begin(__u32 bit)
{
	const struct control *settings;
	struct monitor_event *event;
	__u32 zero = 0;
	__u64 now;

	settings = bpf_map_lookup_elem(&control, &zero);
	if (!settings || !monitor_wants(settings, bit))
		return NULL;
	now = bpf_ktime_get_ns();
	if (now > settings->monitor_until)
		return NULL;
	if (settings->monitor_one_in > 1 && bpf_get_prandom_u32() % settings->monitor_one_in)
		return NULL;
	event = bpf_ringbuf_reserve(&monitor, sizeof(*event), 0);
	if (!event) {
		table_tally(TABLE_EVENTS_LOST);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = now;
	return event;
}

/* The reader looks every few milliseconds: to wake it would cost more than the rest. */
INLINE void monitor_end(struct monitor_event *event)
{
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* An entry makes room for another. @kind: of enum monitor_kind. */
INLINE void monitor_evicted(const struct flow_key *key, const struct flow *flow, __u32 kind)
{
	struct monitor_event *event = monitor_begin(MONITOR_EVICTIONS);

	if (!event)
		return;
	event->kind = kind;
	event->key = *key;
	event->service_port_id = flow->service_port_id;
	event->backend_id = flow->backend_id;
	event->flow_flags = flow->flags;
	event->backend = flow->flags & FLOW_REPLY ? key->saddr : flow->daddr;
	event->backend_port = flow->flags & FLOW_REPLY ? key->sport : flow->dport;
	monitor_end(event);
}
