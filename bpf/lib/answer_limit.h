/*
 * Resets and ICMP errors are limited in rate, as the kernel limits its own (icmp_msgs_per_sec, icmp_ratelimit): else a
 * flood of packets to a port that nobody has costs an answer each, and one with a forged source sends them all to
 * whoever has that address. Each CPU has a budget, and each address that is answered.
 */
#pragma once

#include "address.h"
#include "clock.h"

/* Answers of a second. */
struct answer_budget {
	/* Jiffies. */
	__u32 began;
	__u32 made;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct answer_budget);
	__uint(max_entries, 1);
} answer_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct address);
	__type(value, struct answer_budget);
	__uint(max_entries, 4096);
} answer_clients SEC(".maps");

/* Is there room for one more? @limit: in a second; 0: none. */
INLINE bool answer_budget_left(struct answer_budget *budget, __u32 now, __u32 limit)
{
	if (!limit)
		return true;
	if (clock_passed(now, budget->began, 1)) {
		budget->began = now;
		budget->made = 0;
	}
	return budget->made < limit;
}

/* May @client be answered? Counts it. */
NOINLINE bool answer_may(const struct address *client)
{
	struct answer_budget *all, *own, first = {.began = clock_now(), .made = 1};
	__u32 zero = 0, now = first.began;
	struct address key;

	all = bpf_map_lookup_elem(&answer_budgets, &zero);
	if (!client || !all || !answer_budget_left(all, now, knobs.answers_per_second))
		return false;
	if (knobs.answers_per_client) {
		address_copy(&key, client);
		own = bpf_map_lookup_elem(&answer_clients, &key);
		if (!own)
			bpf_map_update_elem(&answer_clients, &key, &first, BPF_ANY);
		else if (!answer_budget_left(own, now, knobs.answers_per_client))
			return false;
		else
			own->made++;
	}
	all->made++;
	return true;
}
