/*
 * A packet generator in the kernel, and its sink.
 *
 * flood_source runs by BPF_PROG_TEST_RUN with live frames: it writes the next flow's UDP frame and sends
 * it out of a device. It waits (drops its own frame) while too many are under way, so that the receiver
 * is never fed more than it can take, and what is measured is the receiver.
 * flood_sink takes the frames off the wire again where they would reach the backend.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "flood.h"

#define GIVE_UP 1000000 /* turns of waiting after which packets under way count as lost */

const volatile struct flood flood = {};

__u64 sent;
__u64 sunk;
__u64 lost;
__u32 turn;
__u32 waited;

struct frame {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
	__u64 magic;
	__u8 rest[10];
} __attribute__((packed));

_Static_assert(sizeof(struct frame) == FLOOD_LENGTH, "the shortest Ethernet frame");

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int flood_source(struct xdp_md *context)
{
	struct frame *frame;
	__u32 flow, address, addresses, port, udp_length = sizeof(*frame) - ETH_HLEN - sizeof(struct iphdr);

	if (sent - *(volatile __u64 *)&sunk - lost >= flood.window) {
		if (++waited < GIVE_UP)
			return XDP_DROP;
		lost = sent - sunk;
	}
	waited = 0;
	if (bpf_xdp_adjust_head(context, FLOOD_HEADROOM))
		return XDP_ABORTED;
	frame = (void *)(long)context->data;
	if ((void *)(frame + 1) > (void *)(long)context->data_end)
		return XDP_ABORTED;
	flow = turn++;
	if (turn >= flood.flows)
		turn = 0;
	address = flood.source + flow / FLOOD_PORTS;
	port = FLOOD_FIRST_PORT + flow % FLOOD_PORTS;
	addresses = (address >> 16) + (address & 0xffff) + (flood.destination >> 16) + (flood.destination & 0xffff);

	for (int i = 0; i < ETH_HLEN; i++)
		((__u8 *)&frame->ethernet)[i] = flood.ethernet[i];
	frame->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(sizeof(*frame) - ETH_HLEN),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = bpf_htonl(address),
		.daddr = bpf_htonl(flood.destination),
	};
	frame->ip.check = bpf_htons(fold(0x4500 + sizeof(*frame) - ETH_HLEN + 0x4000 + IPPROTO_UDP + addresses));
	frame->udp = (struct udphdr){
		.source = bpf_htons(port),
		.dest = flood.port,
		.len = bpf_htons(udp_length),
	};
	frame->magic = FLOOD_MAGIC;
	__builtin_memset(frame->rest, 0, sizeof(frame->rest));
	frame->udp.check = bpf_htons(fold(addresses + IPPROTO_UDP + 2 * udp_length + port + bpf_ntohs(flood.port) +
					  bpf_ntohs(FLOOD_MAGIC & 0xffff) + bpf_ntohs(FLOOD_MAGIC >> 16 & 0xffff) +
					  bpf_ntohs(FLOOD_MAGIC >> 32 & 0xffff) + bpf_ntohs(FLOOD_MAGIC >> 48)));
	sent++;
	return bpf_redirect(flood.ifindex, 0);
}

static __always_inline int is_ours(void *payload, void *end)
{
	return payload + sizeof(__u64) <= end && *(__u64 *)payload == FLOOD_MAGIC;
}

/*
 * What a node sends that has the backend's node answer: one more IPv4 header (IP in IP); or IPv4, UDP and Geneve with
 * its option of 12 bytes.
 */
#define IPIP_LENGTH (sizeof(struct iphdr))
#define GENEVE_LENGTH (sizeof(struct iphdr) + sizeof(struct udphdr) + 8 + 12)

/* The payload stands behind Ethernet, IPv4 and UDP, or so much further. */
SEC("xdp")
int flood_sink(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	const int headers = sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr);

	if (!is_ours(data + headers, end) && !is_ours(data + headers + IPIP_LENGTH, end) &&
	    !is_ours(data + headers + GENEVE_LENGTH, end))
		return XDP_PASS;
	__sync_fetch_and_add(&sunk, 1);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
