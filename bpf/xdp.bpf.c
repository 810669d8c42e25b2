/*
 * The packet path in XDP, on node devices: a packet from outside whose backend is elsewhere, and its
 * answer, are rewritten and sent out again before an skb is made of them. Everything else, and every
 * hard case, passes on as it came; tc meets it then, with the same maps and the same rules.
 */
#include "lib/packet_xdp.h"
#include "lib/established.h"
#include "lib/fib.h"
#include "lib/rewrite_xdp.h"
#include "lib/source.h"
#include "lib/stats.h"

/* Can a packet be sent out by the device from here: by the one it came in by, or one that has XDP too? */
INLINE bool device_takes(const struct xdp_md *ctx, __u32 ifindex)
{
	struct device_key key = {.ifindex = ifindex};
	const struct device *device;

	if (likely(ifindex == ctx->ingress_ifindex))
		return true;
	device = bpf_map_lookup_elem(&devices, &key);
	return device && (device->xdp == XDP_CHOICE_NATIVE || device->xdp == XDP_CHOICE_GENERIC);
}

/* Is the packet one that flow and program can carry here, as it stands? */
INLINE bool may_carry(const struct xdp_md *ctx, const struct packet *packet, const struct flow *flow, __u32 now)
{
	return flow->flags & FLOW_REDIRECT && !(flow->flags & FLOW_DSR) && (!flow->mtu || packet->bytes <= flow->mtu) &&
	       packet->key.proto != IPPROTO_SCTP && packet->ttl > 1 && packet->bytes <= knobs.xdp_mtu &&
	       nexthop_holds(flow, fib_generation(), now) && device_takes(ctx, flow->ifindex);
}

/* The packet's connection may be established with it. */
NOINLINE void promote(const struct packet *packet)
{
	struct scratch *scratch = scratch_get();

	if (!scratch || !packet)
		return;
	scratch->packet.key = packet->key;
	flow_promote();
}

SEC("xdp")
int xdp_ingress(struct xdp_md *ctx)
{
	struct packet packet;
	struct flow *flow;
	bool half_open;
	__u32 now;

	if (packet_parse(ctx, &packet, HOOK_INGRESS) != PACKET_FLOW)
		return XDP_PASS;
	flow = flow_find(&packet.key, &half_open);
	if (!flow || unlikely(begins_anew(&packet, flow, half_open)))
		return XDP_PASS;
	now = clock_now();
	if (!may_carry(ctx, &packet, flow, now) || !rewrite_packet(ctx, &packet, flow))
		return XDP_PASS;
	flow_use(flow, &packet, now);
	if (unlikely(half_open) && flow_may_promote(flow, &packet))
		promote(&packet);
	stats_count(REASON_REDIRECTED_XDP, packet.bytes);
	return flow->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(flow->ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
