/*
 * The golden signals of a ServicePort, counted where connections begin and end: packets of established flows do not
 * come by here.
 */
#pragma once

#include "common.h"

enum signal {
	SIGNAL_OPENED,
	SIGNAL_REFUSED,
	SIGNAL_DROPPED,
	SIGNAL_FAILED,
};

/* @id: service_port_id; 0: none. @signal: enum signal. */
GLOBAL int signal_count(__u32 id, __u32 signal)
{
	struct service_port_key key = {.id = id};
	struct service_signals *row, fresh = {};

	if (!id)
		return 0;
	row = bpf_map_lookup_elem(&service_signals, &key);
	if (unlikely(!row)) {
		bpf_map_update_elem(&service_signals, &key, &fresh, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&service_signals, &key);
		if (!row)
			return 0;
	}
	switch (signal) {
	case SIGNAL_OPENED:
		__sync_fetch_and_add(&row->opened, 1);
		break;
	case SIGNAL_REFUSED:
		__sync_fetch_and_add(&row->refused, 1);
		break;
	case SIGNAL_DROPPED:
		__sync_fetch_and_add(&row->dropped, 1);
		break;
	case SIGNAL_FAILED:
		__sync_fetch_and_add(&row->failed, 1);
		break;
	}
	return 0;
}
