/* proxy.h - for the store's tests: stands between the store and its database server and breaks connections at a commit.
 * Threads: its own, and the test's.
 * Owns: a thread per proxy, a socket in a directory.
 */
#ifndef SHARDSM_TESTS_STORE_PROXY_H
#define SHARDSM_TESTS_STORE_PROXY_H

enum proxy_break {
	BREAK_NEVER,
	BREAK_BEFORE_COMMIT, /* the server never sees it */
	BREAK_AFTER_COMMIT,  /* the server carries it out, its answer is dropped */
};

/* Listens on the socket at path, passes everything to the one at server. */
void proxy_start(const char *path, const char *server);
/* At the next commit, once; then fn (NULL: none) is called, when the server is done with the connection, and before the
 * store hears of anything. */
void proxy_break(enum proxy_break when, void (*fn)(void));
unsigned proxy_breaks(void); /* so far */
void proxy_stop(void);

#endif
