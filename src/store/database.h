/* database.h - one database of a store: its queues and threads.
 * Threads: any submits; its own carry out.
 * Owns: see database.c.
 */
#ifndef SHARDSM_STORE_DATABASE_H
#define SHARDSM_STORE_DATABASE_H

#include "store/engine.h"

struct database;

/* Prepares the schema, connects, starts the threads. NULL: why was logged. */
struct database *database_open(const struct store_settings *settings, unsigned threads) MUST_USE;
/* Carries out and answers what was submitted, stops the threads, closes. */
void database_close(struct database **db);
/* Nothing that waits for a lost connection waits any longer. */
void database_hurry(struct database *db);
void database_describe(struct database *db, char *out, size_t cap);

struct lane;
/* Where a request is to go. */
struct lane *database_lane(struct database *db, const struct store_req *req, unsigned flags);
/* Counts a request in. False: the queue is full. */
bool lane_admit(struct lane *lane, struct store_req *req) MUST_USE;
/* Counts it out again. */
void lane_dismiss(struct lane *lane, const struct store_req *req);
/* Hands an admitted request over: it is answered, whatever happens. */
void lane_post(struct lane *lane, struct store_req *req);

/* Answers a request, or the whole that it is the last open part of. */
void request_answer(struct store_req *req);

#endif
