/* memory_store.h - a store without a database and without threads, that does what it is told and fails when it is told to.
 * Threads: one; stands in for src/store/store.c where a test links it.
 * Owns: rows and requests in line, until memory_store_clear().
 */
#ifndef TESTS_MEMORY_STORE_H
#define TESTS_MEMORY_STORE_H

#include "shardsm/store.h"

struct store *memory_store(void);
/* Carries out and answers the oldest request. False: there is none. */
bool memory_store_turn(void);
/* How the next request ends; STORE_OK: as it should. */
void memory_store_fail(enum store_status status);
/* Rows go, requests in line are freed unanswered. */
void memory_store_clear(void);
/* A row as an operator would put it there. values: of the table's columns. */
void memory_store_put(enum store_table t, struct span owner, const struct value *values);
/* How many rows of a table hold these bytes in one of their texts. */
unsigned memory_store_holding(enum store_table t, struct span bytes);
unsigned memory_store_rows(void);

#endif
