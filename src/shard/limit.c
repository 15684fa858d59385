/* limit.c - how many requests that cost the database something one user may make, <storage><limits><queries>; and how many stanzas.
 * Threads: the owning shard's; the limit changes while these stand still.
 * Owns: nothing; a user counts, its shard remembers who went too far.
 * Whoever goes over it is disconnected, as by jabberd2, and its sessions end. What others send to a user costs that user nothing: it has a count of
 * its own, and they are told.
 */
#include <stdlib.h>

#include "shard/shard.h"
#include "shardsm/clock.h"
#include "shardsm/log.h"
#include "shardsm/stats.h"

SHARD_THREAD_BEGIN

#define NS_ROSTER "jabber:iq:roster"
#define NS_VCARD "vcard-temp"

#define PATIENCE 10 /* times the limit of stanzas, then the client is not worth answers any more */

static struct limit {
	uint32_t queries; /* 0: no limit */
	uint64_t within_ms, throttle_ms;
	uint32_t stanzas; /* 0: no limit */
	uint64_t stanzas_ms;
} limit;

static bool read_limit(struct config *config, void *into)
{
	struct limit *l = into;
	const struct config_value *v = config_get(config, "storage.limits.queries", 0);

	l->queries = (uint32_t)config_value_int(config, v, 0, 0, INT32_MAX);
	l->within_ms = v ? (uint64_t)config_attr_int(config, v, "seconds", 5, 1, INT32_MAX) * 1000 : 0;
	l->throttle_ms = v ? (uint64_t)config_attr_int(config, v, "throttle", 60, 0, INT32_MAX) * 1000 : 0;
	v = config_get(config, "limits.user-stanzas", 0);
	l->stanzas = (uint32_t)config_value_int(config, v, 0, 0, INT32_MAX / PATIENCE);
	l->stanzas_ms = v ? (uint64_t)config_attr_int(config, v, "seconds", 5, 1, INT32_MAX) * 1000 : 0;
	return true;
}

const struct tunables query_limit = { &limit, sizeof(limit), read_limit, NULL };

static bool is_subscription(const struct event *ev)
{
	return event_is(ev, PL_PRESENCE) && (ev->type == ST_SUBSCRIBE || ev->type == ST_SUBSCRIBED || ev->type == ST_UNSUBSCRIBE ||
						    ev->type == ST_UNSUBSCRIBED);
}

/* The requests that jabberd2 counts. */
static bool is_query(const struct event *ev)
{
	struct span ns = packet_slice(ev->packet, ev->packet->route.child_ns);

	if (event_is(ev, PL_IQ))
		return (ev->type == ST_SET && span_is(ns, NS_ROSTER)) || ((ev->type == ST_SET || ev->type == ST_GET) && span_is(ns, NS_VCARD));
	return is_subscription(ev);
}

enum counted {
	ITS_QUERIES,
	OTHERS_QUERIES, /* what others did to it */
	ITS_STANZAS,
	COUNTED
};

struct user_counts {
	struct {
		uint64_t since_ms; /* when the time began in which there were n */
		uint32_t n;
	} of[COUNTED];
};

/* The how-manieth it is within that time. Without memory nothing is counted, it is the 0th: the request has worse to fear. */
static uint32_t count(struct user *u, enum counted what, uint64_t now, uint64_t within_ms)
{
	if (!u->counts && !(u->counts = calloc(1, sizeof(*u->counts))))
		return 0;
	if (!u->counts->of[what].n || now - u->counts->of[what].since_ms >= within_ms) {
		u->counts->of[what].since_ms = now;
		u->counts->of[what].n = 0;
	}
	return ++u->counts->of[what].n;
}

static struct throttled *throttled_of(struct shard *shard, uint64_t hash, uint64_t now)
{
	for (int i = 0; i < THROTTLED_MAX; i++)
		if (shard->throttled[i].hash == hash && shard->throttled[i].until_ms > now)
			return &shard->throttled[i];
	return NULL;
}

/* In the place that is, or becomes, free first. */
static void throttle(struct shard *shard, uint64_t hash, uint64_t now)
{
	struct throttled *first = &shard->throttled[0];

	for (int i = 1; i < THROTTLED_MAX; i++)
		if (shard->throttled[i].until_ms < first->until_ms)
			first = &shard->throttled[i];
	*first = (struct throttled){ hash, now + limit.throttle_ms };
}

static void end_sessions(struct event *ev)
{
	while (ev->user->sessions) {
		control_ended(ev->shard, ev->user->sessions, "ended");
		session_end(ev->shard, ev->user->sessions);
	}
	ev->session = NULL;
}

bool query_over_limit(struct event *ev)
{
	struct user *u = ev->user;
	struct shard *shard = ev->shard;
	uint64_t now;

	if (!limit.queries || !is_query(ev))
		return false;
	now = clock_mono_ms();
	if (throttled_of(shard, u->hash, now)) {
		event_error_text(ev, SE_RESOURCE_CONSTRAINT, "too many requests a short while ago");
		reply_error(ev);
		return true;
	}
	if (count(u, ITS_QUERIES, now, limit.within_ms) <= limit.queries)
		return false;
	log_notice("[" SPAN_FMT "] is being disconnected, too many database queries within %llu seconds", SPAN_ARG(user_bare(u)),
		(unsigned long long)(limit.within_ms / 1000));
	stat_inc(STAT_LIMIT_QUERIES);
	throttle(shard, u->hash, now);
	u->counts->of[ITS_QUERIES].n = 0;
	event_error(ev, SE_RESOURCE_CONSTRAINT);
	reply_error(ev);
	end_sessions(ev);
	return true;
}

bool stanza_over_limit(struct event *ev)
{
	struct user *u = ev->user;
	uint32_t n;

	if (likely(!limit.stanzas))
		return false;
	n = count(u, ITS_STANZAS, clock_mono_ms(), limit.stanzas_ms);
	if (n <= limit.stanzas)
		return false;
	stat_inc(STAT_LIMIT_USER_STANZAS);
	/* Nobody can be told that a presence or an answer does not count: they go on, so that nothing is lost in silence, and up to an end. */
	if (n <= limit.stanzas * PATIENCE && !packet_refusable(ev->packet))
		return false;
	event_error_text(ev, SE_RESOURCE_CONSTRAINT, "too many stanzas a short while ago");
	reply_error(ev);
	if (n > limit.stanzas * PATIENCE) {
		log_notice("[" SPAN_FMT "] is being disconnected, too many stanzas within %llu seconds", SPAN_ARG(user_bare(u)),
			(unsigned long long)(limit.stanzas_ms / 1000));
		u->counts->of[ITS_STANZAS].n = 0;
		end_sessions(ev);
	}
	return true;
}

bool query_refused_from_others(struct event *ev)
{
	if (!limit.queries || !is_subscription(ev) || 
		count(ev->user, OTHERS_QUERIES, clock_mono_ms(), limit.within_ms) <= limit.queries)
		return false;
	stat_inc(STAT_LIMIT_QUERIES);
	ev->condition = SE_RESOURCE_CONSTRAINT;
	if (ev->type == ST_SUBSCRIBE)
		reply_error(ev);
	return true;
}

SHARD_THREAD_END
