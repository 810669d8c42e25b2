/*
 * load serve --name NAME [--tcp PORT] [--sink PORT] [--udp PORT]
 *
 * tcp: what begins with 'G' is taken for an HTTP request, answered and closed; 'N' is answered with
 *      the name, padded to 16 bytes; anything else is sent back. sink: read and forgotten.
 * udp: the name, padded to 16 bytes.
 * One thread, epoll, level triggered: enough to keep a core busy.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "load.h"

#define BULK (256 * 1024)
enum role { LISTEN_TCP = 1, LISTEN_SINK, DATAGRAM, STREAM, SINK };

static char name[16];
static char http[128];
static int http_length;
static char buffer[BULK];

static int open_port(int type, int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || (type == SOCK_STREAM && listen(fd, 8192)))
		exit((perror("open a port to serve"), 1));
	return fd;
}

static void watch_fd(int epoll, int fd, enum role role)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)role << 32 | (uint32_t)fd};

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

static void accept_all(int epoll, int listener, enum role role)
{
	int one = 1;

	for (int i = 0; i < 64; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch_fd(epoll, fd, role);
	}
}

static void answer_datagrams(int fd)
{
	for (int i = 0; i < 64; i++) {
		struct sockaddr_in from;
		socklen_t length = sizeof(from);

		if (recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length) < 0)
			return;
		sendto(fd, name, sizeof(name), 0, (struct sockaddr *)&from, length);
	}
}

static void serve_stream(int fd, enum role role)
{
	ssize_t n = read(fd, buffer, sizeof(buffer));

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			close(fd);
		return;
	}
	if (role == SINK)
		return;
	if (buffer[0] == 'G') {
		if (write(fd, http, http_length) >= 0)
			shutdown(fd, SHUT_WR);
	} else if (write(fd, buffer[0] == 'N' ? name : buffer, buffer[0] == 'N' ? (ssize_t)sizeof(name) : n) < 0) {
		close(fd);
	}
}

int serve_main(int argc, char **argv)
{
	const char *tcp = option(argc, argv, "--tcp", NULL), *sink = option(argc, argv, "--sink", NULL);
	const char *udp = option(argc, argv, "--udp", NULL);
	struct epoll_event events[256];
	int epoll = epoll_create1(0);

	strncpy(name, option(argc, argv, "--name", "server"), sizeof(name) - 1);
	http_length = snprintf(http, sizeof(http),
			       "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n%-16s", name);
	if (tcp)
		watch_fd(epoll, open_port(SOCK_STREAM, atoi(tcp)), LISTEN_TCP);
	if (sink)
		watch_fd(epoll, open_port(SOCK_STREAM, atoi(sink)), LISTEN_SINK);
	if (udp)
		watch_fd(epoll, open_port(SOCK_DGRAM, atoi(udp)), DATAGRAM);
	printf("serving\n");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			int fd = (uint32_t)events[i].data.u64;
			enum role role = events[i].data.u64 >> 32;

			if (role == LISTEN_TCP || role == LISTEN_SINK)
				accept_all(epoll, fd, role == LISTEN_TCP ? STREAM : SINK);
			else if (role == DATAGRAM)
				answer_datagrams(fd);
			else
				serve_stream(fd, role);
		}
	}
}
