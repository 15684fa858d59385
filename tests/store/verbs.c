/* verbs.c - what each statement of the store does, alone and together.
 * Threads: main, and the store's.
 * Owns: a directory per test.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "shardsm/vcard_columns.h"
#include "support.h"

static struct db db;

static void setup(void)
{
	db_make(&db);
	db_must_open(&db);
}

static void teardown(void)
{
	db_remove(&db);
}

TestSuite(verbs, .init = setup, .fini = teardown, .timeout = 60);

#define ALICE "alice@lab.test"
#define BOB "bob@lab.test"

static void assert_text(struct value v, const char *want)
{
	cr_assert_eq(v.kind, VALUE_TEXT);
	cr_assert(span_is(v.s, want), "\"" SPAN_FMT "\" is not \"%s\"", SPAN_ARG(v.s), want);
}

static void assert_sql(const char *sql, const char *want)
{
	char *got = sql_ask(db.path, sql);

	cr_assert_str_eq(got, want, "%s: %s", sql, got);
	free(got);
}

static bool on_sqlite(void)
{
	return test_engine() == ON_SQLITE;
}

static void put_item(struct store_req *req, const char *jid, const char *name, int to, int from, int ask)
{
	struct value v[] = {
		[ITEM_JID] = value_text(span_str(jid)),
		[ITEM_NAME] = name ? value_text(span_str(name)) : value_null(),
		[ITEM_TO] = value_int(to),
		[ITEM_FROM] = value_int(from),
		[ITEM_ASK] = value_int(ask),
	};

	store_put(req, T_ROSTER_ITEMS, v);
}

Test(verbs, put_and_get_in_order)
{
	struct store_req *req = store_req_new(SPAN(ALICE));

	put_item(req, "z@lab.test", "Zoe", 1, 0, 0);
	put_item(req, "a@lab.test", NULL, 0, 1, 2);
	store_owner(req, SPAN(BOB));
	put_item(req, ALICE, "", 1, 1, 0);
	cr_assert_eq(db_do(&db, req), STORE_OK);

	req = store_req_new(SPAN(ALICE));
	int items = store_get(req, T_ROSTER_ITEMS, STORE_ALL, value_null());
	int groups = store_get(req, T_ROSTER_GROUPS, STORE_ALL, value_null());

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK);
	cr_assert(span_is(store_req_owner(req), ALICE));
	cr_assert_eq(store_rows(req, items), 2);
	cr_assert_eq(store_rows(req, groups), 0);
	assert_text(store_value(req, items, 0, ITEM_JID), "z@lab.test");
	assert_text(store_value(req, items, 0, ITEM_NAME), "Zoe");
	cr_assert_eq(store_value(req, items, 0, ITEM_TO).kind, VALUE_INT);
	cr_assert_eq(store_value(req, items, 0, ITEM_TO).i, 1);
	cr_assert_eq(store_value(req, items, 0, ITEM_FROM).i, 0);
	assert_text(store_value(req, items, 1, ITEM_JID), "a@lab.test");
	cr_assert_eq(store_value(req, items, 1, ITEM_NAME).kind, VALUE_NULL);
	cr_assert_eq(store_value(req, items, 1, ITEM_ASK).i, 2);
	cr_assert_lt(store_sequence(req, items, 0), store_sequence(req, items, 1));
	/* What is not there reads as nothing. */
	cr_assert_eq(store_value(req, items, 2, ITEM_JID).kind, VALUE_NULL);
	cr_assert_eq(store_rows(req, 7), 0);
	cr_assert_eq(store_rows(req, -1), 0);
	store_req_free(&req);
	cr_assert_null(req);
	cr_assert_eq(db_count(&db, T_ROSTER_ITEMS, BOB), 1);
	/* The empty name is a name; the absent one is NULL. */
	if (on_sqlite())
		assert_sql("SELECT typeof(name), quote(name), typeof(\"to\"), typeof(ask) FROM \"roster-items\" ORDER BY 2",
			"text|''|integer|integer\ntext|'Zoe'|integer|integer\nnull|NULL|integer|integer");
	else
		assert_sql("SELECT name, \"to\", ask FROM \"roster-items\" ORDER BY \"object-sequence\"",
			test_engine() == ON_PGSQL ? "Zoe|t|0\nNULL|f|2\n|t|0" : "Zoe|1|0\nNULL|0|2\n|1|0");
}

