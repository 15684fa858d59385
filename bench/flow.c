/* flow.c - the loop that every scenario runs in.
 * Threads: the one thread of the program.
 * Owns: nothing.
 */
#include "flow.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS 1000000000u
#define WAIT_NS 100000000       /* longest wait for bytes; no bytes for so long after the end: all is quiet */
#define SETTLE_NS 5000000000u   /* quiet or not, the next phase begins after so long */
#define UNSENT_MAX (256u << 20) /* bytes queued at an open-loop rate before we call it a failure */

struct progress {
	uint32_t total, sent;
	uint64_t begin, last, shown;
};

static const char *const fault_names[FAULTS] = {
	[FAULT_TWICE] = "twice",
	[FAULT_MISDELIVERED] = "misdelivered",
	[FAULT_FROM] = "with a wrong from",
	[FAULT_ALTERED] = "altered",
	[FAULT_DISORDER] = "out of order",
	[FAULT_BOUNCED] = "bounced",
};

void load_done(struct load *l, uint64_t due_ns)
{
	uint64_t now = bench_now();

	l->done++;
	latency_add(&l->phase->latency, now > due_ns ? now - due_ns : 0);
}

void load_fault(struct load *l, enum fault what, const struct frame *f)
{
	if (!l->first_fault[0])
		snprintf(l->first_fault, sizeof l->first_fault, "%s: %.*s", fault_names[what],
			(int)(f->whole.n < 450 ? f->whole.n : 450), f->whole.p);
	l->faults[what]++;
}

static uint32_t count_done(const struct flow *f)
{
	uint32_t n = 0;
	for (unsigned i = 0; i < f->nloads; i++)
		n += f->loads[i]->done;
	return n;
}

static void on_route(void *arg, unsigned link, const struct frame *frame)
{
	struct flow *f = arg;
	for (unsigned i = 0; i < f->nloads; i++)
		if (f->loads[i]->ops->receive(f->loads[i], link, frame))
			return;
	f->report->strays++;
}

static void send_next(struct flow *f, struct progress *p, uint64_t due)
{
	struct load *l = f->loads[f->order ? f->order[p->sent] : 0];
	l->ops->send(l, l->sent, due);
	l->sent++;
	p->sent++;
}

/* Sends what is due. Nanoseconds to wait for at most. */
static int64_t top_up(struct flow *f, struct progress *p, uint64_t now, uint32_t done)
{
	if (!f->rate) {
		while (p->sent < p->total && p->sent - done < f->window)
			send_next(f, p, now);
		return WAIT_NS;
	}
	while (p->sent < p->total) {
		uint64_t due = p->begin + (uint64_t)((double)p->sent * 1e9 / (double)f->rate);
		if (due > now)
			return due - now < WAIT_NS ? (int64_t)(due - now) : WAIT_NS;
		send_next(f, p, due);
	}
	return WAIT_NS;
}

static void show(const struct flow *f, struct progress *p, uint64_t now, uint32_t done)
{
	if (now - p->shown < SECOND_NS)
		return;
	p->shown = now;
	if (!f->peers->opt->quiet)
		fprintf(stderr, "%s: %u of %u done, %u under way\n", f->name, done, p->total, p->sent - done);
}

/* False: it ended before everything was done. */
static bool exchange(struct flow *f, struct progress *p)
{
	uint64_t now = p->begin;
	uint32_t done = 0;

	while (done < p->total) {
		uint32_t before = done;
		if (f->duration_ns && now - p->begin >= f->duration_ns)
			p->total = p->sent;
		int64_t wait = top_up(f, p, now, done);
		if (peers_poll(f->peers, wait, on_route, f) < 0) {
			report_fail(f->report, "%s: a link was lost", f->name);
			return false;
		}
		now = bench_now();
		done = count_done(f);
		report_tick(f->report, now, done);
		if (done != before || p->sent == done)
			p->last = now;
		if (now - p->last > (uint64_t)f->peers->opt->timeout_s * SECOND_NS)
			return false;
		if (peers_pending(f->peers) > UNSENT_MAX) {
			report_fail(f->report, "%s: the sm does not keep up with %" PRIu64 " operations a second",
				f->name, f->rate);
			return false;
		}
		show(f, p, now, done);
	}
	return true;
}

/* A moment more: what comes twice comes after its original, and one phase's echoes are not to be counted in the next.
 */
static void settle(struct flow *f)
{
	uint64_t end = bench_now() + SETTLE_NS, before;
	do {
		before = peers_bytes_in(f->peers);
		if (peers_poll(f->peers, WAIT_NS, on_route, f) < 0) {
			report_fail(f->report, "%s: a link was lost", f->name);
			return;
		}
	} while (peers_bytes_in(f->peers) != before && bench_now() < end);
}

static bool judge(struct flow *f, struct load *l)
{
	uint32_t each = l->each ? l->each : 1, lost = l->sent > l->done ? l->sent - l->done : 0;
	uint64_t wrong = 0;
	char text[256];
	size_t used = 0;

	for (unsigned i = 0; i < FAULTS; i++) {
		used += (size_t)snprintf(
			text + used, sizeof text - used, ", %" PRIu64 " %s", l->faults[i], fault_names[i]);
		wrong += l->faults[i];
	}
	l->phase->ops += (uint64_t)l->done * each;
	l->phase->failed += (uint64_t)lost * each + wrong;
	if (lost || wrong)
		report_fail(f->report, "%s: of %u sent %u lost%s; first: %s", l->ops->name, l->sent, lost, text,
			l->first_fault[0] ? l->first_fault : "none");
	return !lost && !wrong;
}

bool flow_run(struct flow *f)
{
	struct progress p = {.total = 0};
	bool good;

	struct phase *all = report_begin(f->report, f->name);
	for (unsigned i = 0; i < f->nloads; i++) {
		f->loads[i]->phase = f->nloads == 1 ? all : report_part(f->report, f->loads[i]->ops->name);
		p.total += f->loads[i]->n;
	}
	uint32_t want = p.total;
	p.begin = p.last = p.shown = all->begin_ns;
	good = exchange(f, &p);
	report_end(f->report, all);
	settle(f);
	for (unsigned i = 0; i < f->nloads; i++) {
		good = judge(f, f->loads[i]) && good;
		if (f->nloads > 1) {
			all->ops += f->loads[i]->phase->ops;
			all->failed += f->loads[i]->phase->failed;
			latency_merge(&all->latency, &f->loads[i]->phase->latency);
			f->loads[i]->phase->wall_ns = all->wall_ns;
		}
	}
	if (p.sent < want && !f->duration_ns)
		report_fail(f->report, "%s: %u of %u operations were not sent", f->name, want - p.sent, want);
	return good && !f->report->failure[0];
}
