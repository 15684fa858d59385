/* io.c - the life of all links together: open, start, quiesce, stop.
 * Threads: main's, but io_serves(), which any acceptor calls.
 * Owns: struct io with its acceptors and listeners.
 */
#include <stdio.h>
#include <stdlib.h>

#include "io/link.h"
#include "shardsm/hash.h"
#include "shardsm/heart.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"

static bool serve(struct io *io, struct span name)
{
	uint32_t i = (uint32_t)hash_bytes(name) & io->served_mask;

	while (io->served[i].n && !span_eq(io->served[i], name))
		i = (i + 1) & io->served_mask;
	io->served[i] = name;
	return true;
}

static bool serve_all(struct io *io)
{
	uint32_t places = 8;

	while (places < 2 * (io->cfg.ndomains + 1))
		places *= 2;
	io->served = calloc(places, sizeof *io->served);
	io->served_mask = places - 1;
	if (!io->served)
		return false;
	serve(io, io->cfg.id);
	for (uint32_t i = 0; i < io->cfg.ndomains; i++)
		serve(io, io->cfg.domains[i]);
	return true;
}

bool io_serves(const struct io *io, struct span name)
{
	uint32_t i;

	if (span_eq(name, io->cfg.id))
		return true;
	if (name.n == 0)
		return false;
	i = (uint32_t)hash_bytes(name) & io->served_mask;
	while (io->served[i].n && !span_eq(io->served[i], name))
		i = (i + 1) & io->served_mask;
	return io->served[i].n != 0;
}

static void io_free(struct io **iop)
{
	struct io *io = *iop;

	*iop = NULL;
	for (uint32_t i = 0; i < io->cfg.nshards; i++)
		mailbox_tell_nobody(io->cfg.shards[i]);
	for (uint32_t i = 0; io->acceptors && i < io->cfg.acceptors; i++)
		acceptor_close(&io->acceptors[i]);
	digests_free(&io->digests);
	pthread_mutex_destroy(&io->binding);
	pthread_mutex_destroy(&io->penalties.lock);
	sem_destroy(&io->quiet);
	free(io->acceptors);
	free(io->listeners);
	free(io->served);
	free(io);
}

static bool open_parts(struct io *io)
{
	const struct io_config *cfg = &io->cfg;

	io->acceptors = calloc(cfg->acceptors, sizeof *io->acceptors);
	io->listeners = calloc(cfg->nlistens ? cfg->nlistens : 1, sizeof *io->listeners);
	io->digests = digests_new();
	if (!io->acceptors || !io->listeners || !io->digests || !serve_all(io)) {
		log_error("links: not enough memory to start");
		return false;
	}
	for (uint32_t i = 0; i < cfg->acceptors; i++)
		io->acceptors[i].ep = io->acceptors[i].mb.fd = -1;
	for (uint32_t i = 0; i < cfg->nlistens; i++)
		io->listeners[i].watch.fd = -1;
	for (uint32_t i = 0; i < cfg->acceptors; i++) {
		if (!acceptor_open(&io->acceptors[i], io, i))
			return false;
	}
	for (uint32_t i = 0; i < cfg->nlistens; i++) {
		if (!listener_open(&io->listeners[i], &cfg->listens[i]))
			return false;
	}
	return true;
}

struct io *io_open(const struct io_config *config)
{
	struct io *io = calloc(1, sizeof *io);

	if (!io)
		return NULL;
	io->cfg = *config;
	links_orphaned(false);
	outboxes_limit(config->tuning.links_bytes);
	pthread_mutex_init(&io->binding, NULL);
	pthread_mutex_init(&io->penalties.lock, NULL);
	sem_init(&io->quiet, 0, 0);
	if (!open_parts(io))
		io_free(&io);
	return io;
}

static bool is_less_busy(struct acceptor *a, struct acceptor *b)
{
	uint32_t links = atomic_load_explicit(&a->nlinks, memory_order_relaxed), others = atomic_load_explicit(&b->nlinks, memory_order_relaxed);

	if (links != others)
		return links < others;
	return atomic_load_explicit(&a->busy, memory_order_relaxed) < atomic_load_explicit(&b->busy, memory_order_relaxed);
}

struct acceptor *io_place(struct io *io)
{
	struct acceptor *least = &io->acceptors[0];

	for (uint32_t i = 1; i < io->cfg.acceptors; i++)
		if (is_less_busy(&io->acceptors[i], least))
			least = &io->acceptors[i];
	atomic_fetch_add_explicit(&least->nlinks, 1, memory_order_relaxed);
	return least;
}

bool io_start(struct io *io)
{
	for (uint32_t i = 0; i < io->cfg.acceptors; i++) {
		struct acceptor *a = &io->acceptors[i];

		if (pthread_create(&a->thread, NULL, acceptor_run, a) != 0) {
			log_error("acceptor %u: no thread", (unsigned)i);
			return false;
		}
		char name[24];

		snprintf(name, sizeof(name), "acceptor %u", (unsigned)i);
		pthread_setname_np(a->thread, name);
		heart_await_start();
		a->started = true;
	}
	return true;
}

void io_retune(struct io *io, const struct io_tuning *tuning)
{
	io->cfg.tuning = *tuning;
	outboxes_limit(tuning->links_bytes);
	for (uint32_t i = 0; i < io->cfg.acceptors; i++)
		for (struct link *link = io->acceptors[i].links; link; link = link->next)
			link_retune(link);
}

struct mailbox *io_mailbox(struct io *io, uint32_t i)
{
	return &io->acceptors[i].mb;
}

uint16_t io_listening(const struct io *io, uint32_t i)
{
	return io->listeners[i].port;
}

void io_quiesce(struct io *io, const struct deadline *deadline)
{
	if (io->quiesced)
		return;
	io->quiesced = true;
	io->deadline = deadline;
	for (uint32_t i = 0; i < io->cfg.acceptors; i++) {
		struct letter *letter = &io->acceptors[i].quiesce;

		if (io->acceptors[i].started)
			mailbox_post(&io->acceptors[i].mb, &letter);
	}
	for (uint32_t i = 0; i < io->cfg.acceptors; i++) {
		while (io->acceptors[i].started && sem_wait(&io->quiet) != 0)
			;
	}
}

bool io_stop(struct io **iop, const struct deadline *deadline)
{
	struct io *io = *iop;
	bool done = true;

	if (!io)
		return true;
	io_quiesce(io, deadline);
	for (uint32_t i = 0; i < io->cfg.acceptors; i++) {
		struct letter *letter = &io->acceptors[i].finish;

		if (io->acceptors[i].started)
			mailbox_post(&io->acceptors[i].mb, &letter);
	}
	for (uint32_t i = 0; i < io->cfg.acceptors; i++) {
		if (io->acceptors[i].started)
			pthread_join(io->acceptors[i].thread, NULL);
		done = done && !io->acceptors[i].left;
	}
	/* Names still hold links. One that they let go of from here on is freed; those that were let go of before are in the mailboxes. */
	links_orphaned(true);
	rcu_settle();
	io_free(iop);
	return done;
}
