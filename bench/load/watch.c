/*
 * load watch --targets A:P [--every US] [--timeout MS] [--protocol tcp|udp]
 *
 * Asks a target for its name with a new socket each time, until SIGTERM. Prints a line whenever
 * another backend answers: {"at":NANOSECONDS,"name":"…"}, "-" for no answer; `at` is CLOCK_MONOTONIC
 * when the question was sent. Ends with {"count":…,"errors":…}.
 */
#include <errno.h>
#include <signal.h>
#include "dial.h"

static volatile sig_atomic_t over;

static void stop(int signal)
{
	(void)signal;
	over = 1;
}

int watch_main(int argc, char **argv)
{
	static struct targets targets;
	struct timespec pause = {0, atol(option(argc, argv, "--every", "200")) * 1000};
	unsigned int timeout = atoi(option(argc, argv, "--timeout", "50"));
	int type = *option(argc, argv, "--protocol", "udp") == 't' ? SOCK_STREAM : SOCK_DGRAM;
	struct sigaction action = {.sa_handler = stop};
	uint64_t count = 0, errors = 0;
	char last[16] = "";

	sigaction(SIGTERM, &action, NULL);
	parse_targets(&targets, (char *)option(argc, argv, "--targets", ""));
	while (!over) {
		char name[16] = "-";
		uint64_t at = now_ns();
		int fd = dial(type, &targets.at[0], timeout);
		bool ok = fd >= 0;

		if (ok && type == SOCK_STREAM)
			ok = ask_name(fd, name);
		else if (ok)
			ok = send(fd, "Name?\n", 6, 0) == 6 && recv(fd, name, sizeof(name), 0) == sizeof(name);
		if (fd >= 0)
			reset(fd);
		count++;
		if (!ok) {
			errors += !over;
			strcpy(name, "-");
		}
		if (strncmp(name, last, sizeof(last)) && !over) {
			printf("{\"at\":%llu,\"name\":\"%.15s\"}\n", (unsigned long long)at, name);
			fflush(stdout);
			memcpy(last, name, sizeof(last));
		}
		if (pause.tv_nsec)
			nanosleep(&pause, NULL);
	}
	printf("{\"count\":%llu,\"errors\":%llu}\n", (unsigned long long)count, (unsigned long long)errors);
	return 0;
}
