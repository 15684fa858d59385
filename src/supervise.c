/* supervise.c - looks for signs of life, and passes on what it finds.
 * Threads: see the header.
 * Owns: nothing.
 */
#include "supervise.h"

#include <stdio.h>

#include "program.h"
#include "shardsm/clock.h"
#include "shardsm/heart.h"
#include "shardsm/log.h"
#include "shardsm/notify.h"
#include "shardsm/stats.h"

#define LOOK_MS 1000
#define SILENT_MS 10000     /* without a watchdog: a thread that gives no sign for so long is named in the log */
#define SILENT_LEAST_MS (3 * HEART_MS / 2)
#define STARTING_MS 100     /* until the router has taken us in: who waits for that hears of it soon */
#define MORE_START_MS 10000 /* a router that is tried again and again is no reason to be killed */

static struct {
	_Atomic bool at_router;
	bool ready;
	uint64_t fed, status_at;
	char status[160];
} s;

void supervise_start(const struct program *p)
{
	if (!p->options.dial)
		atomic_store(&s.at_router, true);
}

void supervise_ready(void)
{
	atomic_store(&s.at_router, true);
}

static void say_status(const struct program *p, uint64_t now)
{
	char status[sizeof(s.status)];

	if (s.status_at && now - s.status_at < LOOK_MS)
		return;
	s.status_at = now;
	if (s.ready)
		snprintf(status, sizeof(status), "%llu sessions, %llu users in memory",
			(unsigned long long)stat_left(STAT_SESSIONS_STARTED, STAT_SESSIONS_ENDED),
			(unsigned long long)stat_left(STAT_USERS_LOADED, STAT_USERS_UNLOADED));
	else
		snprintf(status, sizeof(status), "waiting for the router at %s, port %u", p->options.router.ip, p->options.router.port);
	if (!s.ready && notify_heard())
		notify("EXTEND_TIMEOUT_USEC=%llu", MORE_START_MS * 1000ULL);
	if (strcmp(status, s.status) == 0)
		return;
	memcpy(s.status, status, sizeof(status));
	notify("STATUS=%s", status);
}

/* Half of what the watchdog allows goes by before a thread counts as stuck, the other half until it is not fed any more: whoever comes back
 * in the first does no harm. */
uint32_t supervise(void *arg)
{
	const struct program *p = arg;
	const uint32_t watchdog = notify_watchdog_ms(), half = watchdog / 2;
	const uint32_t silent = !watchdog ? SILENT_MS : half > SILENT_LEAST_MS ? half : SILENT_LEAST_MS;
	uint64_t now = clock_mono_ms();

	if (!s.ready && atomic_load(&s.at_router)) {
		s.ready = true;
		s.status_at = 0;
		notify("READY=1");
	}
	say_status(p, now);
	if (hearts_alive(now, silent) && watchdog && now - s.fed >= half / 2) {
		s.fed = now;
		notify("WATCHDOG=1");
	}
	if (!s.ready && notify_heard())
		return STARTING_MS;
	return watchdog && half / 2 < LOOK_MS ? half / 2 + 1 : LOOK_MS;
}

void supervise_reload(bool begins)
{
	if (s.ready && begins)
		notify_reloading();
	else if (s.ready)
		notify("READY=1");
}

void supervise_stopping(uint32_t ms)
{
	notify("STOPPING=1\nSTATUS=shutting down\nEXTEND_TIMEOUT_USEC=%llu", (ms + 1000ULL) * 1000);
}
