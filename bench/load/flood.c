/*
 * load flood --object FILE --out DEVICE --mac TO --from MAC --source A --target A:P
 *            [--sink-netns PATH] [--sink DEVICE] [--flows N] [--window N] [--seconds S] [--receiver NETNS:DEVICE]
 *
 * Sends UDP frames out of a device of this network namespace with bpf/flood.bpf.c and counts what
 * reaches the sink. With --sink "" nothing is taken off and each flow is sent twice, slowly: that
 * lets backends answer, so that flows are established. --receiver's device gets generic receive
 * offload, so that its driver polls as a network card's does.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "load.h"
#include "../bpf/flood.h"

struct counts { /* .bss of the object, as declared there */
	uint64_t sent, sunk, lost;
	uint32_t turn, waited;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void enter(const char *netns)
{
	int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(netns);
	close(fd);
}

static void receive_offload(const char *device)
{
	struct ethtool_value on = {.cmd = ETHTOOL_SGRO, .data = 1};
	struct ifreq request = {.ifr_data = (void *)&on};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCETHTOOL, &request))
		die("turn on generic receive offload");
	close(fd);
}

static void parse_mac(uint8_t *to, const char *text)
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4, to + 5) != 6)
		exit((fprintf(stderr, "read MAC address %s\n", text), 2));
}

static void emit(int program, unsigned int repeat)
{
	static uint8_t frame[FLOOD_HEADROOM + FLOOD_LENGTH];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame), .repeat = repeat,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);

	if (bpf_prog_test_run_opts(program, &run))
		die("run the generator with live frames (kernel 5.18)");
}

static struct bpf_map *find_map(struct bpf_object *object, const char *section)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		if (strstr(bpf_map__name(map), section))
			return map;
	}
	exit((fprintf(stderr, "find section %s of the generator\n", section), 1));
}

int flood_main(int argc, char **argv)
{
	const char *sink = option(argc, argv, "--sink", ""), *sink_netns = option(argc, argv, "--sink-netns", NULL);
	char *receiver = (char *)option(argc, argv, "--receiver", NULL);
	const char *source = option(argc, argv, "--source", "198.18.0.1");
	double seconds = atof(option(argc, argv, "--seconds", "1"));
	struct bpf_object *object = bpf_object__open_file(option(argc, argv, "--object", "flood.bpf.o"), NULL);
	struct flood flood = {.flows = atoi(option(argc, argv, "--flows", "4096")),
			      .window = atoi(option(argc, argv, "--window", "192"))};
	static struct targets targets;
	struct counts *counts, first;
	struct in_addr address;
	uint64_t start, now;
	int program, home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	parse_targets(&targets, (char *)option(argc, argv, "--target", ""));
	inet_pton(AF_INET, source, &address);
	parse_mac(flood.ethernet, option(argc, argv, "--mac", ""));
	parse_mac(flood.ethernet + 6, option(argc, argv, "--from", ""));
	flood.ethernet[12] = 8;
	flood.source = ntohl(address.s_addr);
	flood.destination = ntohl(targets.at[0].sin_addr.s_addr);
	flood.port = targets.at[0].sin_port;
	flood.ifindex = if_nametoindex(option(argc, argv, "--out", "eth0"));
	if (!object || !flood.ifindex)
		die("open the generator and its device");
	if (!*sink)
		flood.window = -1;
	bpf_map__set_initial_value(find_map(object, ".rodata"), &flood, sizeof(flood));
	if (bpf_object__load(object))
		die("load the generator");
	counts = mmap(NULL, sizeof(*counts), PROT_READ, MAP_SHARED, bpf_map__fd(find_map(object, ".bss")), 0);
	if (counts == MAP_FAILED)
		die("map the generator's counts");
	program = bpf_program__fd(bpf_object__find_program_by_name(object, "flood_source"));

	if (receiver) {
		char *device = strchr(receiver, ':');

		*device++ = 0;
		enter(receiver);
		receive_offload(device);
		setns(home, CLONE_NEWNET);
	}
	if (!*sink) {
		for (unsigned int i = 0; i < 3 * flood.flows; i += 64) {
			emit(program, 64);
			usleep(1000);
		}
		printf("{\"sent\":%llu}\n", (unsigned long long)counts->sent);
		return 0;
	}
	if (sink_netns)
		enter(sink_netns);
	if (bpf_xdp_attach(if_nametoindex(sink),
			   bpf_program__fd(bpf_object__find_program_by_name(object, "flood_sink")), XDP_FLAGS_DRV_MODE,
			   NULL))
		die("attach the sink");
	setns(home, CLONE_NEWNET);
	emit(program, 1 << 16);
	first = *counts;
	start = now_ns();
	do {
		emit(program, 1 << 16);
		now = now_ns();
	} while (now - start < seconds * 1e9);
	usleep(10000);
	seconds = (now - start) / 1e9;
	printf("{\"sent\":%llu,\"received\":%llu,\"lost\":%llu,\"seconds\":%.6f,\"perSecond\":%.0f}\n",
	       (unsigned long long)(counts->sent - first.sent), (unsigned long long)(counts->sunk - first.sunk),
	       (unsigned long long)(counts->lost - first.lost), seconds, (counts->sunk - first.sunk) / seconds);
	if (sink_netns)
		enter(sink_netns);
	bpf_xdp_detach(if_nametoindex(sink), XDP_FLAGS_DRV_MODE, NULL);
	return 0;
}
