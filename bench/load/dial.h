/* Blocking sockets with a time-out, as a plain client uses them. */
#ifndef DIAL_H
#define DIAL_H
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "load.h"

static inline int new_socket(int type, unsigned int timeout_ms)
{
	int fd = socket(AF_INET, type, 0);
	struct timeval t = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	if (fd < 0)
		exit((perror("open a socket"), 1));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	return fd;
}

/* A socket connected to the address, or -1. */
static inline int dial(int type, const struct sockaddr_in *to, unsigned int timeout_ms)
{
	int fd = new_socket(type, timeout_ms), one = 1;

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to))) {
		close(fd);
		return -1;
	}
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Closes with a reset: no TIME_WAIT is left that would make ports scarce. */
static inline void reset(int fd)
{
	struct linger now = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Asks a stream who serves it. False: broken. @name: 16 bytes. */
static inline bool ask_name(int fd, char *name)
{
	ssize_t got = 0;

	if (write(fd, "Name?\n", 6) != 6)
		return false;
	while (got < 16) {
		ssize_t n = read(fd, name + got, 16 - got);

		if (n <= 0)
			return false;
		got += n;
	}
	return true;
}
#endif
