/*
 * The packet path in XDP, on node devices: a packet from outside whose backend is elsewhere, and its
 * answer, are rewritten and sent out again before an skb is made of them. Everything else, and every
 * hard case, passes on as it came; tc meets it then, with the same maps and the same rules.
 */
#include "lib/packet_xdp.h"
#include "lib/binding.h"
#include "lib/established.h"
#include "lib/frontend.h"
#include "lib/known.h"
#include "lib/lookup.h"
#include "lib/monitor_packet.h"
#include "lib/new_flow.h"
#include "lib/owner.h"
#include "lib/signals.h"
#include "lib/rewrite.h"
#include "lib/stats.h"

/* Can a packet be sent out by the device from here: by the one it came in by, or one that has XDP too? */
INLINE bool device_takes(const struct xdp_md *ctx, __u32 ifindex)
{
	const struct device *device;

	if (likely(ifindex == ctx->ingress_ifindex))
		return true;
	device = device_of(ifindex);
	return device && (device->xdp == XDP_CHOICE_NATIVE || device->xdp == XDP_CHOICE_GENERIC);
}

/* Has the frame this destination, the MAC address of the device? Whether another's is for this node too, tc knows. */
INLINE bool frame_is_for(const struct xdp_md *ctx, const __u8 *mac)
{
	const __u16 *wanted = (const __u16 *)mac, *to = context_data(ctx);

	return (void *)(to + ETH_ALEN / 2) <= context_end(ctx) && to[0] == wanted[0] && to[1] == wanted[1] &&
	       to[2] == wanted[2];
}

/* Is the frame for the device that it came in by? A flow that leaves by the same one knows its MAC address. */
INLINE bool frame_is_ours(const struct xdp_md *ctx, const struct flow *flow)
{
	const struct device *device;

	if (likely(flow->ifindex == ctx->ingress_ifindex && frame_is_for(ctx, flow->smac)))
		return true;
	device = device_of(ctx->ingress_ifindex);
	return device && frame_is_for(ctx, device->mac);
}

/* Rewrites the packet and sends it to the next hop. Returns an XDP verdict; XDP_PASS: it is as it came. */
INLINE int carry(struct xdp_md *ctx, const struct packet *packet, const struct flow *flow, bool v4)
{
	void *data = context_data(ctx);

	if (data + ETH_HLEN > context_end(ctx) || !rewrite_plain(ctx, packet, flow, true, v4))
		return XDP_PASS;
	nexthop_write(data, flow);
	return likely(flow->ifindex == ctx->ingress_ifindex) ? XDP_TX : bpf_redirect(flow->ifindex, 0);
}

/* The packet's connection may be established with it. */
NOINLINE void promote(const struct packet *packet)
{
	struct scratch *scratch = scratch_get();

	if (!scratch || !packet)
		return;
	scratch->packet.key = packet->key;
	flow_promote();
	flow_forget_all();
}

/*
 * An established or half-open flow has the packet. @writes: flow.writes before the key was compared. Returns an XDP
 * verdict.
 */
INLINE int carry_established(struct xdp_md *ctx, const struct packet *packet, struct flow *flow, __u32 writes,
			     bool half_open, bool v4)
{
	__u32 now = clock_now();
	int verdict;

	if (!binding_holds(ctx, packet, flow) || (flow->flags & (FLOW_REDIRECT | FLOW_DSR)) != FLOW_REDIRECT ||
	    (flow->mtu && packet->bytes > flow->mtu) || !nexthop_holds(flow, fib_generation(), now) ||
	    !frame_is_ours(ctx, flow) || !device_takes(ctx, flow->ifindex))
		return XDP_PASS;
	verdict = carry(ctx, packet, flow, v4);
	if (unlikely(verdict == XDP_PASS))
		return verdict;
	if (unlikely(!half_open && flow_was_replaced(flow, writes))) {
		stats_count(REASON_DROP_REWRITE, packet->bytes);
		return XDP_DROP;
	}
	flow_use(flow, packet, now);
	if (unlikely(half_open) && flow_may_promote(flow, packet))
		promote(packet);
	stats_count(REASON_REDIRECTED_XDP, packet->bytes);
	return verdict;
}

/*
 * No flow has the packet that stands in the scratch memory. When it is for a frontend, from outside
 * and its backend is elsewhere, behind a next hop that is known, its flow begins here. Up to that
 * point nothing is written, so that tc can decide anew.
 * @stale: a flow has it that is to be forgotten.
 * Returns an XDP verdict.
 */
