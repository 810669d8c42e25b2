/*
 * load hold --targets A:P,… [--connections N]
 *
 * Opens connections and keeps them. For each line on stdin it uses every connection once and prints
 * {"alive":…,"broken":…,"backends":{…}}: which backends answered on those that live. Ends with stdin.
 */
#include "dial.h"

int hold_main(int argc, char **argv)
{
	static struct targets targets;
	static int fds[65536];
	int wanted = atoi(option(argc, argv, "--connections", "100")), n = 0;
	char line[64];

	parse_targets(&targets, (char *)option(argc, argv, "--targets", ""));
	for (int i = 0; i < wanted && i < 65536; i++) {
		int fd = dial(SOCK_STREAM, &targets.at[i % targets.count], 900);

		if (fd >= 0)
			fds[n++] = fd;
	}
	do {
		struct names names = {};
		int alive = 0;

		for (int i = 0; i < n; i++) {
			char name[16];

			if (!ask_name(fds[i], name))
				continue;
			names_add(&names, name);
			alive++;
		}
		printf("{\"alive\":%d,\"broken\":%d,", alive, wanted - alive);
		names_print(&names);
		printf("}\n");
		fflush(stdout);
	} while (fgets(line, sizeof(line), stdin));
	for (int i = 0; i < n; i++)
		reset(fds[i]);
	return 0;
}
