/* announce.c - messages from the operator to everybody: DOMAIN/announce/online to who is there, DOMAIN/announce to who comes later too.
 * Threads: shards.
 * Owns: each domain's message of the day as it was read or set last; a view that was replaced is freed after a grace period.
 * Each domain has its own. DOMAIN/announce/motd/delete takes it back.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "shardsm/aci.h"
#include "shardsm/clock.h"
#include "shardsm/datetime.h"
#include "shardsm/log.h"
#include "shardsm/module.h"
#include "shardsm/rcu.h"

#define RESOURCE "announce"
#define RESOURCE_ONLINE "announce/online"
#define RESOURCE_DELETE "announce/motd/delete"
#define NS_DELAY "urn:xmpp:delay"
#define NS_NICK "http://jabber.org/protocol/nick"
#define USERS_PER_WRITE 256u

/* Immutable. */
struct motd_view {
	struct rcu_head rcu;
	int64_t time;
	uint32_t id_len, content_len;
	char text[]; /* id, raw; content, raw, its <delay/> included */
};

/* One for each domain that was ever asked about; never freed. */
struct board {
	struct board *next;
	struct motd_view *_Atomic motd; /* NULL: not read yet; &none: there is none */
	uint32_t len;
	char domain[];
};

static struct motd_view none;
static struct board *_Atomic boards;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

static struct board *find_board(struct span domain)
{
	struct board *b = atomic_load_explicit(&boards, memory_order_acquire);

	while (b && !span_eq(span_of(b->domain, b->len), domain))
		b = b->next;
	return b;
}

/* The board of a domain of ours; NULL: no memory. */
static struct board *board_of(struct span domain)
{
	struct board *b = find_board(domain);

	if (b)
		return b;
	pthread_mutex_lock(&changing);
	b = find_board(domain);
	if (!b && (b = calloc(1, sizeof(*b) + domain.n)) != NULL) {
		b->len = domain.n;
		memcpy(b->domain, domain.p, domain.n);
		b->next = atomic_load_explicit(&boards, memory_order_relaxed);
		atomic_store_explicit(&boards, b, memory_order_release);
	}
	pthread_mutex_unlock(&changing);
	return b;
}

static struct motd_view *motd_of(struct board *b)
{
	return b ? atomic_load_explicit(&b->motd, memory_order_acquire) : NULL;
}

static void free_motd(struct rcu_head *head)
{
	free(caa_container_of(head, struct motd_view, rcu));
}

/* fresh: only where nothing was known: what was read must not replace what was announced meanwhile. Takes m. */
static void motd_publish(struct board *b, struct motd_view *m, bool fresh)
{
	struct motd_view *old = m;

	pthread_mutex_lock(&changing);
	if (!fresh || !motd_of(b))
		old = atomic_exchange(&b->motd, m);
	pthread_mutex_unlock(&changing);
	if (old && old != &none)
		rcu_after(&old->rcu, free_motd);
}

static struct motd_view *motd_new(struct span id, struct span content, int64_t time)
{
	struct motd_view *m = malloc(sizeof(*m) + id.n + content.n);

	if (!m)
		return NULL;
	*m = (struct motd_view){ .time = time, .id_len = id.n, .content_len = content.n };
	if (id.n)
		memcpy(m->text, id.p, id.n);
	if (content.n)
		memcpy(m->text + id.n, content.p, content.n);
	return m;
}

/* jabberd2 leaves out no available session, PBX ones neither; only negative priorities (P20). */
static bool takes(const struct session *s)
{
	return session_available(s) && s->priority >= 0;
}

/* --- to who comes later --------------------------------------------------------------------------------------------------- */

/* When it was announced: its row says so in a stamp, ours and jabberd2's. */
static int64_t time_of(const struct xml *message)
{
	const struct xml *delay = xml_child(message, NS_DELAY, "delay");
	int64_t when;

	if (!delay)
		delay = xml_child(message, "jabber:x:delay", "x");
	return delay && datetime_read(xml_attr(delay, "stamp"), &when) ? when : 1;
}