Test(verbs, filters)
{
	struct store_req *req = store_req_new(SPAN(ALICE));
	struct value work[] = { value_text(SPAN("work")), value_null(), value_null(), value_int(1), value_int(-3), value_int(0) };
	struct value home[] = { value_text(SPAN("home")), value_text(SPAN("jid")), value_text(SPAN("x@y")), value_int(0),
		value_int(7), value_int(15) };

	store_put(req, T_PRIVACY_ITEMS, work);
	store_put(req, T_PRIVACY_ITEMS, home);
	store_put(req, T_PRIVACY_ITEMS, home);
	cr_assert_eq(db_do(&db, req), STORE_OK);

	req = store_req_new(SPAN(ALICE));
	int by_text = store_get(req, T_PRIVACY_ITEMS, PRIVITEM_LIST, value_text(SPAN("home")));
	int by_int = store_get(req, T_PRIVACY_ITEMS, PRIVITEM_ORDER, value_int(-3));
	int by_bool = store_count(req, T_PRIVACY_ITEMS, PRIVITEM_DENY, value_int(0));
	int by_null = store_count(req, T_PRIVACY_ITEMS, PRIVITEM_TYPE, value_null());
	int none = store_count(req, T_PRIVACY_ITEMS, PRIVITEM_LIST, value_text(SPAN("hom")));

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_rows(req, by_text), 2);
	cr_assert_eq(store_rows(req, by_int), 1);
	assert_text(store_value(req, by_int, 0, PRIVITEM_LIST), "work");
	cr_assert_eq(store_value(req, by_int, 0, PRIVITEM_TYPE).kind, VALUE_NULL);
	cr_assert_eq(store_value(req, by_bool, 0, 0).i, 2);
	cr_assert_eq(store_value(req, by_null, 0, 0).i, 1);
	cr_assert_eq(store_rows(req, none), 1);
	cr_assert_eq(store_value(req, none, 0, 0).i, 0);
	store_req_free(&req);

	req = store_req_new(SPAN(ALICE));
	store_delete(req, T_PRIVACY_ITEMS, PRIVITEM_LIST, value_text(SPAN("home")));
	cr_assert_eq(db_do(&db, req), STORE_OK);
	cr_assert_eq(db_count(&db, T_PRIVACY_ITEMS, ALICE), 1);
	req = store_req_new(SPAN(BOB));
	store_delete(req, T_PRIVACY_ITEMS, STORE_ALL, value_null());
	cr_assert_eq(db_do(&db, req), STORE_OK);
	cr_assert_eq(db_count(&db, T_PRIVACY_ITEMS, ALICE), 1);
	req = store_req_new(SPAN(ALICE));
	store_delete(req, T_PRIVACY_ITEMS, STORE_ALL, value_null());
	cr_assert_eq(db_do(&db, req), STORE_OK);
	cr_assert_eq(db_count(&db, T_PRIVACY_ITEMS, ALICE), 0);
}

Test(verbs, pages_and_delete_upto)
{
	for (int i = 0; i < 10; i++) {
		char xml[32];

		snprintf(xml, sizeof(xml), "NAD<m>%d</m>", i);
		cr_assert_eq(db_do(&db, queue_put(ALICE, xml)), STORE_OK);
		cr_assert_eq(db_do(&db, queue_put(BOB, "NAD<b/>")), STORE_OK);
	}
	int64_t after = 0;
	int seen = 0;

	for (;;) {
		struct store_req *req = store_req_new(SPAN(ALICE));
		int s = store_get_page(req, T_QUEUE, after, 4);

		req = db_ask(&db, req, 0);
		uint32_t rows = store_rows(req, s);

		cr_assert_leq(rows, 4);
		for (uint32_t i = 0; i < rows; i++) {
			char want[32];

			snprintf(want, sizeof(want), "NAD<m>%d</m>", seen++);
			assert_text(store_value(req, s, i, QUEUE_XML), want);
			cr_assert_gt(store_sequence(req, s, i), after);
			after = store_sequence(req, s, i);
		}
		store_req_free(&req);
		if (!rows)
			break;
		req = store_req_new(SPAN(ALICE));
		store_delete_upto(req, T_QUEUE, after);
		cr_assert_eq(db_do(&db, req), STORE_OK);
		cr_assert_eq(db_count(&db, T_QUEUE, ALICE), 10 - seen);
	}
	cr_assert_eq(seen, 10);
	cr_assert_eq(db_count(&db, T_QUEUE, BOB), 10);
}

