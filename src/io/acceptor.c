/* acceptor.c - an acceptor's thread: one turn after the other.
 * Threads: one for each acceptor.
 * Owns: its links (one reference each), its trays, its mailbox.
 *
 * A turn: sleep until something is there; read links, cut and send on what came; take letters; look at the time; then
 * post one batch to each shard, write what links of ours are to get, and say quiescent.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/link.h"
#include "shardsm/clock.h"
#include "shardsm/heart.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"
#include "shardsm/standstill.h"
#include "shardsm/stats.h"
#include "shardsm/xml.h"

#define EVENTS 64
#define TICK_MS 1000  /* deadlines are looked at this often */
#define FINISH_TICK_MS 20
#define READ_LEAST (16u * 1024) /* of one link in a turn with many: whose turn comes last waits for what is read before it */

static void mailbox_ready(struct acceptor *a, struct watch *w, uint32_t events)
{
	/* Letters are taken in every turn. */
	(void)a;
	(void)w;
	(void)events;
}

bool acceptor_open(struct acceptor *a, struct io *io, uint32_t index)
{
	*a = (struct acceptor){ .io = io, .index = index, .ep = -1, .mb.fd = -1 };
	a->quiesce.kind = LETTER_IO_QUIESCE;
	a->finish.kind = LETTER_IO_FINISH;
	a->ep = epoll_create1(EPOLL_CLOEXEC);
	a->out = out_tray_new();
	a->holds = calloc(io->cfg.nshards, sizeof *a->holds);
	if (a->ep < 0 || !a->out || !a->holds || !mailbox_init(&a->mb, "acceptor") ||
		!dispatch_tray_init(&a->shards, io->cfg.shards, io->cfg.nshards)) {
		log_error("acceptor %u: cannot start (%m)", (unsigned)index);
		return false;
	}
	a->mb_watch = (struct watch){ .ready = mailbox_ready, .fd = a->mb.fd };
	return acceptor_watch(a, &a->mb_watch, EPOLLIN);
}

bool acceptor_watch(struct acceptor *a, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };
	int op = w->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

	if (w->events == events)
		return true;
	if (epoll_ctl(a->ep, op, w->fd, &e) != 0)
		return false;
	w->events = events;
	return true;
}

bool acceptor_scratch(struct acceptor *a, size_t frame, struct scratch_frame *out)
{
	/* Decoded values are never longer than what they were decoded from. */
	size_t need = 2 * frame + 256;

	if (a->scratch_cap < need) {
		char *p = realloc(a->scratch, need);

		if (!p)
			return false;
		a->scratch = p;
		a->scratch_cap = need;
	}
	*out = (struct scratch_frame){ a->scratch, a->scratch + frame, a->scratch_cap - frame };
	return true;
}

void acceptor_tell_shards(struct acceptor *a, struct peer_gone **letters)
{
	/* A shard that hears of a component may speak to it at once: what we have said to it, the answer to its bind, comes first. */
	out_flush(a->out);
	for (uint32_t i = 0; i < a->io->cfg.nshards; i++) {
		struct letter *letter = &letters[i]->letter;

		dispatch_tray_post_one(&a->shards, i);
		mailbox_post(a->io->cfg.shards[i], &letter);
		letters[i] = NULL;
	}
}

static void quiesce(struct acceptor *a)
{
	struct link *next;

	for (uint32_t i = 0; a->index == 0 && i < a->io->cfg.nlistens; i++) {
		acceptor_watch(a, &a->io->listeners[i].watch, 0);
		a->io->listeners[i].again = 0;
	}
	for (struct link *link = a->links; link; link = next) {
		next = link->next;
		link_read_last(link);
	}
	for (struct link *link = a->links; link; link = link->next)
		if (!link->held)
			link_stop_reading(link);
	a->dial.at = 0;
	a->phase = PHASE_LAST;
}

/* Once no link waits for a shard any more, or there is no more time for that. */
static void quiet(struct acceptor *a)
{
	if (a->phase != PHASE_LAST || (a->paused && deadline_left(a->io->deadline, QUEUED_PERCENT)))
		return;
	a->left = a->paused;
	hold_none(a);
	salvage(a, true);
	a->phase = PHASE_QUIET;
	dispatch_tray_post(&a->shards);
	sem_post(&a->io->quiet);
}

