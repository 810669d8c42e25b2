/*
 * Runs a program on the same packet again and again. A program that rewrites its packet would meet its own
 * output when BPF_PROG_TEST_RUN repeats it: so these put the frame back first, and then jump to the program.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "restore.h"

#define OFFSET_MASK 127 /* for the verifier; the image is longer than this and two bytes */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct image);
	__uint(max_entries, 1);
} images SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} xdp_target SEC(".maps"), tc_target SEC(".maps");

/* Adds the difference of two 16-bit words to a checksum (RFC 1624). */
static __always_inline __u16 change(__u16 check, __u16 from, __u16 to)
{
	__u32 sum = (__u16)~check + (__u16)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* Makes the image another client's port, so that its flow is a new one. */
static __always_inline void next_port(struct image *image)
{
	__u32 source = image->source & OFFSET_MASK, check = image->check & OFFSET_MASK;
	__u16 before, after;

	before = *(__u16 *)(image->bytes + source);
	after = bpf_htons(bpf_ntohs(before) + 1);
	*(__u16 *)(image->bytes + source) = after;
	*(__u16 *)(image->bytes + check) = change(*(__u16 *)(image->bytes + check), before, after);
}

/* Returns 0 when the frame cannot be put back. */
static __always_inline int restore(void *data, void *end)
{
	__u32 zero = 0;
	struct image *image = bpf_map_lookup_elem(&images, &zero);

	if (!image || data + FRAME_BYTES > end)
		return 0;
	if (image->source)
		next_port(image);
	for (int i = 0; i < FRAME_BYTES / 8; i++)
		((__u64 *)data)[i] = ((__u64 *)image->bytes)[i];
	return 1;
}

SEC("xdp")
int restore_xdp(struct xdp_md *ctx)
{
	if (restore((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		bpf_tail_call(ctx, &xdp_target, 0);
	return XDP_ABORTED;
}

SEC("tc")
int restore_tc(struct __sk_buff *skb)
{
	skb->tc_index = 0;
	if (restore((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &tc_target, 0);
	return TC_ACT_STOLEN;
}

SEC("xdp")
int empty_xdp(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* A function that does nothing, called and returned from. */
static __attribute__((noinline)) int nothing(int value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/* What CALLS calls cost, of which a lookup in a hash table has several: mitigations make returns dear on some CPUs. */
SEC("xdp")
int calls_xdp(struct xdp_md *ctx)
{
	int value = XDP_PASS;

	_Static_assert(CALLS == 8, "as many as there are here");
	value = nothing(nothing(nothing(nothing(value))));
	return nothing(nothing(nothing(nothing(value))));
}

SEC("tc")
int empty_tc(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
