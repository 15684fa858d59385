/* loop.c - main's loop: signals, connections, answers of shards, one after the other.
 * Threads: main's.
 * Owns: struct admin.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "admin/admin.h"
#include "shardsm/clock.h"
#include "shardsm/log.h"
#include "shardsm/rcu.h"
#include "shardsm/stats.h"

#define EVENTS 32
#define TICK_MS 1000 /* deadlines, and whether the last session has gone, are looked at this often */

bool admin_watch(struct admin *admin, struct watch *w, uint32_t events, bool again)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	return epoll_ctl(admin->ep, again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) == 0;
}

static void on_signal(struct admin *admin, struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGHUP) {
			admin->stop = true;
			continue;
		}
		log_reopen();
		log_notice("log reopened on SIGHUP"); /* the next line is what opens it */
		admin->set.reload(NULL, admin->set.arg);
	}
}

static void on_letters(struct admin *admin, struct watch *w, uint32_t events)
{
	/* Letters are taken in every turn. */
	(void)admin;
	(void)w;
	(void)events;
}

static void take_letters(struct admin *admin)
{
	struct letter *last, *l = mailbox_take(&admin->box, &last), *next;

	for (; l; l = next) {
		next = mailbox_next(l, last);
		command_collect(admin, (struct server_answer *)l);
	}
}

static bool open_signals(struct admin *admin)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	admin->signals = (struct watch){ on_signal, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) };
	return admin->signals.fd >= 0 && admin_watch(admin, &admin->signals, EPOLLIN, false);
}

struct admin *admin_open(const struct admin_settings *settings)
{
	struct admin *admin = calloc(1, sizeof(*admin));

	if (!admin)
		return NULL;
	admin->set = *settings;
	admin->started = clock_wall();
	admin->started_ms = clock_mono_ms();
	admin->box.fd = admin->signals.fd = admin->control.watch.fd = admin->metrics.watch.fd = -1;
	admin->ep = epoll_create1(EPOLL_CLOEXEC);
	if (admin->ep < 0 || !open_signals(admin) || !mailbox_init(&admin->box, "main")) {
		log_error("main: cannot wait for signals (%m)");
		admin_close(&admin);
		return NULL;
	}
	admin->letters = (struct watch){ on_letters, admin->box.fd };
	if (!admin_watch(admin, &admin->letters, EPOLLIN, false) || (settings->socket && !door_open_control(admin, settings->socket)) ||
		(settings->metrics_ip && !door_open_metrics(admin, settings->metrics_ip, settings->metrics_port)))
		admin_close(&admin);
	return admin;
}

uint16_t admin_metrics_port(const struct admin *admin)
{
	return admin->metrics_port;
}

static void turn(struct admin *admin)
{
	struct epoll_event events[EVENTS];
	uint32_t tick = admin->set.tick ? admin->set.tick(admin->set.arg) : TICK_MS;
	bool sleeps = mailbox_may_sleep(&admin->box);

	rcu_sleep();
	int n = epoll_wait(admin->ep, events, EVENTS, sleeps ? (int)(tick < TICK_MS ? tick : TICK_MS) : 0);

	rcu_wake();
	if (sleeps)
		mailbox_woken(&admin->box);
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		w->ready(admin, w, events[i].events);
	}
	take_letters(admin);
	connections_sweep(admin, clock_mono_ms());
	if (admin->draining && stat_left(STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED) == 0) {
		log_notice("drained: the last session has ended");
		admin->stop = true;
	}
}

void admin_run(struct admin *admin)
{
	rcu_thread_start();
	while (!admin->stop)
		turn(admin);
	rcu_thread_end();
}

void admin_close(struct admin **adminp)
{
	struct admin *admin = *adminp;
	struct letter *l, *last, *next;

	*adminp = NULL;
	if (!admin)
		return;
	connections_close(admin);
	for (l = admin->box.fd >= 0 ? mailbox_take(&admin->box, &last) : NULL; l; l = next) {
		next = mailbox_next(l, last);
		server_answer_free((struct server_answer *)l);
	}
	if (admin->box.fd >= 0)
		mailbox_fini(&admin->box);
	if (admin->control.watch.fd >= 0) {
		close(admin->control.watch.fd);
		unlink(admin->set.socket);
	}
	if (admin->metrics.watch.fd >= 0)
		close(admin->metrics.watch.fd);
	if (admin->signals.fd >= 0)
		close(admin->signals.fd);
	if (admin->ep >= 0)
		close(admin->ep);
	free(admin);
}
