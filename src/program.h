/* program.h - the parts of the running program, and what main.c calls in the files beside it.
 * Threads: main's.
 * Owns: everything that is opened, until the end of the process.
 */
#ifndef SHARDSM_PROGRAM_H
#define SHARDSM_PROGRAM_H

#include <pthread.h>

#include "security.h"
#include "shardsm/admin.h"
#include "shardsm/buf.h"
#include "shardsm/config.h"
#include "shardsm/io.h"
#include "shardsm/options.h"
#include "shardsm/server.h"
#include "shardsm/standstill.h"
#include "shardsm/store.h"

struct program {
	struct cmdline line;
	/* what the program was started with, and what is in force now: the same until the first reload */
	struct config *config, *live_config;
	struct options options, live_options;
	struct span *domains;
	struct io_listen *listens; /* as long as io */
	struct security security;
	struct names *names;
	struct store *store;
	struct server *server;
	struct io *io;
	struct standstill *standstill;
	char found[512]; /* --check: in the database */
	struct admin *admin;
	pthread_t main_thread;
	_Atomic bool gave_up;
};

/* reload.c. The settings that reload() changes too: */
struct server_tuning server_tuning_of(const struct options *o, const struct config *config);
struct io_tuning io_tuning_of(const struct options *o, const struct security *s);
void listens_of(struct io_listen *listens, const struct options *o, const struct security *s); /* as many as o has */
void open_log_of(const struct options *o);

/* Reads the file again. When all of it is right, what can change without a restart does, everywhere at once; what cannot is named. Every
 * line is logged, and told to said (NULL: nobody). False: nothing has changed. */
bool reload(struct program *p, struct buf *said);
void reload_close(struct program *p); /* frees what was read since the start */

/* surroundings.c */
void standard_descriptors(void);   /* 0, 1 and 2 are open when it returns; before anything else is opened */
void raise_descriptor_limit(void); /* of open files, to the hard limit; logged */

#endif