static void finish(struct acceptor *a)
{
	struct link *next;

	a->phase = PHASE_FINISH;
	for (struct link *link = a->links; link; link = next) {
		next = link->next;
		link_end(link, NULL, NULL);
	}
}

/* Who is silent longest makes room: a login takes milliseconds, and those who only connect must not keep out who has one to do. */
static void make_room(struct acceptor *a)
{
	struct link *longest = NULL, *silent = NULL;

	if (atomic_load_explicit(&a->io->strangers, memory_order_relaxed) <= STRANGERS_MANY)
		return;
	/* The list begins with the latest. */
	for (struct link *link = a->links; link; link = link->next) {
		if (!link->counted)
			continue;
		longest = link;
		if (link->stage == IN_HEADER)
			silent = link;
	}
	if (!longest)
		return;
	log_limited(LOG_LEVEL_WARNING, "%s closed: it has not logged in, and neither have %d others", (silent ? silent : longest)->ob.name,
		STRANGERS_MANY);
	link_lost(silent ? silent : longest, NULL);
}

static void fresh_link(struct acceptor *a, struct fresh *fresh)
{
	struct link *link = NULL;

	if (a->phase == PHASE_RUN)
		link = link_new(a, fresh->fd, (struct span){ 0 });
	else
		close(fresh->fd);
	if (!link) {
		atomic_fetch_sub_explicit(&a->io->strangers, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&a->nlinks, 1, memory_order_relaxed);
		return;
	}
	make_room(a);
	link->counted = true;
	link->listen = fresh->listen;
	link->stage = IN_HEADER;
	log_limited(LOG_LEVEL_NOTICE, "%s connect", link->ob.name);
}

static void take_letters(struct acceptor *a)
{
	struct letter *last, *letter = mailbox_take(&a->mb, &last), *next;

	for (; letter; letter = next) {
		next = mailbox_next(letter, last);
		switch (letter->kind) {
		case LETTER_LINK:
			link_asked(caa_container_of(letter, struct link, letter));
			break;
		case LETTER_HALT:
			standstill_here(letter);
			break;
		case LETTER_IO_FRESH:
			fresh_link(a, caa_container_of(letter, struct fresh, letter));
			free(caa_container_of(letter, struct fresh, letter));
			break;
		case LETTER_IO_WRECK:
			salvage_begin(a, caa_container_of(letter, struct link, letter));
			break;
		case LETTER_ROOM:
			a->wrecks_wait = false;
			hold_room(a, (uint32_t)(caa_container_of(letter, struct hold, room.letter) - a->holds));
			break;
		case LETTER_IO_QUIESCE:
			quiesce(a);
			break;
		case LETTER_IO_FINISH:
			finish(a);
			break;
		default:
			break;
		}
	}
}

void acceptor_close(struct acceptor *a)
{
	for (uint32_t i = 0; a->index == 0 && i < a->io->cfg.nlistens; i++) {
		if (a->io->listeners[i].watch.fd >= 0)
			close(a->io->listeners[i].watch.fd);
	}
	out_tray_free(&a->out);
	if (a->shards.open)
		dispatch_tray_fini(&a->shards);
	if (a->mb.fd >= 0)
		take_letters(a); /* links that others let go of last */
	mailbox_fini(&a->mb);
	if (a->ep >= 0)
		close(a->ep);
	free(a->scratch);
	free(a->holds);
}

/* What it read a while ago does not keep links away. */
static void busy_once(struct acceptor *a)
{
	if (a->now - a->busy_at < TICK_MS)
		return;
	a->busy_at = a->now;
	atomic_store_explicit(&a->busy, atomic_load_explicit(&a->busy, memory_order_relaxed) / 2, memory_order_relaxed);
}

