/* The benchmark's load generator: one program, a command a kind of load. Each prints one JSON object. */
#include <signal.h>
#include "load.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{"serve", serve_main},	     /* answers on TCP and UDP until it is killed */
	{"connect", connect_main},   /* new TCP connections, as many as it can */
	{"datagram", datagram_main}, /* UDP request and response */
	{"stream", stream_main},     /* request and response, or bulk, on established TCP */
	{"watch", watch_main},	     /* asks again and again; prints when another backend answers */
	{"flood", flood_main},	     /* packets, from the kernel */
	{"hold", hold_main},	     /* keeps connections open and says which of them break */
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	for (unsigned int i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc, argv);
	fprintf(stderr, "usage: load serve|connect|datagram|stream|watch|flood|hold [--option value]...\n");
	return 2;
}