static struct motd_view *motd_of_row(struct shard *shard, struct span row)
{
	struct buf *content = scratch(shard, 0), *id = scratch(shard, 1);
	struct xml *message;
	struct xml_doc *doc = stored_tree(shard, row, &message);
	struct motd_view *m = NULL;

	if (doc && stored_content(shard, row, content)) {
		buf_text(id, xml_attr(message, "id"));
		if (!id->failed)
			m = motd_new(buf_span(id), buf_span(content), time_of(message));
	}
	if (doc)
		xml_free(&doc);
	return m;
}

static void write_time(struct event *ev, int64_t time)
{
	struct store_req *req = event_rows(ev);

	if (req)
		store_merge(req, T_MOTD_TIMES, (struct value[]){ [MOTD_TIME] = value_int(time) });
}

/* What the database has of the domain's message, once. */
static void learn(struct shard *shard, struct board *b, struct store_req *answer, int statement)
{
	struct motd_view *m = &none;

	if (store_rows(answer, statement)) {
		m = motd_of_row(shard, store_value(answer, statement, 0, MOTD_XML).s);
		if (!m) {
			log_error("[" SPAN_FMT "]: its message of the day is not readable and is left out", (int)b->len, b->domain);
			m = &none;
		}
	}
	motd_publish(b, m, true);
}

static enum verdict on_time_row(struct event *ev, struct store_req *answer)
{
	struct jid me, domain;
	struct board *b;
	const struct motd_view *m;

	if (store_status(answer) != STORE_OK) {
		log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": whether it has seen the message of the day could not be read (%s)",
			SPAN_ARG(store_req_owner(answer)), store_error(answer));
		return V_PASS; /* its presence is worth more */
	}
	me = user_jid(ev->user);
	domain = (struct jid){ jid_domain(&me).p, 0, (uint16_t)jid_domain(&me).n, (uint16_t)jid_domain(&me).n };
	b = board_of(jid_domain(&me));
	if (b && !motd_of(b))
		learn(ev->shard, b, answer, 1);
	m = motd_of(b);
	if (!ev->session || !m || m == &none || (store_rows(answer, 0) && store_value(answer, 0, 0, MOTD_TIME).i >= m->time))
		return V_PASS;
	me = session_jid(ev->session);
	send_to_session(ev->shard, ev->session, &(struct stanza){ .tag = "message", .id = span_of(m->text, m->id_len),
		.content = span_of(m->text + m->id_len, m->content_len), .from = &domain, .to = &me });
	write_time(ev, m->time);
	return V_PASS;
}

/* A client begins to take messages (P20: not one of negative priority): has it seen the message of the day? */
static enum verdict in_sess(struct event *ev)
{
	const struct session *s = ev->session;
	struct store_req *req;
	struct board *b;
	int8_t priority;
	struct jid me;

	if (!event_is(ev, PL_PRESENCE) || ev->type != ST_NONE || ev->packet->to.s || !s || takes(s))
		return V_PASS;
	me = user_jid(ev->user);
	b = board_of(jid_domain(&me));
	if (motd_of(b) == &none)
		return V_PASS;
	if (!b || !presence_priority(ev, &priority))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (priority < 0)
		return V_PASS;
	req = store_req_new(jid_bare(&me));
	if (req) {
		store_get(req, T_MOTD_TIMES, STORE_ALL, value_null());
		if (!motd_of(b)) {
			store_owner(req, jid_domain(&me));
			store_get(req, T_MOTD_MESSAGE, STORE_ALL, value_null());
		}
	}
	return event_ask(ev, &req, on_time_row, ASK_AFTER_WRITES, NULL);
}

/* --- to who is there ------------------------------------------------------------------------------------------------------ */

/* An announcement on its way to the shards: this, then domain, id and content. */
struct notice {
	int64_t time; /* 0: it is not kept */
	uint32_t domain_len, id_len, content_len;
};

