/* chain.c - the module chains of sm.xml, and how an event walks one.
 * Threads: chains_read() and server_read_options() are main's, the rest runs on shards.
 * Owns: nothing; chains point at the modules' constant structs.
 */
#include "shard/shard.h"
#include "shardsm/aci.h"
#include "shardsm/log.h"

SHARD_THREAD_BEGIN

static const char *const chain_names[CHAIN_COUNT] = {
	[CHAIN_SESS_START] = "sess-start", [CHAIN_SESS_END] = "sess-end", [CHAIN_IN_SESS] = "in-sess",
	[CHAIN_IN_ROUTER] = "in-router", [CHAIN_OUT_SESS] = "out-sess", [CHAIN_OUT_ROUTER] = "out-router",
	[CHAIN_PKT_SM] = "pkt-sm", [CHAIN_PKT_USER] = "pkt-user", [CHAIN_PKT_ROUTER] = "pkt-router",
	[CHAIN_USER_LOAD] = "user-load", [CHAIN_USER_UNLOAD] = "user-unload", [CHAIN_USER_CREATE] = "user-create",
	[CHAIN_USER_DELETE] = "user-delete", [CHAIN_DISCO_EXTEND] = "disco-extend",
};

static const struct module *module_named(struct span name)
{
	for (const struct module *const *m = modules_all; *m; m++)
		if (span_is(name, (*m)->name))
			return *m;
	return NULL;
}

static int chain_named(struct span name)
{
	for (int i = 0; i < CHAIN_COUNT; i++)
		if (span_is(name, chain_names[i]))
			return i;
	return -1;
}

static bool in_any_chain(const struct server *server, const struct module *m)
{
	for (int c = 0; c < CHAIN_COUNT; c++)
		for (int i = 0; i < server->chains[c].n; i++)
			if (server->chains[c].modules[i] == m)
				return true;
	return false;
}

/* jabberd2's rule: what cannot be loaded is said and skipped, the rest works. */
static void read_chain(struct server *server, const struct config_value *v, int chain)
{
	struct chain_list *list = &server->chains[chain];
	const struct config_value *m;

	for (uint32_t i = 0; (m = config_below(server->set.config, v, "module", i)) != NULL; i++) {
		const struct module *module = module_named(m->text);

		if (!module)
			log_warning("%s:%d: module '" SPAN_FMT "' in chain '%s' is not one of this server's: left out",
				config_path(server->set.config), m->line, SPAN_ARG(m->text), chain_names[chain]);
		else if (list->n == MODULES_MAX)
			log_error("%s:%d: more than %d modules in chain '%s': '" SPAN_FMT "' left out",
				config_path(server->set.config), m->line, MODULES_MAX, chain_names[chain], SPAN_ARG(m->text));
		else
			list->modules[list->n++] = module;
	}
}

static void add_to(struct chain_list *list, const struct module *m)
{
	for (int i = 0; i < list->n; i++)
		if (list->modules[i] == m)
			return;
	if (list->n < MODULES_MAX)
		list->modules[list->n++] = m;
}

/* A module that must load something, or must see what a session is sent, has no need to be in jabberd2's user-load and out-sess chains:
 * being used anywhere is enough. */
static void add_needed(struct server *server)
{
	for (const struct module *const *m = modules_all; *m; m++) {
		bool used = in_any_chain(server, *m);

		if (used && (*m)->load_ask)
			add_to(&server->chains[CHAIN_USER_LOAD], *m);
		if (used && (*m)->out_sess)
			add_to(&server->chains[CHAIN_OUT_SESS], *m);
	}
}

static hook_fn *hook_of(const struct module *m, int chain)
{
	switch (chain) {
	case CHAIN_IN_SESS:
		return m->in_sess;
	case CHAIN_IN_ROUTER:
		return m->in_router;
	case CHAIN_OUT_ROUTER:
		return m->out_router;
	case CHAIN_OUT_SESS:
		return m->out_sess;
	case CHAIN_PKT_SM:
		return m->pkt_sm;
	case CHAIN_PKT_USER:
		return m->pkt_user;
	case CHAIN_USER_DELETE:
		return m->user_leaving;
	default:
		return NULL;
	}
}

/* Is the hook there for packets about that subject? */
static bool is_about(const struct module *m, int chain, int subject)
{
	return chain == CHAIN_USER_DELETE || !m->about || (m->about & 1u << subject);
}