Test(verbs, merge)
{
	struct value v[] = { [STATUS_STATUS] = value_text(SPAN("online")), [STATUS_SHOW] = value_text(SPAN("away")),
		[STATUS_LOGIN] = value_int(7), [STATUS_LOGOUT] = value_null(), [STATUS_XML] = value_text(SPAN("NAD<p/>")) };
	struct store_req *req = store_req_new(SPAN(BOB));

	store_put(req, T_STATUS, v);
	store_owner(req, SPAN(ALICE));
	store_merge(req, T_STATUS, v);
	cr_assert_eq(db_do(&db, req), STORE_OK);
	assert_sql("SELECT status, \"show\", \"last-login\", \"last-logout\", xml FROM status WHERE \"collection-owner\" = '" ALICE "'",
		"online|away|7|0|NAD<p/>");
	struct value off[5] = { [STATUS_STATUS] = value_text(SPAN("offline")), [STATUS_LOGOUT] = value_int(9) };

	req = store_req_new(SPAN(ALICE));
	store_merge(req, T_STATUS, off);
	memset(off, 0, sizeof(off));
	store_merge(req, T_STATUS, off);
	int s = store_get(req, T_STATUS, STORE_ALL, value_null());

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
	cr_assert_eq(store_rows(req, s), 1);
	assert_text(store_value(req, s, 0, STATUS_STATUS), "offline");
	assert_text(store_value(req, s, 0, STATUS_SHOW), "away");
	cr_assert_eq(store_value(req, s, 0, STATUS_LOGIN).i, 7);
	cr_assert_eq(store_value(req, s, 0, STATUS_LOGOUT).i, 9);
	store_req_free(&req);
	/* Somebody else's row is as it was. */
	assert_sql("SELECT count(*), min(status) FROM status WHERE \"collection-owner\" = '" BOB "'", "1|online");
	/* An update that finds nothing after one that found something still makes its row. */
	req = store_req_new(SPAN(ALICE));
	struct value time[] = { value_int(5) };

	store_merge(req, T_STATUS, v);
	store_merge(req, T_LOGOUT, time);
	cr_assert_eq(db_do(&db, req), STORE_OK);
	cr_assert_eq(db_count(&db, T_LOGOUT, ALICE), 1);
}

/* Reads between writes of one request see what stands before them, and only that. */
Test(verbs, reads_among_writes)
{
	struct store_req *req = queue_put(ALICE, "NAD<one/>");
	int one = store_count(req, T_QUEUE, STORE_ALL, value_null());
	struct value two[] = { value_text(SPAN("NAD<two/>")) };

	store_put(req, T_QUEUE, two);
	int both = store_get(req, T_QUEUE, STORE_ALL, value_null());

	store_delete(req, T_QUEUE, STORE_ALL, value_null());
	int gone = store_get(req, T_QUEUE, STORE_ALL, value_null());

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK);
	cr_assert_eq(store_value(req, one, 0, 0).i, 1);
	cr_assert_eq(store_rows(req, both), 2);
	assert_text(store_value(req, both, 1, QUEUE_XML), "NAD<two/>");
	cr_assert_eq(store_rows(req, gone), 0);
	store_req_free(&req);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), 0);
}

