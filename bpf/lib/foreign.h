/*
 * Answers to what others send. Whoever speaks from the address and port of a frontend without being its backend (a
 * process whose port is a NodePort, a pod that netfilter masquerades with such a port, a server on the address of a
 * Service) has answers that look like a Service's packets. In TCP they begin nothing, but a SYN of the other side would
 * meet their connection. A datagram may begin a flow, so its answer is noted when the question leaves, by whichever
 * device; and when it comes in for a process of this node, whose answer leaves:
 *
 *   out  V>C: in   C>V => C>V
 *   in   V>C: out  C>V => C>V
 */
#pragma once

#include "established.h"
#include "known.h"
#include "lookup.h"
#include "owner.h"

/*
 * May the packet, which no flow has, have answers that look like a Service's? Of TCP and SCTP what begins a connection
 * and leaves: else a SYN of the other side, forged perhaps, would begin a flow over the connection.
 */
INLINE bool foreign_may_answer(const struct packet *packet)
{
	const struct known_addresses *known = known_get();

	if (packet->key.proto != IPPROTO_UDP && (packet->key.hook == HOOK_INGRESS || !packet_may_begin(packet)))
		return false;
	return port_is_known(known, packet->key.sport) && address_is_known(known, &packet->key.saddr);
}

/*
 * Can the packet be from where it says, an address and port of a Service? Whoever forges that would take the answers,
 * which are another client's packets to the Service, away from it. So nothing comes from a cluster IP, and from behind
 * the node's own devices only what netfilter masquerades. Nothing is sent out again where it came in, as if two hosts
 * outside needed this one between them; and to this node comes what a socket waits for.
 * @ifindex: the device that it came in by; 0: the node sends it.
 */
NOINLINE bool foreign_is_genuine(struct __sk_buff *skb, const struct packet *packet, __u32 ifindex)
{
	const struct device *in;

	if (!packet || address_is_virtual(&packet->key.saddr))
		return false;
	in = ifindex ? device_of(ifindex) : NULL;
	if (in && !(in->flags & DEVICE_NODE))
		return node_address_flags(&packet->key.saddr) & NODE_ADDRESS_LOCAL;
	if (packet->key.hook == HOOK_EGRESS)
		return ifindex != skb->ifindex;
	return node_address_flags(&packet->key.daddr) & NODE_ADDRESS_LOCAL && owner_is_socket(skb, &packet->key, false);
}

/*
 * Notes the answers to the packet in the scratch memory, when it comes from where a frontend is. @hook: theirs.
 * @ifindex: as foreign_is_genuine has it.
 */
GLOBAL int foreign_note(struct __sk_buff *skb, __u32 hook, __u32 ifindex)
{
	struct scratch *scratch = scratch_get();
	struct packet *packet;
	struct flow_key *key;
	struct flow *flow;
	bool half_open;

	if (!scratch)
		return 0;
	packet = &scratch->packet;
	if (!frontend_lookup(&packet->key.saddr, packet->key.sport, packet->key.proto, false) ||
	    !foreign_is_genuine(skb, packet, ifindex))
		return 0;
	key = &scratch->answer[ANSWER_FRONTEND];
	flow_key_reverse(key, &packet->key, hook);
	flow = flow_find(key, &half_open);
	if (flow && !flow_expired(flow, key->proto, half_open)) {
		if (flow->flags & FLOW_FOREIGN)
			flow->last_seen = clock_now();
		return 0;
	}
	if (flow)
		flow_delete(key);
	flow = &scratch->flow;
	__builtin_memset(flow, 0, sizeof(*flow));
	address_copy(&flow->saddr, &key->saddr);
	address_copy(&flow->daddr, &key->daddr);
	flow->sport = key->sport;
	flow->dport = key->dport;
	/* OUTPUT: it is the first that the packets meet, so its time is looked at. */
	flow->flags = FLOW_FOREIGN | (hook == HOOK_EGRESS ? FLOW_OUTPUT : 0);
	flow->created = clock_now();
	flow->last_seen = flow->created;
	flow_put(ANSWER_FRONTEND);
	return 0;
}

/* An answer has come: both sides have spoken. The packet stands in the scratch memory, @flow is its entry. */
INLINE void foreign_use(struct flow *flow, const struct packet *packet, bool half_open)
{
	flow_use(flow, packet, clock_now());
	if (unlikely(half_open))
		flow_promote_one(ANSWER_MAX);
}