/* Most modules of a chain are there for requests alone, or for messages: nothing else need call on them. */
static void find_hooks(struct chain_list *list, int chain)
{
	for (int i = 0; i < list->n; i++)
		list->hooks[i] = hook_of(list->modules[i], chain);
	for (int subject = 0; subject < SUBJECTS; subject++) {
		uint8_t *next = list->next[subject];

		next[list->n] = list->n;
		for (int i = list->n - 1; i >= 0; i--)
			next[i] = list->hooks[i] && is_about(list->modules[i], chain, subject) ? (uint8_t)i : next[i + 1];
	}
}

/* The number of its bit in enum subject. */
static unsigned subject_of(const struct event *ev)
{
	switch (ev->packet->route.payload) {
	case PL_MESSAGE:
		return 0;
	case PL_PRESENCE:
		return ev->type == ST_NONE || ev->type == ST_UNAVAILABLE ? 1 : 2;
	case PL_IQ:
		return 3;
	default:
		return 4;
	}
}

/* Nothing else says why such a server is up and of no use. */
static void warn_of_empty(const struct server *server)
{
	const char *path = config_path(server->set.config);

	if (server->chains[CHAIN_IN_SESS].n == 0)
		log_warning("%s: <modules> has no in-sess chain: what clients send will be refused", path);
	if (server->chains[CHAIN_PKT_USER].n == 0)
		log_warning("%s: <modules> has no pkt-user chain: users will get nothing from anybody", path);
}

void chains_read(struct server *server)
{
	const struct config_value *v;

	for (uint32_t i = 0; (v = config_get(server->set.config, "modules.chain", i)) != NULL; i++) {
		struct span id = config_attr(v, "id");
		int chain = id.p ? chain_named(id) : -1;

		if (chain < 0)
			log_error("%s:%d: no module chain is called '" SPAN_FMT "': left out", config_path(server->set.config), v->line,
				SPAN_ARG(id));
		else
			read_chain(server, v, chain);
	}
	add_needed(server);
	for (int i = 0; i < CHAIN_COUNT; i++)
		find_hooks(&server->chains[i], i);
	server->everybody = !in_any_chain(server, module_named(SPAN("active")));
	warn_of_empty(server);
}

bool server_read_options(struct config *config, struct change *change)
{
	for (const struct module *const *m = modules_all; *m; m++)
		if (!change_read(change, &(*m)->options, config))
			return false;
	return change_read(change, &query_limit, config) && change_read(change, &aci_lists, config);
}

bool chains_mail(const struct server *server)
{
	for (const struct module *const *m = modules_all; *m; m++)
		if ((*m)->mails && in_any_chain(server, *m))
			return true;
	return false;
}

enum stanza_type stanza_type_of(enum payload payload, struct span type)
{
#define TYPE(payload, name, type) { name, sizeof(name) - 1, payload, type }
	static const struct { char name[13]; uint8_t len, payload, type; } types[] = {
		TYPE(PL_MESSAGE, "chat", ST_CHAT), TYPE(PL_MESSAGE, "normal", ST_NORMAL), TYPE(PL_MESSAGE, "headline", ST_HEADLINE),
		TYPE(PL_MESSAGE, "groupchat", ST_GROUPCHAT), TYPE(PL_MESSAGE, "error", ST_ERROR), TYPE(PL_IQ, "get", ST_GET),
		TYPE(PL_IQ, "set", ST_SET), TYPE(PL_IQ, "result", ST_RESULT), TYPE(PL_IQ, "error", ST_ERROR),
		TYPE(PL_PRESENCE, "unavailable", ST_UNAVAILABLE), TYPE(PL_PRESENCE, "probe", ST_PROBE),
		TYPE(PL_PRESENCE, "subscribe", ST_SUBSCRIBE), TYPE(PL_PRESENCE, "subscribed", ST_SUBSCRIBED),
		TYPE(PL_PRESENCE, "unsubscribe", ST_UNSUBSCRIBE), TYPE(PL_PRESENCE, "unsubscribed", ST_UNSUBSCRIBED),
		TYPE(PL_PRESENCE, "error", ST_ERROR),
	};
#undef TYPE