struct telling {
	struct shard *shard;
	struct notice notice;
	struct span domain, id, content;
	struct store_req *times;
	uint32_t users;
};

/* One row for each user, many in one write. */
static void note_time(struct telling *t, const struct session *s)
{
	const struct session *first = s->user->sessions;
	struct span bare = user_bare(s->user);

	while (first != s && !takes(first))
		first = first->next;
	if (!t->notice.time || first != s)
		return;
	if (!t->times)
		t->times = store_req_new(bare);
	else
		store_owner(t->times, bare);
	if (!t->times)
		return; /* it will be told once more */
	store_merge(t->times, T_MOTD_TIMES, (struct value[]){ [MOTD_TIME] = value_int(t->notice.time) });
	if (++t->users % USERS_PER_WRITE == 0)
		store_write(t->shard, &t->times);
}

static bool tell(struct session *s, void *arg)
{
	struct telling *t = arg;
	struct jid to = session_jid(s);
	struct jid from = { t->domain.p, 0, (uint16_t)t->domain.n, (uint16_t)t->domain.n };

	if (!takes(s) || !span_eq(jid_domain(&to), t->domain))
		return true;
	send_to_session(t->shard, s, &(struct stanza){ .tag = "message", .id = t->id, .content = t->content, .from = &from, .to = &to });
	note_time(t, s);
	return true;
}

static void tell_here(struct shard *here, struct span data)
{
	struct telling t = { .shard = here };
	const char *at = data.p + sizeof(t.notice);

	memcpy(&t.notice, data.p, sizeof(t.notice));
	t.domain = span_of(at, t.notice.domain_len);
	t.id = span_of(at + t.domain.n, t.notice.id_len);
	t.content = span_of(t.id.p + t.id.n, t.notice.content_len);
	each_session(here, tell, &t);
	store_write(here, &t.times);
}

static enum verdict tell_all(struct event *ev, struct span content, int64_t time)
{
	struct packet *p = ev->packet;
	struct buf *data = scratch(ev->shard, 2);
	struct span domain = jid_domain(&p->to), id = packet_slice(p, p->route.id);
	struct notice n = { time, domain.n, id.n, content.n };

	buf_put(data, span_of((const char *)&n, sizeof(n)));
	buf_put(data, domain);
	buf_put(data, id);
	buf_put(data, content);
	if (data->failed || !on_every_shard(ev->shard, tell_here, buf_span(data)))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	return V_HANDLED;
}

/* --- what the operator sends ------------------------------------------------------------------------------------------------ */

/* The message's content without the operator's nickname. */
static bool announcement(struct event *ev, struct buf *out)
{
	struct xml *message = event_payload(ev);

	if (!message)
		return false;
	for (struct xml *e = xml_child(message, NULL, NULL); e; e = xml_next(e, NULL, NULL))
		if (!xml_is(e, NS_NICK, "nick"))
			xml_write(out, e, NS_CLIENT, NS_SESSION);
	return !out->failed;
}

static enum verdict on_stored(struct event *ev, struct store_req *answer)
{
	const struct packet *p = ev->packet;
	struct buf *content = scratch(ev->shard, 0), *kept = scratch(ev->shard, 1);
	const int64_t *time = ev->state;
	struct board *b;
	struct motd_view *m;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "an announcement could not be stored");
	b = board_of(jid_domain(&p->to));
	buf_str(kept, "<delay xmlns='" NS_DELAY "'");
	buf_attr(kept, "from", jid_domain(&p->to));
	buf_str(kept, " stamp='");
	buf_utc(kept, *time);
	buf_str(kept, "'/>");
	if (!b || !announcement(ev, content))
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	buf_put(kept, buf_span(content));
	m = kept->failed ? NULL : motd_new(packet_slice(p, p->route.id), buf_span(kept), *time);
	if (!m)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	motd_publish(b, m, false);
	return tell_all(ev, buf_span(content), *time);
}