/* A load asks many tables at once, most of which have nothing of the user. */
Test(verbs, many_tables_in_one_read)
{
	struct store_req *req = store_req_new(SPAN("bob@localhost"));

	put_item(req, "a@localhost", "A", 1, 0, 0);
	store_put(req, T_QUEUE, (struct value[]){ [QUEUE_XML] = value_text(SPAN("NAD<a/>")) });
	store_owner(req, SPAN("eve@localhost"));
	store_put(req, T_VACATION, (struct value[]){ [VACATION_MESSAGE] = value_text(SPAN("away")) });
	store_put(req, T_PRIVACY_DEFAULT, (struct value[]){ [PRIVDEF_DEFAULT] = value_text(SPAN("hers")) });
	cr_assert_eq(db_do(&db, req), STORE_OK);
	for (int i = 0; i < 50; i++) { /* some of them in one transaction */
		req = store_req_new(SPAN("bob@localhost"));
		cr_assert_eq(store_count(req, T_LOGOUT, STORE_ALL, value_null()), 0);
		cr_assert_eq(store_get(req, T_ROSTER_ITEMS, STORE_ALL, value_null()), 1);
		cr_assert_eq(store_get(req, T_ROSTER_ITEMS, ITEM_JID, value_text(SPAN("b@localhost"))), 2);
		cr_assert_eq(store_get(req, T_VACATION, STORE_ALL, value_null()), 3);
		cr_assert_eq(store_count(req, T_QUEUE, STORE_ALL, value_null()), 4);
		cr_assert_eq(store_count(req, T_QUEUE, QUEUE_XML, value_text(SPAN("NAD<b/>"))), 5);
		cr_assert_eq(store_get_page(req, T_QUEUE, 0, 10), 6);
		store_owner(req, SPAN("eve@localhost"));
		cr_assert_eq(store_get(req, T_VACATION, STORE_ALL, value_null()), 7);
		cr_assert_eq(store_get(req, T_ROSTER_ITEMS, STORE_ALL, value_null()), 8);
		cr_assert_eq(store_get(req, T_PRIVACY_DEFAULT, STORE_ALL, value_null()), 9);
		db_send(&db, req, 0);
	}
	for (int i = 0; i < 50; i++) {
		static const uint32_t rows[] = { 1, 1, 0, 0, 1, 1, 1, 1, 0, 1 };

		req = db_next(&db);
		cr_assert_eq(store_status(req), STORE_OK);
		for (int k = 0; k < 10; k++)
			cr_assert_eq(store_rows(req, k), rows[k], "statement %d: %u rows", k, store_rows(req, k));
		cr_assert_eq(store_value(req, 0, 0, 0).i, 0);
		assert_text(store_value(req, 1, 0, ITEM_JID), "a@localhost");
		cr_assert_eq(store_value(req, 4, 0, 0).i, 1);
		cr_assert_eq(store_value(req, 5, 0, 0).i, 0);
		assert_text(store_value(req, 7, 0, VACATION_MESSAGE), "away");
		assert_text(store_value(req, 9, 0, PRIVDEF_DEFAULT), "hers");
		store_req_free(&req);
	}
}

Test(verbs, a_request_is_all_or_nothing)
{
	struct store_req *req = queue_put(ALICE, "NAD<kept/>");

	cr_assert_eq(db_do(&db, req), STORE_OK);
	req = store_req_new(SPAN(ALICE));
	store_delete(req, T_QUEUE, STORE_ALL, value_null());
	struct value bad[] = { value_null() }; /* the column may not be null */

	store_put(req, T_QUEUE, bad);
	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_FAILED);
	cr_assert_not_null(strstr(store_error(req), "queue"), "%s", store_error(req));
	cr_assert_not_null(strstr(store_error(req), "xml"), "%s", store_error(req));
	store_req_free(&req);
	assert_sql("SELECT xml FROM queue", "NAD<kept/>");
}

/* A statement that cannot be built fails its request, and nothing of it is carried out. */
Test(verbs, badly_built_requests_fail)
{
	struct value text[] = { value_text(SPAN("1795329353")) };

	for (int k = 0; k < 4; k++) {
		struct store_req *req = queue_put(ALICE, "NAD<x/>");

		if (k == 0)
			store_put(req, T_ACTIVE, text);
		else if (k == 1)
			store_get(req, T_QUEUE, 1, value_text(SPAN("x")));
		else if (k == 2)
			store_delete(req, T_COUNT, STORE_ALL, value_null());
		else
			store_get(req, T_QUEUE, QUEUE_XML, value_int(1));
		req = db_ask(&db, req, 0);
		cr_assert_eq(store_status(req), STORE_FAILED, "case %d", k);
		cr_assert_neq(store_error(req)[0], '\0');
		store_req_free(&req);
	}
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), 0);
}

