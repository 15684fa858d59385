/* world_internal.h - what the files of the world share.
 * Threads: one.
 * Owns: nothing.
 */
#ifndef TESTS_WORLD_INTERNAL_H
#define TESTS_WORLD_INTERNAL_H

#include "alone.h"
#include "shardsm/outbox.h"
#include "world.h"

struct fake_link {
	struct outbox ob; /* first */
	const char *name;
	struct route_scanner in;  /* what it says */
	struct route_scanner out; /* what it is told: the gate */
	bool up;
	bool stalls;              /* it takes nothing, and little may wait for it */
	bool overflown;           /* more did */
	char *text;               /* told and not read */
	size_t n, cap;
};

struct world {
	struct config *config;
	struct names *names;
	struct server *server;
	struct io *io; /* for its settings alone */
	struct dispatch_tray tray;
	struct fake_link links[WORLD_LINKS];
	struct seat seats[WORLD_SEATS];
	unsigned nseats;
	struct seat *letter[6]; /* a..f; NULL: never started */
	struct due dues[WORLD_DUES];
	unsigned ndues;
	bool strict, held;
	bool faults;            /* the store failed, or lost something */
	bool deaf;              /* privacy lists or rules may have made somebody silent */
	bool foreign;           /* rows hold stanzas that may be for anybody */
	bool known_ids;         /* the script holds what looks like an id of ours */
	struct buf summary;
};
extern struct world world;

/* world_links.c */
void link_open(struct fake_link *link, const char *name);
void link_say(struct fake_link *link, struct span frame);
void link_reset(struct fake_link *link); /* up, and reads; nothing of it is left */
void link_stall(struct fake_link *link, bool stalls);
void link_lose(struct fake_link *link, struct span name);
void link_here(struct fake_link *link, struct span name, enum letter_kind kind);
/* world_check.c: reads what the links were told */
void check_told(void);
void check_answers(void); /* before the sessions end: nothing is due to who has gone */
void check_end(void);

#endif
