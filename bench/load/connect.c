/*
 * load connect --targets A:P,… [--seconds S] [--count N] [--request none|name|http]
 *
 * Opens one connection after another, targets in random order, and closes each with a reset. With
 * `name` and `http` a request is answered in between, and the latency includes it. CPU bound: on one
 * core the rate is what dialling costs.
 */
#include "dial.h"

static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

/* Reads to the end of the answer. False: broken. */
static bool ask_http(int fd)
{
	char answer[512];
	ssize_t n;
	int got = 0;

	if (write(fd, request, sizeof(request) - 1) < 0)
		return false;
	while ((n = read(fd, answer, sizeof(answer))) > 0)
		got += n;
	return n == 0 && got > 0;
}

int connect_main(int argc, char **argv)
{
	static struct targets targets;
	static struct histogram latency;
	static struct names names;
	double seconds = atof(option(argc, argv, "--seconds", "1"));
	uint64_t limit = strtoull(option(argc, argv, "--count", "0"), NULL, 10), errors = 0;
	const char *kind = option(argc, argv, "--request", "none");
	uint64_t start, end, cpu;

	parse_targets(&targets, (char *)option(argc, argv, "--targets", ""));
	start = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	cpu = cpu_us();
	for (uint64_t before = start; before < end && (!limit || latency.count + errors < limit);) {
		int fd = dial(SOCK_STREAM, &targets.at[next_random() % targets.count], 900);
		bool ok = fd >= 0;
		char name[16] = "";
		uint64_t after;

		if (ok && *kind == 'n' && kind[1] == 'a') {
			ok = ask_name(fd, name);
			if (ok)
				names_add(&names, name);
		} else if (ok && *kind == 'h') {
			ok = ask_http(fd);
		}
		after = now_ns();
		if (fd >= 0)
			reset(fd);
		if (ok)
			histogram_add(&latency, after - before);
		else
			errors++;
		before = now_ns();
	}
	seconds = (now_ns() - start) / 1e9;
	printf("{\"count\":%llu,\"errors\":%llu,\"seconds\":%.6f,\"perSecond\":%.1f,\"clientCpuUs\":%llu,",
	       (unsigned long long)latency.count, (unsigned long long)errors, seconds, latency.count / seconds,
	       (unsigned long long)(cpu_us() - cpu));
	histogram_print(&latency);
	printf(",");
	names_print(&names);
	printf("}\n");
	return 0;
}
