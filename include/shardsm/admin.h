/* admin.h - what main does while the others serve: waits for signals, answers on the control socket, shows metrics.
 * Threads: main's.
 * Owns: its sockets and connections, from admin_open() to admin_close().
 */
#ifndef SHARDSM_ADMIN_H
#define SHARDSM_ADMIN_H

#include "shardsm/buf.h"
#include "shardsm/names.h"
#include "shardsm/server.h"

struct admin_settings {
	const char *socket;       /* path of the control socket; NULL: none */
	const char *metrics_ip;   /* numeric; NULL: no metrics by HTTP */
	uint16_t metrics_port;
	struct server *server;
	struct names *names;
	uint32_t workers, acceptors, store_threads;
	/* Reads the config again; what there is to say, in lines. */
	bool (*reload)(struct buf *said, void *arg);
	uint32_t (*tick)(void *arg); /* what main sees to beside: called in each turn, returns in how many ms the next one must be; NULL: nothing */
	void *arg;
};

struct admin;
/* Opens the sockets; the signals that admin_run() waits for must be blocked in all threads. NULL: why was logged. */
struct admin *admin_open(const struct admin_settings *settings) MUST_USE;
uint16_t admin_metrics_port(const struct admin *admin); /* that it is bound to; 0: none */
/* Until a signal or a command says that it is time to stop. SIGHUP: the log is opened anew and the config read again. */
void admin_run(struct admin *admin);
void admin_close(struct admin **admin);

#endif
