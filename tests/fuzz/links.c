/* links.c - an acceptor on the thread of the test, and what the peers of its links do.
 * Threads: one.
 * Owns: see links.h.
 */
#include "links.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "../world/alone.h"
#include "links_peer.h"
#include "links_wire.h"
#include "shardsm/clock.h"
#include "shardsm/hash.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"
#include "shardsm/stats.h"

#define HEADER "<stream:stream xmlns:stream='" NS_STREAMS "' version='1.0'>"
#define ACCEPT_HEADER "<stream:stream xmlns='" NS_ACCEPT "' xmlns:stream='" NS_STREAMS "' to='comp.test'>"
#define LINK_BYTES (64u * 1024)
#define SHARD_BYTES 2048

static struct {
	struct names *names;
	struct mailbox boxes[LINKS_SHARDS], *box[LINKS_SHARDS];
	struct io *io;
	struct acceptor *a;
	struct out_tray *out; /* a shard's */
	struct peer peers[LINKS];
	struct records *records;
	const struct manner *manner;
	bool shapes, silent, held, apart; /* apart: from here on it depends on the manner what happens */
	uint64_t now;
} rig;

static const struct io_listen listens[] = { { .ip = "127.0.0.1", .user = PEER_USER, .pass = PEER_PASS, .secret = PEER_SECRET } };
static const struct span domains[] = { { "shard.test", 10 } };

/* --- time, and what is remembered ------------------------------------------------------------------------------------- */

/* Nobody posts while the acceptor sleeps. */
bool __wrap_mailbox_may_sleep(struct mailbox *mb);
bool __wrap_mailbox_may_sleep(struct mailbox *mb)
{
	(void)mb;
	return false;
}

uint64_t __wrap_clock_mono_ms(void);
uint64_t __wrap_clock_mono_ms(void) { return rig.now; }

struct route_shapes *__real_route_shapes_new(void);
struct route_shapes *__wrap_route_shapes_new(void);
struct route_shapes *__wrap_route_shapes_new(void) { return rig.shapes ? __real_route_shapes_new() : NULL; }

static char letter_of(const struct outbox *ob)
{
	for (unsigned i = 0; ob && i < LINKS; i++)
		if (rig.peers[i].link && ob == &rig.peers[i].link->ob)
			return (char)('a' + i);
	return '-';
}

static void record(struct buf *to, struct span text)
{
	if (!rig.silent)
		buf_put(to, text);
}

/* --- what shards get --------------------------------------------------------------------------------------------------- */

static void take_peer(struct buf *out, struct peer_gone *peer)
{
	char line[300];

	snprintf(line, sizeof(line), "%c %s %.*s\n", letter_of(peer->link), peer->letter.kind == LETTER_PEER_GONE ? "gone" : "here",
		(int)peer->name_len, peer->name);
	record(out, span_str(line));
	outbox_unref(&peer->link);
	free(peer);
}

static void take_batch(struct buf *out, struct batch *b)
{
	struct packet *p = batch_first(b);
	struct buf line;

	for (uint32_t i = 0; i < b->count; i++, p = batch_next(b, p)) {
		buf_init(&line);
		links_packet(&line, p, letter_of(p->link));
		record(out, buf_span(&line));
		buf_free(&line);
	}
	batch_free(&b);
}

static bool take(unsigned shard)
{
	struct letter *last, *letter = mailbox_take(&rig.boxes[shard], &last), *next;
	struct buf *out = &rig.records->posted[shard];
	bool busy = letter;

	for (; letter; letter = next) {
		next = mailbox_next(letter, last);
		if (letter->kind == LETTER_BATCH)
			take_batch(out, caa_container_of(letter, struct batch, letter));
		else if (letter->kind == LETTER_PEER_GONE || letter->kind == LETTER_PEER_HERE)
			take_peer(out, caa_container_of(letter, struct peer_gone, letter));
		else
			broken("a letter of kind %u for a shard", letter->kind);
	}
	return busy;
}

/* --- turns ------------------------------------------------------------------------------------------------------------- */

/* A link that was closed is freed when the turn is over: it is looked up before it is touched. */
static void look_for(struct peer *peer)
{
	struct link *link = rig.a->links;

	while (link && link != peer->link)
		link = link->next;
	peer->link = link;
}

