/* scenario_mix.c - a day in one run: messages, presence, pings, rosters, stored messages, logins, all at once.
 * Threads: the one thread of the program.
 * Owns: nothing beyond the run.
 */
#include <stdlib.h>

#include "scenario.h"

#define COMERS_MAX 1000

enum part { PART_CHAT, PART_PRESENCE, PART_PING, PART_FULL, PART_ROSTER, PART_STORE, PART_LOGIN, PARTS };

/* Of a thousand operations. A day's traffic is messages; without contacts presence is pings. */
static const uint16_t share[PARTS] = {[PART_CHAT] = 620,
	[PART_PRESENCE] = 100,
	[PART_PING] = 120,
	[PART_FULL] = 50,
	[PART_ROSTER] = 40,
	[PART_STORE] = 10,
	[PART_LOGIN] = 60};

static struct range comers(const struct options *o)
{
	return (struct range){o->sessions, o->sessions < COMERS_MAX ? o->sessions : COMERS_MAX};
}

static struct range away(const struct options *o)
{
	struct range c = comers(o);
	return (struct range){c.first + c.n, c.n};
}

static uint32_t mix_users(const struct options *o)
{
	struct range a = away(o);
	return a.first + a.n;
}

static uint8_t draw(uint64_t *seed, bool contacts)
{
	uint32_t k = bench_below(seed, 1000);
	uint8_t part = 0;

	while (k >= share[part])
		k -= share[part++];
	return part == PART_PRESENCE && !contacts ? PART_PING : part;
}

static void make_parts(struct sessions *s, const struct graph *g, const uint32_t n[PARTS], struct load *l[PARTS])
{
	const struct options *o = s->peers->opt;

	l[PART_CHAT] = chat_new(s, n[PART_CHAT]);
	l[PART_PRESENCE] = presence_new(s, g, n[PART_PRESENCE]);
	l[PART_PING] = ping_new(s, n[PART_PING], IQ_SERVER);
	l[PART_FULL] = ping_new(s, n[PART_FULL], IQ_FULL);
	l[PART_ROSTER] = roster_new(s, g, n[PART_ROSTER]);
	l[PART_STORE] = store_new(s, away(o), n[PART_STORE]);
	l[PART_LOGIN] = cycle_new(s, comers(o), n[PART_LOGIN]);
}

static void free_parts(struct load *l[PARTS])
{
	chat_free(l[PART_CHAT]);
	presence_free(l[PART_PRESENCE]);
	ping_free(l[PART_PING]);
	ping_free(l[PART_FULL]);
	roster_free(l[PART_ROSTER]);
	store_free(l[PART_STORE]);
	cycle_free(l[PART_LOGIN]);
}

static bool mix(struct sessions *s, const struct graph *g)
{
	const struct options *o = s->peers->opt;
	uint32_t total = (uint32_t)o->ops, n[PARTS] = {0};
	uint8_t *order = bench_calloc(total, 1);
	uint64_t seed = o->seed ^ 0x6d6978u;
	struct load *parts[PARTS];

	for (uint32_t i = 0; i < total; i++)
		n[order[i] = draw(&seed, g->k > 0)]++;
	make_parts(s, g, n, parts);
	struct flow f = {.name = "mix",
		.peers = s->peers,
		.report = s->report,
		.loads = parts,
		.nloads = PARTS,
		.order = order,
		.window = o->window,
		.rate = o->rate,
		.duration_ns = (uint64_t)(o->duration_s * 1e9)};
	bool good = flow_run(&f);
	good = good && offline_arrive(s, parts[PART_STORE], away(o));
	free_parts(parts);
	free(order);
	return good;
}

static void run_mix(struct sessions *s)
{
	struct graph g;

	if (!scenario_begin(s, true))
		return;
	graph_init(&g, s->peers->opt);
	if (mix(s, &g))
		scenario_end(s);
	graph_free(&g);
}

const struct scenario scenario_mix = {.name = "mix",
	.help = "a day's mix of all operations, --contacts N of each session",
	.users = mix_users,
	.run = run_mix};
