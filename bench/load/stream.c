/*
 * load stream --targets A:P [--seconds S] [--mode ping|bulk] [--bytes N]
 *
 * One established connection. ping: a request of N bytes and the same back, again and again. bulk:
 * blocks of N bytes to a sink.
 */
#include "dial.h"

static bool exchange(int fd, char *block, size_t bytes)
{
	size_t got = 0;

	if (write(fd, block, bytes) != (ssize_t)bytes)
		return false;
	while (got < bytes) {
		ssize_t n = read(fd, block + got, bytes - got);

		if (n <= 0)
			return false;
		got += n;
	}
	return true;
}

int stream_main(int argc, char **argv)
{
	static struct targets targets;
	static struct histogram latency;
	double seconds = atof(option(argc, argv, "--seconds", "1"));
	bool bulk = *option(argc, argv, "--mode", "ping") == 'b';
	size_t bytes = atoi(option(argc, argv, "--bytes", bulk ? "131072" : "64"));
	char *block = calloc(1, bytes);
	uint64_t start, end, cpu, sent = 0;
	int fd;

	parse_targets(&targets, (char *)option(argc, argv, "--targets", ""));
	fd = dial(SOCK_STREAM, &targets.at[0], 2000);
	if (fd < 0)
		exit((perror("dial the target of a stream"), 1));
	memset(block, 'e', bytes);
	start = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	cpu = cpu_us();
	for (uint64_t before = start; before < end;) {
		ssize_t n = bytes;

		if (bulk)
			n = write(fd, block, bytes);
		else if (!exchange(fd, block, bytes))
			n = -1;
		if (n < 0)
			exit((perror("use a stream"), 1));
		sent += n;
		uint64_t after = now_ns();
		histogram_add(&latency, after - before);
		before = after;
	}
	seconds = (now_ns() - start) / 1e9;
	printf("{\"count\":%llu,\"errors\":0,\"seconds\":%.6f,\"perSecond\":%.1f,\"bytes\":%llu,\"clientCpuUs\":%llu,",
	       (unsigned long long)latency.count, seconds, latency.count / seconds, (unsigned long long)sent,
	       (unsigned long long)(cpu_us() - cpu));
	histogram_print(&latency);
	printf("}\n");
	return 0;
}