static void settle(void)
{
	unsigned idle = 0;

	while (idle < 2) {
		bool busy = false;

		acceptor_turn(rig.a);
		for (unsigned i = 0; i < LINKS; i++)
			busy |= peer_hear(&rig.peers[i], rig.silent ? NULL : &rig.records->told[i]);
		for (unsigned i = 0; i < LINKS_SHARDS && !rig.held; i++)
			busy |= take(i);
		for (unsigned i = 0; i < LINKS; i++)
			look_for(&rig.peers[i]);
		alone_grace();
		idle = busy ? 0 : idle + 1;
	}
}

/* --- a script ---------------------------------------------------------------------------------------------------------- */

static void say_piece(struct peer *peer, const char *p, size_t n)
{
	if (peer->fd >= 0)
		wire_say(peer->fd, span_of(p, n));
	settle();
}

static void say(struct peer *peer, struct span text)
{
	bool alive = peer->link && link_alive(peer->link);
	uint32_t at = 0, step = text.n / 9 + 1;

	while (rig.manner->pieces && text.n - at > step) {
		uint32_t n = 1 + (at * 7 + text.n) % step;

		say_piece(peer, text.p + at, n);
		at += n;
	}
	say_piece(peer, text.p + at, text.n - at);
	rig.apart |= alive && !(peer->link && link_alive(peer->link));
}

static void come(unsigned i, bool trusted)
{
	struct peer *peer = &rig.peers[i];

	if (peer->link)
		return;
	peer_go(peer);
	peer_come(peer, i == LINK_ACCEPT, rig.io->digests);
	peer->link = link_new(rig.a, peer->fd, SPAN("peer"));
	if (!peer->link)
		broken("no link");
	if (i == LINK_ROUTER) {
		peer->link->router = true;
		rig.a->dial.link = peer->link;
		peer->link->stage = trusted ? OUT_RESTART : OUT_HEADER;
		stream_open(peer->link);
		return;
	}
	atomic_fetch_add(&rig.io->strangers, 1);
	peer->link->counted = true;
	peer->link->listen = listens;
	peer->link->stage = trusted && i != LINK_ACCEPT ? IN_RESTART : IN_HEADER;
}

static void say_line(struct peer *peer, struct span line)
{
	struct buf b;

	buf_init(&b);
	peer_put(&b, peer, line);
	say(peer, buf_span(&b));
	buf_free(&b);
}

static void trust(unsigned i)
{
	struct peer *peer = &rig.peers[i];

	if (peer->link)
		return;
	come(i, true);
	if (i == LINK_ACCEPT) {
		say_line(peer, SPAN(ACCEPT_HEADER));
		say_line(peer, SPAN("<handshake>$h</handshake>"));
	} else {
		say_line(peer, SPAN(HEADER));
	}
	if (i == LINK_ROUTER)
		say_line(peer, SPAN("<stream:features/>"));
}

/* As a shard writes: whole frames that a peer can read. */
static void send_out(struct peer *peer, struct span line)
{
	struct buf frame;

	buf_init(&frame);
	peer_put(&frame, peer, line);
	if (peer->link && peer->link->stage == LINK_ONLINE && route_check(NULL, buf_span(&frame), NULL) &&
		!out_put(rig.out, &peer->link->ob, buf_span(&frame)))
		broken("no memory");
	out_flush(rig.out);
	buf_free(&frame);
}

static void play_link(char what, unsigned i, struct span rest)
{
	struct peer *peer = &rig.peers[i];

	switch (what) {
	case '+':
		come(i, false);
		break;
	case '*':
		trust(i);
		break;
	case '>':
		send_out(peer, rest);
		break;
	case '-':
		peer_go(peer);
		break;
	case '/':
		if (peer->fd >= 0)
			wire_end(peer->fd);
		break;
	case '!':
		rig.apart = true;
		peer->deaf = !peer->deaf;
		break;
	}
}

static void pass_time(char digit)
{
	uint64_t ms = 1;

	for (; digit > '0' && digit <= '5'; digit--)
		ms *= 10;
	rig.now += ms;
}

static void play_line(struct span line)
{
	char first = line.p[0];
	unsigned link = line.n > 1 ? (unsigned)line.p[1] - 'a' : LINKS;

	if (first >= 'a' && first < 'a' + LINKS)
		say_line(&rig.peers[first - 'a'], span_of(line.p + 1, line.n - 1));
	else if (first == 'h') {
		rig.apart = true;
		rig.held = !rig.held;
	} else if (first == 't' && line.n > 1)
		pass_time(line.p[1]);
	else if (link < LINKS)
		play_link(first, link, span_of(line.p + 2, line.n - 2));
	settle();
}

