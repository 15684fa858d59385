/* outbox.c - what an outbox promises, seen from one thread.
 * Threads: one.
 * Owns: nothing between tests.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "sink.h"

static struct sink sink;
static struct out_tray *tray;
static struct mailbox box;

static void setup(void)
{
	sink_init(&sink, 1 << 20);
	tray = out_tray_new();
	cr_assert(mailbox_init(&box, "test"));
}

static void teardown(void)
{
	out_tray_free(&tray);
	sink_fini(&sink);
	mailbox_fini(&box);
}

TestSuite(outbox, .init = setup, .fini = teardown);

static void put(const char *text)
{
	cr_assert(out_put(tray, &sink.ob, span_str(text)));
}

static void note(uint64_t token)
{
	struct out_note *n = calloc(1, sizeof *n);

	n->to = &box;
	n->token = token;
	cr_assert(out_note(tray, &sink.ob, &n));
	cr_assert_null(n, "an accepted note is the outbox's");
}

/* The notes that came back, as text: "1+ 2-" is 1 written, 2 not. */
static const char *notes(void)
{
	static char text[256];
	struct letter *last, *l = mailbox_take(&box, &last), *next;
	size_t n = 0;

	text[0] = 0;
	for (; l; l = next) {
		struct out_note *got = (struct out_note *)l;

		next = mailbox_next(l, last);
		cr_assert_eq(l->kind, LETTER_WRITTEN);
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%u%c", n ? " " : "", (unsigned)got->token, got->written ? '+' : '-');
		free(got);
	}
	return text;
}

static void expect(const char *bytes)
{
	cr_assert(span_is(sink_span(&sink), bytes), "wrote %.*s, not %s", (int)sink.n, sink.bytes, bytes);
}

Test(outbox, nothing_leaves_before_the_burst_ends)
{
	put("one ");
	put("two");
	expect("");
	out_flush(tray);
	expect("one two");
	cr_assert_eq(sink.writes, 1, "one system call for a burst, not %u", sink.writes);
}

Test(outbox, reserve_and_commit_less)
{
	char *p = out_reserve(tray, &sink.ob, 100);

	memcpy(p, "abc", 3);
	out_commit(tray, &sink.ob, 3);
	put("d");
	out_flush(tray);
	expect("abcd");
}

Test(outbox, a_burst_larger_than_a_chunk_stays_in_order)
{
	char line[64];
	size_t at = 0;

	for (int i = 0; i < 5000; i++) {
		snprintf(line, sizeof line, "line %d of many;", i);
		put(line);
	}
	out_flush(tray);
	for (int i = 0; i < 5000; i++) {
		int n = snprintf(line, sizeof line, "line %d of many;", i);

		cr_assert(at + (size_t)n <= sink.n && memcmp(sink.bytes + at, line, (size_t)n) == 0, "line %d", i);
		at += (size_t)n;
	}
	cr_assert_eq(at, sink.n);
	cr_assert_eq(atomic_load(&sink.ob.queued), 0);
}

Test(outbox, one_piece_larger_than_a_chunk)
{
	static char big[200000];

	memset(big, 'x', sizeof big);
	put("a");
	cr_assert(out_put(tray, &sink.ob, span_of(big, sizeof big)));
	put("b");
	out_flush(tray);
	cr_assert_eq(sink.n, sizeof big + 2);
	cr_assert_eq(sink.bytes[0], 'a');
	cr_assert_eq(sink.bytes[sink.n - 1], 'b');
}

Test(outbox, many_links_in_one_burst)
{
	static struct sink many[40];

	for (int i = 0; i < 40; i++)
		sink_init(&many[i], 1000);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++) {
			char c[2] = { (char)('a' + i), 0 };

			cr_assert(out_put(tray, &many[i].ob, span_str(c)));
		}
	}
	out_flush(tray);
	for (int i = 0; i < 40; i++) {
		char want[4] = { (char)('a' + i), (char)('a' + i), (char)('a' + i), 0 };

		cr_assert(span_is(sink_span(&many[i]), want), "link %d", i);
		cr_assert_eq(atomic_load(&many[i].ob.refs), 1, "the tray kept a reference on link %d", i);
		sink_fini(&many[i]);
	}
}

static void write_more(struct sink *s)
{
	struct out_tray *other = out_tray_new();

	s->on_write = NULL;
	cr_assert(out_put(other, &s->ob, SPAN("two")));
	out_tray_free(&other);
}

Test(outbox, what_is_handed_over_during_a_write_follows_it)
{
	sink.on_write = write_more;
	put("one ");
	out_flush(tray);
	expect("one two");
}

