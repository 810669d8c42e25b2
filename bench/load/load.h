/* What the benchmark's client and server share: a clock, a histogram, targets, JSON. */
#ifndef LOAD_H
#define LOAD_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC: the clock of process.hrtime() as well. */
static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

/*
 * A histogram as HdrHistogram keeps it: 128 buckets for each power of two, so a value is known to
 * within 1 %. Nanoseconds up to 2^42 (73 minutes).
 */
#define SUB_BITS 7
#define SUB (1u << SUB_BITS)
#define BUCKETS ((42 - SUB_BITS + 1) * SUB)

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint32_t bucket[BUCKETS];
};

static inline unsigned int histogram_index(uint64_t v)
{
	unsigned int shift, i;

	if (v < SUB)
		return v;
	shift = 63 - __builtin_clzll(v) - SUB_BITS;
	i = (shift + 1) * SUB + ((v >> shift) & (SUB - 1));
	return i < BUCKETS ? i : BUCKETS - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t v)
{
	h->count++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
	h->bucket[histogram_index(v)]++;
}

/* The upper edge of the bucket that holds the quantile; nanoseconds. */
static inline uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t rank = q * h->count, seen = 0;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		unsigned int shift = i / SUB ? i / SUB - 1 : 0;

		seen += h->bucket[i];
		if (seen > rank)
			return i < SUB ? i : (uint64_t)(i % SUB + SUB + 1) << shift;
	}
	return h->max;
}

/* `"p50Us":…,"p90Us":…`: microseconds. */
static inline void histogram_print(const struct histogram *h)
{
	printf("\"meanUs\":%.3f,\"p50Us\":%.3f,\"p90Us\":%.3f,\"p99Us\":%.3f,\"p999Us\":%.3f,\"maxUs\":%.3f",
	       h->count ? h->sum / 1e3 / h->count : 0, histogram_quantile(h, 0.5) / 1e3,
	       histogram_quantile(h, 0.9) / 1e3, histogram_quantile(h, 0.99) / 1e3, histogram_quantile(h, 0.999) / 1e3,
	       h->max / 1e3);
}

/* CPU time of this process in microseconds, without what softirqs took elsewhere. */
static inline uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000ull + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

#define MAX_TARGETS 4096
struct targets {
	struct sockaddr_in at[MAX_TARGETS];
	unsigned int count;
};

/* `10.96.0.1:80,10.96.0.2:80` */
static inline void parse_targets(struct targets *t, char *list)
{
	for (char *one = strtok(list, ","); one; one = strtok(NULL, ",")) {
		char *colon = strchr(one, ':');
		struct sockaddr_in *to = &t->at[t->count++];

		if (!colon || t->count > MAX_TARGETS)
			exit((fprintf(stderr, "read target %s: want address:port\n", one), 2));
		*colon = 0;
		to->sin_family = AF_INET;
		to->sin_port = htons(atoi(colon + 1));
		if (inet_pton(AF_INET, one, &to->sin_addr) != 1)
			exit((fprintf(stderr, "read target %s: no IPv4 address\n", one), 2));
	}
}

/* xorshift: which target comes next; the same order in every run. */
static inline uint32_t next_random(void)
{
	static uint32_t x = 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	return x ^= x << 5;
}

/* The value of `--name value`, or the default. */
static inline const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
	for (int i = 2; i + 1 < argc; i++)
		if (!strcmp(argv[i], name))
			return argv[i + 1];
	return otherwise;
}

/* How many answers came from which backend: by the name that a server answers with. */
#define MAX_NAMES 256
struct names {
	char name[MAX_NAMES][16];
	uint64_t count[MAX_NAMES];
	unsigned int used;
};

static inline void names_add(struct names *n, const char *name)
{
	unsigned int i;

	for (i = 0; i < n->used && strncmp(n->name[i], name, 15); i++)
		;
	if (i == MAX_NAMES)
		return;
	if (i == n->used)
		strncpy(n->name[n->used++], name, 15);
	n->count[i]++;
}

static inline void names_print(const struct names *n)
{
	printf("\"backends\":{");
	for (unsigned int i = 0; i < n->used; i++)
		printf("%s\"%s\":%llu", i ? "," : "", n->name[i], (unsigned long long)n->count[i]);
	printf("}");
}

int serve_main(int argc, char **argv);
int connect_main(int argc, char **argv);
int datagram_main(int argc, char **argv);
int stream_main(int argc, char **argv);
int watch_main(int argc, char **argv);
int flood_main(int argc, char **argv);
int hold_main(int argc, char **argv);
#endif
