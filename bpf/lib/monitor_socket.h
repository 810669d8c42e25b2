/* Calls of the socket hook of which `sluice monitor` is told: what a process dialled, and which process it is. */
#pragma once

#include "monitor.h"
#include "sock_memory.h"

/* Begins an event of the calling process. NULL: none is wanted. */
INLINE struct monitor_event *monitor_call(__u32 reason)
{
	struct monitor_event *event = monitor_begin(reason);

	if (!event)
		return NULL;
	event->kind = MONITOR_SOCKET;
	event->reason = reason;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return event;
}

/* @dialled: before it was replaced. @slot: NULL when no backend was chosen. */
NOINLINE void monitor_socket(__u32 reason, const struct sock_address *dialled, const struct frontend *frontend,
			     const struct backend_slot *slot)
{
	struct monitor_event *event;

	if (!dialled || !frontend)
		return;
	event = monitor_call(reason);
	if (!event)
		return;
	event->key.daddr = dialled->address;
	event->key.dport = dialled->port;
	event->key.proto = dialled->proto;
	event->service_port_id = frontend->service_port_id;
	if (slot) {
		event->backend = slot->address;
		event->backend_port = slot->port;
		event->backend_id = slot->backend_id;
	}
	monitor_end(event);
}

/* A process asked for a port that is a NodePort. */
NOINLINE void monitor_bind(const struct bpf_sock *sk)
{
	struct monitor_event *event;

	if (!sk)
		return;
	event = monitor_call(REASON_SOCKET_BIND_REFUSED);
	if (!event)
		return;
	event->key.dport = bpf_htons(sk->src_port);
	event->key.proto = sk->protocol == IPPROTO_MPTCP ? IPPROTO_TCP : sk->protocol;
	monitor_end(event);
}

/* A datagram of a connected socket whose backend serves no more; the caller need not be the socket's process. */
NOINLINE void monitor_stale(const struct sock_key *key, __u32 bytes)
{
	const struct sock_flow *peer;
	struct monitor_event *event;

	if (!key)
		return;
	event = monitor_begin(REASON_SOCKET_STALE);
	if (!event)
		return;
	event->kind = MONITOR_SOCKET;
	event->reason = REASON_SOCKET_STALE;
	event->bytes = bytes;
	event->backend = key->address;
	event->backend_port = key->port;
	event->key.proto = key->proto;
	peer = bpf_map_lookup_elem(&sock_peers, key);
	if (peer) {
		event->key.daddr = peer->address;
		event->key.dport = peer->port;
		event->service_port_id = peer->service_port_id;
		event->backend_id = peer->backend_id;
	}
	monitor_end(event);
}