/* Values are bound, never part of a statement's text. */
Test(verbs, values_are_stored_verbatim)
{
	static const char *const nasty[] = {
		"x'); DROP TABLE \"queue\"; --", "\"; DELETE FROM queue; --", "' OR '1'='1", "%_[]*?\\", "?1 :a @b $c", "NULL",
		"\xf0\x9f\x90\x98", "", "line\r\nbreak\ttab", "back\\slash \\' \\0 \\", "trailing ", "Case", "case", "a)(b",
	};

	for (size_t i = 0; i < sizeof(nasty) / sizeof(nasty[0]); i++) {
		struct store_req *req = store_req_new(span_str(nasty[i]));
		struct value v[] = { [PRIVATE_NS] = value_text(span_str(nasty[i])), [PRIVATE_XML] = value_text(span_str(nasty[i])) };

		store_put(req, T_PRIVATE, v);
		cr_assert_eq(db_do(&db, req), STORE_OK);
		req = store_req_new(span_str(nasty[i]));
		int s = store_get(req, T_PRIVATE, PRIVATE_NS, value_text(span_str(nasty[i])));

		req = db_ask(&db, req, 0);
		cr_assert_eq(store_rows(req, s), 1, "%s", nasty[i]);
		assert_text(store_value(req, s, 0, PRIVATE_XML), nasty[i]);
		store_req_free(&req);
	}
	assert_sql("SELECT count(*), count(DISTINCT \"collection-owner\") FROM private", "14|14");
}

/* Bytes that are not text: SQLite and MariaDB keep a NUL, the servers refuse ill-formed UTF-8; nothing is cut or replaced. */
Test(verbs, values_that_are_not_text)
{
	struct store_req *bad = queue_put(ALICE, "\xff\xfe ill-formed");

	bad = db_ask(&db, bad, 0);
	cr_assert_eq(store_status(bad), on_sqlite() ? STORE_OK : STORE_FAILED);
	cr_assert_eq(store_error(bad)[0] != '\0', !on_sqlite());
	store_req_free(&bad);
	cr_assert_eq(db_count(&db, T_QUEUE, ALICE), on_sqlite() ? 1 : 0);
	struct store_req *req = store_req_new(SPAN("nul\0owner"));
	struct value v[] = { value_text(SPAN("a\0b")), value_text(SPAN("c\0d")) };

	store_put(req, T_PRIVATE, v);
	int s = store_get(req, T_PRIVATE, PRIVATE_NS, value_text(SPAN("a\0b")));

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), test_engine() == ON_PGSQL ? STORE_FAILED : STORE_OK, "%s", store_error(req));
	if (test_engine() != ON_PGSQL) {
		cr_assert_eq(store_rows(req, s), 1);
		cr_assert(span_eq(store_value(req, s, 0, PRIVATE_XML).s, SPAN("c\0d")));
	}
	store_req_free(&req);
	cr_assert_eq(db_count(&db, T_PRIVATE, "nul"), 0);
}

/* Every subset of a vCard's fields is a statement of its own; more of them than a connection keeps. */
Test(verbs, many_shapes_of_one_put)
{
	for (unsigned i = 1; i <= 600; i++) {
		struct store_req *req = store_req_new(SPAN(ALICE));
		struct value v[VCARD_COLUMNS] = { 0 };

		for (unsigned c = 0; c < 10; c++) {
			if (i >> c & 1)
				v[c * 4] = value_text(SPAN("set"));
		}
		v[VCARD_REV] = value_text(SPAN("last"));
		store_delete(req, T_VCARD, STORE_ALL, value_null());
		store_put(req, T_VCARD, v);
		int s = store_get(req, T_VCARD, STORE_ALL, value_null());

		req = db_ask(&db, req, 0);
		cr_assert_eq(store_status(req), STORE_OK, "%s", store_error(req));
		cr_assert_eq(store_rows(req, s), 1);
		assert_text(store_value(req, s, 0, VCARD_REV), "last");
		for (unsigned c = 0; c < 10; c++)
			cr_assert_eq(store_value(req, s, 0, (int)c * 4).kind, i >> c & 1 ? VALUE_TEXT : VALUE_NULL);
		store_req_free(&req);
	}
	cr_assert_eq(db_count(&db, T_VCARD, ALICE), 1);
}