static void look_at_time(struct acceptor *a)
{
	struct link *next;

	busy_once(a);
	a->look = 0;
	for (struct link *link = a->links; link; link = next) {
		next = link->next;
		if (unlikely(link->rival))
			takeover_look(link);
		if (unlikely(link->unread))
			link_unread_look(link);
		if (link->stage == IN_PENALTY && a->now < link->deadline && (a->look == 0 || link->deadline < a->look))
			a->look = link->deadline;
		if (link->deadline == 0 || a->now < link->deadline)
			continue;
		if (link->stage == IN_PENALTY)
			stream_refused(link);
		else if (link->stage == LINK_CLOSING)
			link_lost(link, NULL);
		else if (link->router)
			link_lost(link, "it did not answer");
		else
			link_end(link, "connection-timeout", "it did not log in in time");
	}
	for (uint32_t i = 0; a->index == 0 && i < a->io->cfg.nlistens; i++)
		listener_again(a, &a->io->listeners[i]);
	if (a->dial.at && a->now >= a->dial.at)
		dial_timer(a);
}

static void reap(struct acceptor *a)
{
	while (a->dead) {
		struct link *link = a->dead;
		struct outbox *ob = &link->ob;

		a->dead = link->next;
		free(link->in);
		link->in = NULL;
		outbox_unref(&ob);
	}
}

static int sleep_ms(const struct acceptor *a)
{
	uint64_t until = a->now + TICK_MS;

	if (a->wrecks && !a->wrecks_wait && a->wrecks_look < until)
		until = a->wrecks_look;
	if (a->look && a->look < until)
		until = a->look;
	if (a->dial.at && a->dial.at < until)
		until = a->dial.at;
	for (uint32_t i = 0; a->index == 0 && i < a->io->cfg.nlistens; i++) {
		uint64_t again = a->io->listeners[i].again;

		if (again && again < until)
			until = again;
	}
	if (a->phase != PHASE_RUN)
		until = a->now + FINISH_TICK_MS;
	return until > a->now ? (int)(until - a->now) : 0;
}

void acceptor_turn(struct acceptor *a)
{
	struct epoll_event events[EVENTS];
	int ms = sleep_ms(a), n;

	stat_inc(STAT_ACCEPTOR_TURNS);
	if (mailbox_may_sleep(&a->mb)) {
		stat_inc(STAT_ACCEPTOR_SLEEPS);
		rcu_sleep();
		n = epoll_wait(a->ep, events, EVENTS, ms);
		rcu_wake();
		mailbox_woken(&a->mb);
	} else {
		n = epoll_wait(a->ep, events, EVENTS, 0);
	}
	a->now = clock_mono_ms();
	a->handshakes = 0;
	a->turn_bytes = READ_BYTES / (n > 1 ? (uint32_t)n : 1);
	if (a->turn_bytes < READ_LEAST)
		a->turn_bytes = READ_LEAST;
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		w->ready(a, w, events[i].events);
	}
	take_letters(a);
	look_at_time(a);
	salvage(a, false);
	quiet(a);
	dispatch_tray_post(&a->shards);
	out_flush(a->out);
	reap(a);
	rcu_quiet();
}

/* The end: nobody waits any longer for whoever has not read. */
static void close_links(struct acceptor *a)
{
	while (a->links) {
		a->left |= !link_drained(a->links);
		link_lost(a->links, "it did not read in time");
	}
	reap(a);
}

void *acceptor_run(void *arg)
{
	struct acceptor *a = arg;
	char name[24];

	rcu_thread_start();
	stats_thread_start();
	xml_thread_init();
	a->now = clock_mono_ms();
	for (uint32_t i = 0; a->index == 0 && i < a->io->cfg.nlistens; i++)
		acceptor_watch(a, &a->io->listeners[i].watch, EPOLLIN);
	if (a->index == 0 && a->io->cfg.router.ip) {
		a->dial.left = a->io->cfg.router.retry_init;
		dial_now(a);
	}
	snprintf(name, sizeof(name), "acceptor %u", (unsigned)a->index);
	heart_start(name);
	while (a->phase != PHASE_FINISH || (a->links && deadline_left(a->io->deadline, LINKS_PERCENT))) {
		heart_beat();
		acceptor_turn(a);
	}
	close_links(a);
	/* A link may have asked in its last moments; its letter holds a reference. */
	take_letters(a);
	reap(a);
	heart_end();
	rcu_thread_end();
	return NULL;
}