GLOBAL int begin(struct xdp_md *ctx, __u32 stale)
{
	struct scratch *scratch = scratch_get();
	const struct frontend *frontend;
	const struct backend_slot *slot;
	struct route route = {};
	struct packet *packet;
	enum source source;
	__u32 reason;
	bool refuse, v4;

	if (!scratch)
		return XDP_PASS;
	packet = &scratch->packet;
	v4 = packet_is_v4(packet);
	frontend = frontend_of_packet(ctx, &packet->key, &refuse);
	if (likely(!frontend) || standing_by())
		return XDP_PASS;
	route.in = device_of(ctx->ingress_ifindex);
	if (!route.in || !(route.in->flags & DEVICE_NODE) || !frame_is_for(ctx, route.in->mac) ||
	    packet_is_partial(ctx, packet, v4) || !source_is_allowed(packet, frontend))
		return XDP_PASS;
	source = source_of(ctx, packet, route.in);
	if (source == SOURCE_IMPOSSIBLE || owner_awaits(ctx, packet) || owner_is_proxy(ctx, packet, frontend))
		return XDP_PASS;
	/* Chosen once: tc has the packets of backends here, which would take a second turn. */
	if (frontend->flags & FRONTEND_IN_TURN)
		return XDP_PASS;
	slot = backend_select(frontend, source != SOURCE_OUTSIDE, &packet->key.saddr, &packet->key, &packet->key.daddr,
			      packet_number(&packet->key));
	if (!slot || slot->flags & BACKEND_LOCAL || frontend->flags & FRONTEND_DSR)
		return XDP_PASS;
	route.snat = source_is_translated(source, frontend->flags);
	if (flow_route(ctx, packet, slot, &route, scratch) != REASON_NEW_FLOW || !route_redirects(&route, slot) ||
	    !scratch->next.resolved || packet->bytes > scratch->next.mtu || !device_takes(ctx, scratch->next.ifindex))
		return XDP_PASS;
	if (stale)
		flow_delete(&packet->key);
	reason = flow_begin(ctx, packet, frontend, slot, &route, scratch);
	flow_forget_all();
	stats_count(reason, packet->bytes);
	signal_count(frontend->service_port_id, reason == REASON_NEW_FLOW ? SIGNAL_OPENED : SIGNAL_DROPPED);
	monitor_packet(reason);
	if (reason != REASON_NEW_FLOW)
		return XDP_DROP;
	return v4 ? carry(ctx, packet, &scratch->flow, true) : carry(ctx, packet, &scratch->flow, false);
}

/* @v4: the family, known when this is compiled. Returns an XDP verdict. */
INLINE int carry_any(struct xdp_md *ctx, bool v4)
{
	const struct control *settings;
	struct packet packet;
	struct scratch *scratch;
	bool half_open = false;
	struct flow *flow;
	__u32 writes;
	__u64 hash;

	if (!packet_parse_plain(ctx, &packet, HOOK_INGRESS, v4) || packet.ttl <= 1 || packet.bytes > knobs.xdp_mtu)
		return XDP_PASS;
	if (!address_is_known(known_get(), &packet.key.daddr))
		return XDP_PASS;
	settings = flow_settings();
	if (!settings)
		return XDP_PASS;
	hash = flow_hash(settings, &packet.key);
	flow = established_find_fast(&packet.key, hash, settings, &writes);
	if (!flow) {
		/* Of TCP, tc alone looks at what follows the first packet of a half-open flow. */
		if (!packet_may_begin(&packet))
			return XDP_PASS;
		flow = half_open_find_hashed(&packet.key, hash);
		half_open = flow;
		if (!flow) {
			flow = established_find_hashed(&packet.key, hash);
			writes = flow ? flow->writes : 0;
		}
	}
	if (flow && likely(!begins_anew(&packet, flow, half_open)))
		return carry_established(ctx, &packet, flow, writes, half_open, v4);
	scratch = scratch_get();
	if (!scratch)
		return XDP_PASS;
	scratch->packet = packet;
	return begin(ctx, flow != NULL);
}

SEC("xdp")
int xdp_ingress(struct xdp_md *ctx)
{
	switch (context_protocol(ctx)) {
	case bpf_htons(ETH_P_IP):
		return carry_any(ctx, true);
	case bpf_htons(ETH_P_IPV6):
		return carry_any(ctx, false);
	default:
		return XDP_PASS;
	}
}

char LICENSE[] SEC("license") = "GPL";