	if (!type.n)
		return payload == PL_MESSAGE ? ST_NORMAL : ST_NONE;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (types[i].payload == payload && types[i].len == type.n && memcmp(types[i].name, type.p, type.n) == 0)
			return types[i].type;
	/* RFC 6121 section 5.2.2: an unknown message type is normal. An unknown presence is one that jabberd2 takes for available. */
	return payload == PL_MESSAGE ? ST_NORMAL : payload == PL_PRESENCE ? ST_NONE : ST_UNKNOWN;
}

static enum verdict try_iq(struct event *ev, const struct module *m, unsigned scope)
{
	unsigned type = ev->type == ST_GET ? IQ_GET : IQ_SET;
	struct span ns = packet_slice(ev->packet, ev->packet->route.child_ns);

	for (const struct iq_rule *r = m->iq; r->types; r++)
		if ((r->types & type) && (r->scope & scope) && span_is(ns, r->ns))
			return r->fn(ev);
	return V_PASS;
}

/* Which of a module's IQ rules apply in this chain for this IQ. */
static unsigned scope_of(const struct event *ev)
{
	if (ev->type != ST_GET && ev->type != ST_SET)
		return 0;
	switch (ev->chain) {
	case CHAIN_IN_SESS:
		return ev->to_self ? TO_SELF : 0;
	case CHAIN_PKT_SM:
		return jid_has_resource(&ev->packet->to) ? 0 : TO_SERVER;
	case CHAIN_PKT_USER:
		return jid_has_resource(&ev->packet->to) ? 0 : TO_ACCOUNT;
	default:
		return 0;
	}
}

/* Each module's rules come before its hook. */
static enum verdict run_request(struct event *ev, const struct chain_list *list, uint8_t from, unsigned scope)
{
	enum verdict v;

	for (ev->at = from; ev->at < list->n; ev->at++) {
		v = list->modules[ev->at]->iq ? try_iq(ev, list->modules[ev->at], scope) : V_PASS;
		if (v == V_PASS && list->hooks[ev->at])
			v = list->hooks[ev->at](ev);
		if (v != V_PASS)
			return v;
	}
	return V_PASS;
}

enum verdict chain_run(struct event *ev, enum chain chain, uint8_t from)
{
	const struct chain_list *list = &ev->shard->server->chains[chain];
	const uint8_t *next = list->next[subject_of(ev)];
	unsigned scope;
	enum verdict v;

	ev->chain = chain;
	if (ev->packet->route.payload == PL_IQ && (scope = scope_of(ev)))
		return run_request(ev, list, from, scope);
	for (ev->at = next[from]; ev->at < list->n; ev->at = next[ev->at + 1])
		if ((v = list->hooks[ev->at](ev)) != V_PASS)
			return v;
	return V_PASS;
}

bool stored_stale(struct event *ev, struct span row)
{
	const struct chain_list *list = &ev->shard->server->chains[CHAIN_PKT_USER];

	for (int i = 0; i < list->n; i++)
		if (list->modules[i]->stale && list->modules[i]->stale(ev, row))
			return true;
	return false;
}

void contact_turns(struct event *ev, const struct roster_item *old, const struct roster_item *next, bool after)
{
	const struct chain_list *list = &ev->shard->server->chains[CHAIN_USER_LOAD];

	for (int i = 0; ev->user->privacy && i < list->n; i++)
		if (list->modules[i]->contact_turns)
			list->modules[i]->contact_turns(ev, old, next, after);
}

void disco_features(struct shard *shard, struct buf *out)
{
	/* A feature is announced when its module stands in any chain, once. */
	for (const struct module *const *m = modules_all; *m; m++) {
		bool used = in_any_chain(shard->server, *m);

		for (const char *const *f = used ? (*m)->features : NULL; f && *f; f++) {
			buf_str(out, "<feature");
			buf_attr(out, "var", span_str(*f));
			buf_str(out, "/>");
		}
	}
}

void disco_extensions(struct event *ev, struct buf *out)
{
	const struct chain_list *list = &ev->shard->server->chains[CHAIN_DISCO_EXTEND];

	for (int i = 0; i < list->n; i++)
		if (list->modules[i]->disco_extend)
			list->modules[i]->disco_extend(ev, out);
}

void chain_component(struct shard *shard, struct span name, const struct outbox *link, bool here)
{
	const struct chain_list *list = &shard->server->chains[CHAIN_PKT_ROUTER];

	for (int i = 0; i < list->n; i++)
		if (list->modules[i]->component)
			list->modules[i]->component(shard, name, link, here);
}

SHARD_THREAD_END