Test(outbox, partial_writes_go_on_where_they_stopped)
{
	sink.piece = 3;
	put("0123456789");
	out_flush(tray);
	for (int i = 0; i < 10 && sink.n < 10; i++)
		outbox_writable(&sink.ob);
	expect("0123456789");
	cr_assert_eq(atomic_load(&sink.ob.queued), 0);
}

Test(outbox, a_full_link_asks_its_acceptor_once_and_keeps_order)
{
	sink.full = true;
	put("first ");
	note(1);
	out_flush(tray);
	put("second");
	note(2);
	out_flush(tray);
	expect("");
	cr_assert_eq(sink.armed, 1);
	cr_assert_str_eq(notes(), "");
	sink.full = false;
	outbox_writable(&sink.ob);
	expect("first second");
	cr_assert_str_eq(notes(), "1+ 2+");
}

Test(outbox, a_note_waits_for_the_last_byte_before_it)
{
	sink.piece = 4;
	put("12345678");
	note(1);
	out_flush(tray);
	expect("1234");
	cr_assert_str_eq(notes(), "");
	outbox_writable(&sink.ob);
	cr_assert_str_eq(notes(), "1+");
}

Test(outbox, a_note_without_bytes_comes_back_written)
{
	note(7);
	out_flush(tray);
	cr_assert_str_eq(notes(), "7+");
	cr_assert_eq(sink.writes, 0);
}

Test(outbox, closing_fails_what_was_not_written)
{
	put("a");
	note(1);
	out_flush(tray);
	sink.full = true;
	put("b");
	note(2);
	out_flush(tray);
	outbox_close(&sink.ob);
	cr_assert_str_eq(notes(), "1+ 2-");
	sink.full = false;
	put("c");
	note(3);
	out_flush(tray);
	cr_assert_str_eq(notes(), "3-", "a closed outbox forgets and says so");
	expect("a");
	cr_assert(outbox_closed(&sink.ob));
	cr_assert_eq(atomic_load(&sink.ob.queued), 0);
}

Test(outbox, a_dead_link_fails_its_notes)
{
	sink.dead = true;
	put("a");
	note(1);
	out_flush(tray);
	cr_assert_str_eq(notes(), "1-");
	cr_assert(outbox_closed(&sink.ob));
}

Test(outbox, past_its_limit_it_asks_to_be_closed_and_takes_no_more)
{
	static char big[600000];

	memset(big, 'x', sizeof big);
	sink.full = true;
	for (int i = 0; i < 4; i++) {
		cr_assert(out_put(tray, &sink.ob, span_of(big, sizeof big)));
		out_flush(tray);
	}
	note(1);
	out_flush(tray);
	cr_assert_eq(sink.overflows, 1);
	cr_assert_str_eq(notes(), "1-");
	cr_assert_eq(atomic_load(&sink.ob.queued), 0, "memory of a closed link");
	cr_assert(outbox_closed(&sink.ob));
}

Test(outbox, a_burst_learns_that_a_link_is_behind_when_it_comes_to_it_or_is_handed_over_early)
{
	static char big[300000];

	memset(big, 'x', sizeof big);
	sink.full = true;
	cr_assert_not(out_is_behind(tray, &sink.ob));
	cr_assert(out_put(tray, &sink.ob, span_of(big, sizeof big)));
	out_flush(tray);
	cr_assert_not(out_is_behind(tray, &sink.ob), "less than half of the limit waits");
	cr_assert(out_put(tray, &sink.ob, span_of(big, sizeof big)));
	put("another chunk");
	cr_assert_not(out_is_behind(tray, &sink.ob), "nothing was handed over");
	cr_assert_eq(out_relieve(tray), 1);
	cr_assert(out_is_behind(tray, &sink.ob));
	out_flush(tray);
	cr_assert(out_is_behind(tray, &sink.ob), "another burst");
	out_flush(tray);
	sink.full = false;
	while (outbox_waiting(&sink.ob))
		outbox_writable(&sink.ob);
	cr_assert_not(out_is_behind(tray, &sink.ob));
}

Test(outbox, only_its_acceptor_writes_when_told_so)
{
	sink.ob.by_acceptor = true;
	put("a");
	out_flush(tray);
	expect("");
	cr_assert_eq(sink.armed, 1);
	put("b");
	out_flush(tray);
	cr_assert_eq(sink.armed, 1, "asked already");
	outbox_writable(&sink.ob);
	expect("ab");
	put("c");
	out_flush(tray);
	cr_assert_eq(sink.armed, 2);
	outbox_writable(&sink.ob);
	expect("abc");
}

Test(outbox, free_is_called_with_the_last_reference)
{
	struct outbox *ob = &sink.ob, *more = ob;

	outbox_ref(ob);
	outbox_close(ob);
	outbox_unref(&ob);
	cr_assert_eq(sink.freed, 0);
	outbox_unref(&more);
	cr_assert_null(more);
	cr_assert_eq(sink.freed, 1);
}
