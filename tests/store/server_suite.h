/* server_suite.h - what a suite of database servers begins and ends with: a database of its own for each test.
 * Threads: main.
 * Owns: db, a test's database.
 */
#ifndef SHARDSM_TEST_SERVER_SUITE_H
#define SHARDSM_TEST_SERVER_SUITE_H

#include <criterion/criterion.h>

#include "support.h"

static struct db db;

static void server_setup(void)
{
	if (test_engine() == ON_SQLITE)
		cr_skip_test("of database servers");
	db_make(&db);
}

static void server_teardown(void)
{
	if (test_engine() != ON_SQLITE)
		db_remove(&db);
}

#endif