Test(verbs, every_table_takes_a_whole_row)
{
	for (unsigned t = 0; t < T_COUNT; t++) {
		struct store_req *req = store_req_new(SPAN(ALICE));
		struct value v[STORE_COLUMNS];
		const struct table *table = &store_tables[t];

		for (int c = 0; c < table->ncolumns; c++) {
			enum column_type type = table->columns[c].type;

			v[c] = type == COL_INT || type == COL_BOOL ? value_int(c & 1) : value_text(span_str(table->columns[c].name));
		}
		store_put(req, (enum store_table)t, v);
		int s = store_get(req, (enum store_table)t, STORE_ALL, value_null());

		req = db_ask(&db, req, 0);
		cr_assert_eq(store_status(req), STORE_OK, "%s: %s", table->name, store_error(req));
		cr_assert_eq(store_rows(req, s), 1);
		for (int c = 0; c < table->ncolumns; c++) {
			struct value got = store_value(req, s, 0, c);

			cr_assert_eq(got.kind, v[c].kind);
			cr_assert(got.kind == VALUE_INT ? got.i == v[c].i : span_eq(got.s, v[c].s), "%s.%s", table->name,
				table->columns[c].name);
		}
		store_req_free(&req);
	}
}

/* jabberd2 skips what is of another type than it knows; so do we, and nothing breaks on it. */
Test(verbs, odd_types_in_the_file)
{
	if (!on_sqlite())
		cr_skip_test("SQLite's columns alone take anything");
	sql_run(db.path, "INSERT INTO active (\"collection-owner\", time) VALUES ('" ALICE "', 'soon'), ('" ALICE "', 1.5), "
		"('" ALICE "', x'00ff')");
	sql_run(db.path, "INSERT INTO private (\"collection-owner\", ns, xml) VALUES ('" ALICE "', x'00ff', 17)");
	sql_run(db.path, "INSERT INTO \"roster-items\" (\"collection-owner\", jid, \"to\", \"from\", ask) VALUES "
		"('" ALICE "', 'x@y', 5, '1', 'no')");
	struct store_req *req = store_req_new(SPAN(ALICE));
	int a = store_get(req, T_ACTIVE, STORE_ALL, value_null());
	int p = store_get(req, T_PRIVATE, STORE_ALL, value_null());
	int r = store_get(req, T_ROSTER_ITEMS, STORE_ALL, value_null());

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK);
	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(store_value(req, a, i, ACTIVE_TIME).kind, VALUE_NULL);
	cr_assert_eq(store_value(req, p, 0, PRIVATE_NS).kind, VALUE_NULL);
	assert_text(store_value(req, p, 0, PRIVATE_XML), "17");
	cr_assert_eq(store_value(req, r, 0, ITEM_TO).i, 1);
	cr_assert_eq(store_value(req, r, 0, ITEM_FROM).i, 1);
	cr_assert_eq(store_value(req, r, 0, ITEM_ASK).kind, VALUE_NULL);
	store_req_free(&req);
}

Test(verbs, a_result_without_measure_fails)
{
	static const char *const sql[] = {
		"INSERT INTO queue (\"collection-owner\", xml) SELECT '" ALICE "', printf('%.*c', 1048576, 'x') FROM n",
		"INSERT INTO queue (\"collection-owner\", xml) SELECT '" ALICE "', repeat('x', 1048576) FROM n",
		"SELECT '" ALICE "', repeat('x', 1048576) FROM n",
	};
	char statement[400];

	snprintf(statement, sizeof(statement), "%sWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70) %s",
		test_engine() == ON_MYSQL ? "INSERT INTO queue (\"collection-owner\", xml) " : "", sql[test_engine()]);
	sql_run(db.path, statement);
	struct store_req *req = store_req_new(SPAN(ALICE));
	int s = store_get(req, T_QUEUE, STORE_ALL, value_null());

	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_FAILED);
	cr_assert_eq(store_rows(req, s), 0);
	cr_assert_not_null(strstr(store_error(req), "too large"), "%s", store_error(req));
	store_req_free(&req);
	req = store_req_new(SPAN(ALICE));
	s = store_get_page(req, T_QUEUE, 0, 10);
	req = db_ask(&db, req, 0);
	cr_assert_eq(store_status(req), STORE_OK);
	cr_assert_eq(store_rows(req, s), 10);
	store_req_free(&req);
}

