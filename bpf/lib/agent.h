/* What the agent itself dials no Service takes, whatever addresses its object names. */
#pragma once

#include "common.h"

/* The agent makes itself known by a UDP socket that it connects there. Nothing is ever sent. */
#define AGENT_KNOCK_ADDRESS bpf_htonl(0x7f000001)
#define AGENT_KNOCK_PORT bpf_htons(9)

INLINE struct agent_process *agent_process_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&agent_process, &zero);
}

/* The socket with this cookie is being connected: is it the one that the agent names? Then the caller is the agent. */
INLINE void agent_knock(__u64 cookie)
{
	struct agent_process *agent = agent_process_get();

	if (!agent || !cookie || agent->cookie != cookie)
		return;
	agent->cgroup = bpf_get_current_cgroup_id();
	agent->tgid = bpf_get_current_pid_tgid() >> 32;
}

/* Is the caller the agent? A process id that is used again is another's; in the same cgroup that hardly happens. */
INLINE bool agent_calls(void)
{
	const struct agent_process *agent = agent_process_get();

	return agent && agent->tgid && agent->tgid == bpf_get_current_pid_tgid() >> 32 &&
	       agent->cgroup == bpf_get_current_cgroup_id();
}

/* A socket of the agent's dials what is a frontend too: its packets are left alone. */
INLINE void agent_remember(__u64 cookie)
{
	struct cookie_key key = {.cookie = cookie};
	struct mark mark = {};

	bpf_map_update_elem(&agent_sockets, &key, &mark, BPF_ANY);
}

/* Is it a packet of such a socket? @skb: at egress. */
NOINLINE bool agent_dialled(struct __sk_buff *skb)
{
	struct cookie_key key = {};

	if (!skb)
		return false;
	key.cookie = bpf_get_socket_cookie(skb);
	return key.cookie && bpf_map_lookup_elem(&agent_sockets, &key);
}