static void begin(const struct manner *manner, struct records *out)
{
	alone_chance(1);
	rig.manner = manner;
	rig.records = out;
	rig.shapes = manner->shapes;
	rig.io->cfg.route_mxml = manner->mxml;
	rig.silent = rig.held = rig.apart = false;
	rig.now = 1000000;
	rig.a->now = rig.now;
	rig.a->dial = (struct dial){ .left = -1 };
	memset(rig.io->penalties.places, 0, sizeof(rig.io->penalties.places));
	for (unsigned i = 0; i < LINKS; i++)
		buf_clear(&out->told[i]);
	for (unsigned i = 0; i < LINKS_SHARDS; i++)
		buf_clear(&out->posted[i]);
}

static void still_bound(struct span name, unsigned flags, struct outbox *ob, void *arg)
{
	(void)flags;
	(void)ob;
	(void)arg;
	broken(SPAN_FMT " stays bound", SPAN_ARG(name));
}

/* Every peer goes, and nothing may be left. */
static void end(void)
{
	rig.silent = true;
	rig.held = false;
	for (unsigned i = 0; i < LINKS; i++)
		peer_go(&rig.peers[i]);
	settle();
	if (rig.a->links || rig.a->wrecks || rig.a->paused || rig.io->strangers)
		broken("left over: links %d, wrecks %d, paused %u, strangers %u", rig.a->links != NULL, rig.a->wrecks != NULL, rig.a->paused,
			(unsigned)rig.io->strangers);
	if (!wire_none())
		broken("a link is kept that nobody knows any more");
	for (unsigned i = 0; i < LINKS_SHARDS; i++)
		if (mailbox_load(&rig.boxes[i]))
			broken("%llu bytes of packets are not accounted for", (unsigned long long)mailbox_load(&rig.boxes[i]));
	names_each_rcu(rig.names, still_bound, NULL);
	if (names_router_rcu(rig.names))
		broken("the router stays");
}

uint32_t links_play(struct span script, const struct manner *manner, struct records *out)
{
	uint32_t line = 0, apart = LINKS_TO_THE_END;

	begin(manner, out);
	for (const char *p = script.p, *all = script.p + script.n; p < all; line++) {
		const char *nl = memchr(p, '\n', (size_t)(all - p));
		size_t n = (size_t)((nl ? nl : all) - p);

		rig.silent |= line == manner->lines;
		if (n)
			play_line(span_of(p, n));
		if (rig.apart && apart == LINKS_TO_THE_END) {
			apart = line + 1;
			rig.silent = true;
		}
		p += n + 1;
	}
	end();
	return apart;
}

/* --- opening ----------------------------------------------------------------------------------------------------------- */

void links_open(void)
{
	alone_chance(0);
	hash_init();
	log_open(SPAN("file"), NULL, NULL, getenv("LINKS_LOG") ? getenv("LINKS_LOG") : "/dev/null");
	xml_thread_init();
	rcu_thread_start();
	rig.names = names_new();
	rig.out = out_tray_new();
	for (unsigned i = 0; i < LINKS_SHARDS; i++) {
		rig.box[i] = &rig.boxes[i];
		if (!mailbox_init(rig.box[i], "shard"))
			broken("no mailbox");
	}
	for (unsigned i = 0; i < LINKS; i++)
		rig.peers[i].fd = -1;
	rig.io = io_open(&(struct io_config){ .acceptors = 1, .shards = rig.box, .nshards = LINKS_SHARDS, .names = rig.names, .id = SPAN("sm"),
		.domains = domains, .ndomains = 1, .router = { .ip = "127.0.0.1", .user = PEER_USER, .pass = PEER_PASS, .retry_lost = -1, .retry_sleep = 1 << 30 },
		.tuning = { .limits = route_limits_default, .link_bytes = LINK_BYTES, .shard_bytes = SHARD_BYTES } });
	if (!rig.names || !rig.out || !rig.io)
		broken("no memory");
	rig.a = &rig.io->acceptors[0];
}

void links_close(void)
{
	struct deadline at_once;

	out_tray_free(&rig.out);
	rcu_thread_end();
	deadline_set(&at_once, 0);
	if (!io_stop(&rig.io, &at_once))
		broken("a link was left with something on it");
	names_free(&rig.names);
	alone_grace();
	for (unsigned i = 0; i < LINKS_SHARDS; i++)
		mailbox_fini(&rig.boxes[i]);
	log_close();
}