Test(verbs, tags_come_back)
{
	struct store_req *req = queue_put(ALICE, "NAD<x/>");

	*store_tag(req) = (struct store_tag){ setup, 42, &db };
	req = db_ask(&db, req, 0);
	cr_assert_eq(store_tag(req)->fn, setup);
	cr_assert_eq(store_tag(req)->a, 42);
	cr_assert_eq(store_tag(req)->owned, &db);
	store_req_free(&req);
}

/* What nobody waits for may lie a while; not for ever, not behind what came later, and unseen by nobody who asks behind it. */
Test(verbs, quiet_writes)
{
	struct store_req *req, *first, *second;

	for (int i = 0; i < 3; i++) {
		req = db_ask(&db, queue_put(ALICE, "NAD<x/>"), STORE_QUIET);
		cr_assert_eq(store_status(req), STORE_OK);
		store_req_free(&req);
	}
	first = queue_put(ALICE, "NAD<x/>");
	second = queue_put(BOB, "NAD<x/>");
	db_send(&db, first, STORE_QUIET);
	db_send(&db, second, 0);
	cr_assert_eq(req = db_next(&db), first);
	store_req_free(&req);
	cr_assert_eq(req = db_next(&db), second);
	store_req_free(&req);

	first = queue_put(ALICE, "NAD<x/>");
	second = store_req_new(SPAN(ALICE));
	int s = store_count(second, T_QUEUE, STORE_ALL, value_null());

	db_send(&db, first, STORE_QUIET);
	db_send(&db, second, STORE_AFTER_WRITES);
	cr_assert_eq(req = db_next(&db), first);
	store_req_free(&req);
	cr_assert_eq(req = db_next(&db), second);
	cr_assert_eq(store_value(req, s, 0, 0).i, 5);
	store_req_free(&req);

	for (int i = 0; i < 3; i++)
		db_send(&db, queue_put(ALICE, "NAD<x/>"), STORE_QUIET);
	db_close(&db);
	for (int i = 0; i < 3; i++) {
		req = db_next(&db);
		cr_assert_eq(store_status(req), STORE_OK);
		store_req_free(&req);
	}
}

/* Many puts that are alike share a statement: whoever is refused is so alone, and the others' rows are in their order. */
Test(verbs, one_of_many_alike_is_refused)
{
	char want[400] = "";

	if (!on_sqlite())
		cr_skip_test();
	free(sql_ask(db.path, "CREATE TRIGGER refuse BEFORE INSERT ON queue WHEN NEW.xml = 'NAD<21/>' BEGIN SELECT RAISE(ABORT, 'no'); END"));
	for (int i = 0; i < 40; i++) {
		char xml[16];

		snprintf(xml, sizeof(xml), "NAD<%d/>", i);
		db_send(&db, queue_put(i % 2 ? ALICE : BOB, xml), 0);
		if (i != 21)
			snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s%s", i ? "," : "", xml);
	}
	for (int i = 0; i < 40; i++) {
		struct store_req *req = db_next(&db);

		cr_assert_eq(store_status(req), i == 21 ? STORE_FAILED : STORE_OK, "%d: %s", i, store_error(req));
		store_req_free(&req);
	}
	assert_sql("SELECT group_concat(xml) FROM (SELECT xml FROM queue ORDER BY \"object-sequence\")", want);
	assert_sql("SELECT count(*) FROM queue WHERE \"collection-owner\" = '" ALICE "'", "19");
}

/* Closing carries out and answers what was submitted. */
Test(verbs, closing_answers_everything)
{
	for (int i = 0; i < 3000; i++)
		db_send(&db, queue_put(ALICE, "NAD<x/>"), 0);
	struct store_req *read = store_req_new(SPAN(ALICE));
	int s = store_count(read, T_QUEUE, STORE_ALL, value_null());

	db_send(&db, read, STORE_AFTER_WRITES);
	db_close(&db);
	for (int i = 0; i < 3001; i++) {
		struct store_req *req = db_next(&db);

		cr_assert_eq(store_status(req), STORE_OK);
		if (req == read)
			cr_assert_eq(store_value(req, s, 0, 0).i, 3000);
		store_req_free(&req);
	}
}
