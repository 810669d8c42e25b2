/*
 * load datagram --targets A:P,… [--seconds S] [--socket fresh|kept]
 *
 * UDP request and response. fresh: a socket of its own for each, connected. kept: one unconnected
 * socket that sends to every target in turn, as a resolver does.
 */
#include "dial.h"

int datagram_main(int argc, char **argv)
{
	static struct targets targets;
	static struct histogram latency;
	double seconds = atof(option(argc, argv, "--seconds", "1"));
	bool fresh = *option(argc, argv, "--socket", "fresh") == 'f';
	int kept = fresh ? -1 : new_socket(SOCK_DGRAM, 200);
	uint64_t start, end, cpu, errors = 0;

	parse_targets(&targets, (char *)option(argc, argv, "--targets", ""));
	start = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	cpu = cpu_us();
	for (uint64_t before = start; before < end;) {
		const struct sockaddr_in *to = &targets.at[next_random() % targets.count];
		int fd = fresh ? dial(SOCK_DGRAM, to, 200) : kept;
		bool ok = fd >= 0;
		char answer[64];
		uint64_t after;

		if (ok && fresh)
			ok = send(fd, "Name?\n", 6, 0) == 6;
		else if (ok)
			ok = sendto(fd, "Name?\n", 6, 0, (const struct sockaddr *)to, sizeof(*to)) == 6;
		if (ok)
			ok = recv(fd, answer, sizeof(answer), 0) > 0;
		if (fresh && fd >= 0)
			close(fd);
		after = now_ns();
		if (ok)
			histogram_add(&latency, after - before);
		else
			errors++;
		before = after;
	}
	seconds = (now_ns() - start) / 1e9;
	printf("{\"count\":%llu,\"errors\":%llu,\"seconds\":%.6f,\"perSecond\":%.1f,\"clientCpuUs\":%llu,",
	       (unsigned long long)latency.count, (unsigned long long)errors, seconds, latency.count / seconds,
	       (unsigned long long)(cpu_us() - cpu));
	histogram_print(&latency);
	printf("}\n");
	return 0;
}
