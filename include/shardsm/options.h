/* options.h - the settings that main needs, typed and checked, and the command line.
 * Threads: read at start by main, read-only afterwards by any.
 * Owns: struct options owns its strings (NUL-terminated). What only a module or the store reads stays in config.h.
 */
#ifndef SHARDSM_OPTIONS_H
#define SHARDSM_OPTIONS_H

#include "shardsm/config.h"
#include "shardsm/route.h"
#include "shardsm/tls.h"

#define RETRY_FOREVER (-1)
#define THREADS_MAX 256

/* STARTTLS on a link. */
struct tls_options {
	char *pemfile, *key_password, *ciphers, *cachain, *name; /* pemfile NULL: none; the others NULL: see shardsm/tls.h */
	enum tls_verify verify;
	bool required;
};

struct router_options {
	char *ip; /* IPv4 or IPv6, numeric */
	uint16_t port;
	char *user, *pass;
	struct tls_options tls;
	int retry_init, retry_lost; /* attempts, RETRY_FOREVER */
	int retry_sleep;            /* seconds between two, at least 1 */
};

struct listen_options {
	char *ip; /* numeric */
	uint16_t port;
	char *user, *pass; /* for SASL, as a router's router-users.xml has them */
	char *secret;      /* for XEP-0114 components; NULL: they are refused */
	struct tls_options tls;
	int line;
};

struct options {
	char *id;      /* prepared domain */
	char *pidfile; /* NULL: none */
	bool dial;     /* there is a router to dial */
	struct router_options router;
	struct listen_options *listens;
	unsigned nlistens;
	char **domains; /* prepared, no duplicates, at least one */
	unsigned ndomains;
	bool domains_are_id; /* no <local><id>: the id is the only domain */
	struct {
		char *type, *ident, *facility, *file; /* file may be NULL */
	} log;
	unsigned acceptors, workers, store_threads; /* 1..THREADS_MAX */
	bool route_parser_mxml;
	bool local_via_router;
	unsigned stop_seconds;   /* from the signal to the exit */
	struct route_limits route_limits;
	uint64_t link_queue_bytes, write_queue_bytes, shard_queue_bytes;
	uint32_t link_silence; /* seconds */
	uint32_t user_queue_packets;
	uint64_t waiting_bytes;
	uint32_t user_sessions, sessions, users; /* 0: any number */
	char *control_socket;    /* NULL: none */
	char *metrics_ip;        /* numeric; NULL: none */
	uint16_t metrics_port;
};

/* Fills options, with defaults where config says nothing. False: something is wrong, all of it was said on stderr (the values that
 * others read with config_int() later are not included). Free it in both cases. */
bool options_read(struct options *options, struct config *config) MUST_USE;
void options_free(struct options *options);

struct cmdline {
	const char *config_path;
	const char *id; /* -i, NULL: none */
	bool debug, check;
};

/* True: go on. False: what was to be said is on stdout; exit with *status. */
bool cmdline_read(struct cmdline *cmdline, int argc, char **argv, int *status) MUST_USE;

#endif