/* jabberd2's row: the operator's message, stamped, without type and nickname. */
static void write_row(struct event *ev, struct buf *row, struct span content, int64_t time)
{
	const struct packet *p = ev->packet;

	buf_str(row, "NAD<route xmlns='" NS_COMPONENT "'");
	buf_attr(row, "to", jid_domain(&p->to));
	buf_attr(row, "from", server_id(ev->shard));
	buf_str(row, "><message xmlns='" NS_CLIENT "'");
	buf_attr(row, "from", jid_full(&p->from));
	buf_attr(row, "to", jid_full(&p->to));
	buf_str(row, " id='");
	buf_put(row, packet_slice(p, p->route.id)); /* raw, as it came */
	buf_str(row, "'><delay xmlns='" NS_DELAY "'");
	buf_attr(row, "from", jid_domain(&p->to));
	buf_str(row, " stamp='");
	buf_utc(row, time);
	buf_str(row, "'/>");
	buf_put(row, content);
	buf_str(row, "</message></route>");
}

static enum verdict keep(struct event *ev)
{
	struct buf *content = scratch(ev->shard, 0), *row = scratch(ev->shard, 1);
	int64_t *time = malloc(sizeof(*time));
	const struct motd_view *m;
	struct board *b;
	struct store_req *req;

	if (!time || !announcement(ev, content)) {
		free(time);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	/* Later than the one before, within the same second too: it is how it is told from that one. */
	*time = clock_wall();
	b = board_of(jid_domain(&ev->packet->to));
	m = motd_of(b);
	if (m && *time <= m->time)
		*time = m->time + 1;
	write_row(ev, row, buf_span(content), *time);
	req = row->failed ? NULL : store_req_new(jid_domain(&ev->packet->to));
	if (req) {
		store_delete(req, T_MOTD_MESSAGE, STORE_ALL, value_null());
		store_put(req, T_MOTD_MESSAGE, (struct value[]){ [MOTD_XML] = value_text(buf_span(row)) });
	}
	return event_ask(ev, &req, on_stored, 0, time);
}

static enum verdict on_taken_back(struct event *ev, struct store_req *answer)
{
	struct board *b = board_of(jid_domain(&ev->packet->to));

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "the message of the day could not be deleted");
	if (b)
		motd_publish(b, &none, false);
	return V_HANDLED;
}

static enum verdict take_back(struct event *ev)
{
	struct store_req *req = store_req_new(jid_domain(&ev->packet->to));

	if (req)
		store_delete(req, T_MOTD_MESSAGE, STORE_ALL, value_null());
	return event_ask(ev, &req, on_taken_back, 0, NULL);
}

static enum verdict announce(struct event *ev)
{
	struct buf *content = scratch(ev->shard, 0);

	return announcement(ev, content) ? tell_all(ev, buf_span(content), 0) : event_error(ev, SE_RESOURCE_CONSTRAINT);
}

/* P30: the resource whole, not what it begins with. */
static enum verdict pkt_sm(struct event *ev)
{
	struct span resource = jid_resource(&ev->packet->to);
	enum verdict (*act)(struct event *) = span_is(resource, RESOURCE) ? keep
		: span_is(resource, RESOURCE_ONLINE)                      ? announce
		: span_is(resource, RESOURCE_DELETE)                      ? take_back
									  : NULL;

	if (event_is(ev, PL_PRESENCE) && aci_allows("broadcast", &ev->packet->from)) {
		server_presence(ev, RESOURCE);
		server_presence(ev, RESOURCE_ONLINE);
	}
	if (!event_is(ev, PL_MESSAGE) || !act || !serves_domain(ev->shard, jid_domain(&ev->packet->to)))
		return V_PASS;
	if (ev->type == ST_ERROR)
		return V_HANDLED;
	return aci_allows("broadcast", &ev->packet->from) ? act(ev) : event_error(ev, SE_FORBIDDEN);
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_MOTD_TIMES, STORE_ALL, value_null());
}

const struct module module_announce = {
	.name = "announce",
	.in_sess = in_sess,
	.pkt_sm = pkt_sm,
	.user_delete = user_delete,
};
