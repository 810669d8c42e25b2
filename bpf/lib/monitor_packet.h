/* Packets of which `sluice monitor` is told. */
#pragma once

#include "monitor.h"
#include "scratch.h"

/* Are the backend and the Service of the packet in the scratch memory's flow, at this exit? */
INLINE bool monitor_has_flow(__u32 reason)
{
	return reason == REASON_NEW_FLOW || reason == REASON_DROP_NO_SNAT_PORT || reason == REASON_DROP_FLOW_TABLE;
}

/*
 * The packet that stands in the scratch memory leaves for this reason, of enum reason. Of one that fits no flow the
 * command line finds the Service by what the client dialled.
 */
GLOBAL int monitor_packet(__u32 reason)
{
	struct scratch *scratch = scratch_get();
	struct monitor_event *event;
	const struct flow_key *answer;
	const struct flow *flow;

	if (!scratch)
		return 0;
	event = monitor_begin(reason);
	if (!event)
		return 0;
	event->kind = MONITOR_PACKET;
	event->reason = reason;
	event->key = scratch->packet.key;
	if (reason == REASON_TIME_EXCEEDED || reason == REASON_DROP_TTL)
		event->key.daddr = scratch->dialled;
	event->bytes = scratch->packet.bytes;
	event->tcp_flags = scratch->packet.tcp_flags;
	if (monitor_has_flow(reason)) {
		flow = &scratch->flow;
		answer = &scratch->answer[ANSWER_FRONTEND];
		event->service_port_id = flow->service_port_id;
		event->backend_id = flow->backend_id;
		event->backend = reason == REASON_NEW_FLOW ? flow->daddr : answer->saddr;
		event->backend_port = reason == REASON_NEW_FLOW ? flow->dport : answer->sport;
	}
	monitor_end(event);
	return 0;
}
