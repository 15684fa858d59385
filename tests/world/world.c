/* world.c - a whole session manager on one thread, and the scripts that it plays.
 * Threads: one.
 * Owns: see world.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/link.h"
#include "memory_store.h"
#include "scarce.h"
#include "shard/shard.h"
#include "shardsm/hash.h"
#include "shardsm/log.h"
#include "shardsm/xml.h"
#include "world_internal.h"

SHARD_THREAD_BEGIN /* the one thread here is every shard's */

struct world world;

static const char *const user_names[WORLD_USERS + 1] = { "alice@" WORLD_DOMAIN, "bob@" WORLD_DOMAIN, "carol@" WORLD_DOMAIN,
	"admin@" WORLD_DOMAIN, WORLD_DOMAIN };
static const char *const link_names[WORLD_LINKS] = { "c2s", "c2s2", "s2s", "comp.test" };

/* --- opening ----------------------------------------------------------------------------------------------------------------------------- */

/* The sample configuration for our domain, and what is off in it. */
static void write_config(const char *sample, const char *path)
{
	static const char more[] =
		"<user><template><publish><db-table>published-roster</db-table><fetch-key><domain/></fetch-key><fix-subscriptions/>"
		"<check-remove-domain/><force-create-contacts/><override-names/><mapped-groups><map-groups/></mapped-groups>"
		"<force-groups><prefix>P: </prefix><suffix> (S)</suffix></force-groups></publish></template></user><status><resource>webstatus</resource></status>"
		"<offline><userquota>20</userquota></offline></sm>\n";
	FILE *in = fopen(sample, "r"), *out = fopen(path, "w");
	char line[1000];

	if (!in || !out)
		broken("%s cannot be read, or %s written", sample, path);
	while (fgets(line, sizeof(line), in)) {
		char *name = strstr(line, "localhost.localdomain");

		if (strcmp(line, "</sm>\n") == 0)
			fputs(more, out);
		else if (name)
			fprintf(out, "%.*s" WORLD_DOMAIN "%s", (int)(name - line), line, name + strlen("localhost.localdomain"));
		else
			fputs(line, out);
	}
	fclose(in);
	if (fclose(out) != 0)
		broken("%s cannot be written", path);
}

static struct span domains[] = { { WORLD_DOMAIN, sizeof(WORLD_DOMAIN) - 1 } };

static void open_server(void)
{
	world.server = server_new(&(struct server_settings){ .config = world.config, .id = SPAN("sm"), .domains = domains, .ndomains = 1,
		.nshards = WORLD_SHARDS, .names = world.names, .store = memory_store(),
		.tuning = { .limits = route_limits_default, .user_queue = 100 } });
	if (!world.server || !dispatch_tray_init(&world.tray, server_mailboxes(world.server), WORLD_SHARDS))
		broken("no server");
	for (unsigned i = 0; i < WORLD_SHARDS; i++)
		world.server->shards[i]->thread = pthread_self();
	world.io = io_open(&(struct io_config){ .acceptors = 1, .shards = server_mailboxes(world.server), .nshards = WORLD_SHARDS,
		.names = world.names, .id = SPAN("sm"), .domains = domains, .ndomains = 1,
		.tuning = { .limits = route_limits_default, .link_bytes = UINT64_MAX, .shard_bytes = UINT64_MAX } });
	if (!world.io)
		broken("no links");
}

void world_open(const char *config)
{
	char path[] = "/tmp/world.XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		broken("no temporary file");
	close(fd);
	write_config(config, path);
	hash_init();
	log_open(SPAN("file"), NULL, NULL, getenv("WORLD_LOG") ? getenv("WORLD_LOG") : "/dev/null");
	world.config = config_load(path, NULL);
	unlink(path);
	xml_thread_init();
	rcu_thread_start();
	world.names = names_new();
	buf_init(&world.summary);
	if (!world.config || !world.names)
		broken("no config");
	for (unsigned i = 0; i < WORLD_LINKS; i++) {
		link_open(&world.links[i], link_names[i]);
		if (names_bind(world.names, span_str(link_names[i]), i == LINK_S2S ? NAME_DEFAULT : 0, &world.links[i].ob) != NAMES_OK)
			broken("no names");
	}
	open_server();
}

void world_close(void)
{
	struct deadline at_once;

	memory_store_clear();
	dispatch_tray_fini(&world.tray);
	alone_grace();
	rcu_thread_end();
	deadline_set(&at_once, 0);
	if (!io_stop(&world.io, &at_once))
		broken("a link was left with something on it");
	server_free(&world.server);
	names_free(&world.names);
	alone_grace();
	config_free(&world.config);
	buf_free(&world.summary);
	for (unsigned i = 0; i < WORLD_LINKS; i++)
		free(world.links[i].text);
	log_close();
}

/* --- a script ---------------------------------------------------------------------------------------------------------------------------- */

/* As its acceptor closes it. */
static bool lose_overflown(struct fake_link *link)
{
	if (!link->overflown || !link->up)
		return false;
	world.faults = true;
	link_lose(link, (struct span){ 0 });
	link->up = false;
	return true;
}

static void settle(void)
{
	bool busy;

	do {
		busy = lose_overflown(&world.links[LINK_C2S]);
		for (unsigned i = 0; i < WORLD_SHARDS; i++)
			busy |= shard_turn(world.server->shards[i]);
		alone_grace();
		if (!busy && !world.held)
			busy = memory_store_turn();
	} while (busy);
	check_told();
}

static void say(enum world_link link, struct buf *b)
{
	if (!b->failed)
		link_say(&world.links[link], buf_span(b));
	buf_free(b);
}

static void control_say(struct seat *s, const char *action, struct span resource)
{
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "<route xmlns='" NS_COMPONENT "' to='sm' from='%s'><sc:session xmlns:sc='" NS_SESSION "' sc:c2s='%s'", link_names[s->link],
		s->c2s);
	if (s->sm[0])
		buf_fmt(&b, " sc:sm='%s'", s->sm);
	buf_fmt(&b, " action='%s' target='%s", action, user_names[s->user]);
	if (resource.n)
		buf_str(&b, "/");
	buf_text(&b, resource);
	buf_str(&b, "'/></route>");
	say(s->link, &b);
}

static void start(struct span line)
{
	unsigned letter = line.n > 2 ? (unsigned)line.p[1] - 'a' : 6, user = line.n > 2 ? (unsigned)line.p[2] - '0' : 9;

	if (letter >= 6 || user >= WORLD_USERS || world.nseats >= WORLD_SEATS - (user == 3 ? 0 : 1))
		return;
	struct seat *s = &world.seats[world.nseats++];

	*s = (struct seat){ .user = user, .link = letter & 1 ? LINK_C2S_2 : LINK_C2S };
	snprintf(s->c2s, sizeof(s->c2s), "%u", world.nseats);
	world.letter[letter] = s;
	control_say(s, "start", span_of(line.p + 3, line.n - 3));
}

static void end(struct seat *s)
{
	if (!s || !s->sm[0])
		return;
	s->lost = true;
	control_say(s, "end", (struct span){ 0 });
}

static void account(struct span line, const char *action)
{
	unsigned user = line.n > 1 ? (unsigned)line.p[1] - '0' : 9;
	struct seat nobody = { .user = user, .link = LINK_C2S, .c2s = "0" };

	if (user >= WORLD_USERS)
		return;
	for (unsigned i = 0; i < world.nseats && action[0] == 'd'; i++)
		world.seats[i].lost |= world.seats[i].user == user;
	world.deaf = true; /* messages for who is gone go nowhere */
	control_say(&nobody, action, (struct span){ 0 });
}

/* z, digits, _: a script that has learned what ids of ours look like says things with them that are nobody's answers. */
static bool holds_ids(struct span script)
{
	for (const char *p = script.p, *end = p + script.n; p < end && (p = memchr(p, 'z', (size_t)(end - p))); p++) {
		const char *q = p + 1;

		while (q < end && *q >= '0' && *q <= '9')
			q++;
		if (q < end && q > p + 1 && *q == '_')
			return true;
	}
	return false;
}

static bool for_somebody(struct span to)
{
	char room[JID_MAX + 1];
	struct jid jid;

	for (unsigned i = 0; i < WORLD_USERS; i++)
		if (jid_prep(&jid, to, room) && span_is(jid_bare(&jid), user_names[i]))
			return true;
	return false;
}

/* Did a session of the same user begin, and was not answered yet? It may take this one's place before what this one says now is looked at. */
static bool may_be_replaced(const struct seat *s)
{
	for (unsigned i = 0; i < world.nseats; i++)
		if (world.seats[i].user == s->user && !world.seats[i].started && !world.seats[i].lost)
			return true;
	return false;
}

/* What has an answer coming, or a place to be: an id of ours goes into it. */
static void expect_answer(struct buf *b, struct seat *s, struct span stanza)
{
	bool iq = stanza.n > 4 && memcmp(stanza.p, "<iq ", 4) == 0, message = stanza.n > 9 && memcmp(stanza.p, "<message ", 9) == 0;
	const char *gt = memchr(stanza.p, '>', stanza.n);

	if (gt && memmem(stanza.p, (size_t)(gt - stanza.p), "xmlns", 5))
		return; /* of another kind, or its namespace is declared twice */
	if ((!iq && !message) || world.known_ids || world.ndues == WORLD_DUES || memmem(stanza.p, stanza.n, " id=", 4) || !s->started || s->lost || s->ended ||
		may_be_replaced(s))
		return;
	/* Only what is read as it looks; the gate and the readers have their own tests. */
	struct route_scanner *scanner = &world.links[s->link].in;
	struct route_scanner trial = *scanner;
	struct route r;
	size_t used;
	struct buf whole;

	buf_init(&whole);
	buf_str(&whole, "<route xmlns='" NS_COMPONENT "' to='sm' from='c2s'>");
	buf_put(&whole, stanza);
	buf_str(&whole, "</route>");
	bool good = !whole.failed && route_next(&trial, whole.p, whole.n, &r, &used) == ROUTE_OK && used == whole.n &&
		r.element == EL_ROUTE && !(r.flags & ROUTE_ODD);
	bool addressed = good && r.stanza_to.len;
	struct span type = good ? slice_of(whole.p, r.stanza_type) : (struct span){ 0 };
	bool due = good && (iq ? span_is(type, "get") || span_is(type, "set")
			: for_somebody(slice_of(whole.p, r.stanza_to)) && (type.n == 0 || span_is(type, "chat") || span_is(type, "normal")) && memmem(whole.p, whole.n, "<body>", 6) &&
				!memmem(whole.p, whole.n, "jabber:x:e", 10) && !memmem(whole.p, whole.n, "amp", 3));

	if (due && memmem(whole.p, whole.n, "privacy", 7))
		world.deaf = true;
	if (due && memmem(whole.p, whole.n, "urn:xmpp:blocking", 17))
		world.deaf = true;
	buf_free(&whole);
	if (!due)
		return;
	struct due *d = &world.dues[world.ndues++];

	*d = (struct due){ .iq = iq, .message = message, .addressed = addressed, .from = s };
	snprintf(d->id, sizeof(d->id), "z%u_", world.ndues);
	buf_attr(b, "id", span_str(d->id));
}

/* The stanza with what is missing on its start tag; $S becomes that session's id. */
static void put_stanza(struct buf *b, struct seat *s, struct span stanza)
{
	const char *gt = memchr(stanza.p, '>', stanza.n);
	uint32_t name = 1;

	while (name < stanza.n && !memchr(" \t\r/>", stanza.p[name], 5))
		name++;
	buf_put(b, span_of(stanza.p, name < stanza.n ? name : stanza.n));
	if (name >= stanza.n)
		return;
	if (!memmem(stanza.p, gt ? (size_t)(gt - stanza.p) : stanza.n, "xmlns='jabber:client'", 21))
		buf_str(b, " xmlns='jabber:client'");
	if (s) {
		buf_fmt(b, " xmlns:sc='" NS_SESSION "' sc:c2s='%s' sc:sm='%s'", s->c2s, s->sm);
		expect_answer(b, s, stanza);
	}
	for (uint32_t i = name; i < stanza.n; i++) {
		unsigned letter = i + 1 < stanza.n && stanza.p[i] == '$' ? (unsigned)stanza.p[i + 1] - 'a' : 6;

		if (letter < 6 && world.letter[letter])
			buf_str(b, world.letter[letter]->sm);
		else
			buf_put(b, span_of(stanza.p + i, 1));
		i += letter < 6 && world.letter[letter];
	}
}

static void stanza(enum world_link link, struct seat *s, struct span text)
{
	struct buf b;

	if (text.n < 3 || text.p[0] != '<')
		return;
	buf_init(&b);
	buf_fmt(&b, "<route xmlns='" NS_COMPONENT "' to='%s' from='%s'>", link == LINK_S2S ? WORLD_DOMAIN : "sm", link_names[link]);
	put_stanza(&b, s, text);
	buf_str(&b, "</route>");
	say(link, &b);
}

static struct value number(struct span cell)
{
	char digits[24];

	snprintf(digits, sizeof(digits), SPAN_FMT, SPAN_ARG(cell));
	return value_int(atoll(digits));
}

static void row(struct span line)
{
	unsigned t = line.n > 3 ? (unsigned)line.p[1] - 'A' : T_COUNT, user = line.n > 3 ? (unsigned)line.p[2] - '0' : 9;
	struct value v[STORE_COLUMNS] = { { 0 } };
	const char *p = line.p + 3, *end = line.p + line.n;

	if (t >= T_COUNT || user > WORLD_USERS || memory_store_rows() > 200)
		return;
	for (unsigned i = 0; i < store_tables[t].ncolumns && p <= end; i++) {
		const char *bar = p < end ? memchr(p, '|', (size_t)(end - p)) : NULL;
		struct span cell = span_of(p, (size_t)((bar ? bar : end) - p));
		enum column_type type = store_tables[t].columns[i].type;

		/* "\0": null; in the last column a bar is a bar */
		if (i + 1 == store_tables[t].ncolumns)
			cell = span_of(p, (size_t)(end - p));
		if (cell.n != 1 || cell.p[0] != '\0')
			v[i] = type == COL_TEXT || type == COL_XML ? value_text(cell) : number(cell);
		if (v[i].kind == VALUE_INT && type == COL_BOOL)
			v[i].i = v[i].i != 0;
		p = bar ? bar + 1 : end + 1;
	}
	world.deaf = true;
	world.foreign |= t == T_QUEUE;
	scarce_pause++;
	memory_store_put(t, span_str(user_names[user]), v);
	scarce_pause--;
}

static void mishap(char what)
{
	switch (what) {
	case 'f':
	case 'u':
		world.faults = true;
		memory_store_fail(what == 'f' ? STORE_FAILED : STORE_FULL);
		break;
	case 'c':
		link_lose(&world.links[LINK_C2S_2], (struct span){ 0 });
		world.links[LINK_C2S_2].up = false;
		world.faults = true;
		break;
	case 'n':
		link_lose(&world.links[LINK_C2S], SPAN("c2s"));
		world.faults = true;
		break;
	case 's':
		link_stall(&world.links[LINK_C2S], !world.links[LINK_C2S].stalls);
		break;
	case 'h':
		link_here(&world.links[LINK_COMPONENT], SPAN("comp.test"), LETTER_PEER_HERE);
		break;
	case 'g':
		link_here(&world.links[LINK_COMPONENT], SPAN("comp.test"), LETTER_PEER_GONE);
		break;
	}
}

static void play_line(struct span line)
{
	struct span rest = span_of(line.p + 1, line.n - 1);
	struct seat *s = line.p[0] >= 'a' && line.p[0] <= 'f' ? world.letter[line.p[0] - 'a'] : NULL;

	switch (line.p[0]) {
	case '+':
		start(line);
		break;
	case '-':
		if (line.n > 1 && line.p[1] >= 'a' && line.p[1] <= 'f')
			end(world.letter[line.p[1] - 'a']);
		break;
	case 'k':
		account(line, "create");
		break;
	case 'x':
		account(line, "delete");
		break;
	case 'n':
		stanza(LINK_S2S, NULL, rest);
		break;
	case 'r':
	case 'R':
		link_say(&world.links[line.p[0] == 'r' ? LINK_C2S : LINK_COMPONENT], rest);
		break;
	case '=':
		row(line);
		break;
	case '!':
		if (rest.n)
			mishap(rest.p[0]);
		break;
	case '~':
		world.held = !world.held;
		break;
	default:
		if (s && s->sm[0])
			stanza(s->link, s, rest);
	}
	settle();
}

/* The one thing that outlives sessions and rows: the message of the day, which every shard keeps. */
static void forget_motd(void)
{
	play_line(SPAN("+e3operator"));
	if (world.letter[4])
		play_line(SPAN("e<message to='" WORLD_DOMAIN "/announce/motd/delete'/>"));
	end(world.letter[4]);
	settle();
}

/* What shards keep from one burst to the next: so that it has to be allocated again. */
static void forget_spare(struct shard *shard)
{
	for (int k = 0; k < SCRATCHES; k++)
		buf_free(&shard->scratch[k]);
	buf_free(&shard->wire);
	buf_free(&shard->render);
	buf_free(&shard->reply);
	buf_free(&shard->fresh_id);
	out_tray_free(&shard->out);
	shard->out = out_tray_new();
	free(shard->parks);
	free(shard->park_next);
	free(shard->park_gen);
	shard->parks = NULL;
	shard->park_next = shard->park_gen = NULL;
	shard->nparks = shard->free_parks = 0;
	index_fini(&shard->own_users);
	index_fini(&shard->own_sessions);
	index_fini(&shard->online);
}

static void begin(bool strict)
{
	for (unsigned i = 0; i < WORLD_SHARDS && !strict; i++)
		forget_spare(world.server->shards[i]);
	alone_chance(1);
	world.nseats = world.ndues = 0;
	memset(world.letter, 0, sizeof(world.letter));
	world.strict = strict;
	world.held = world.faults = world.deaf = world.foreign = world.known_ids = false;
	buf_clear(&world.summary);
	for (unsigned i = 0; i < WORLD_LINKS; i++)
		link_reset(&world.links[i]);
	for (unsigned i = 0; i < WORLD_USERS; i++) {
		struct value v[] = { value_int(1) };

		memory_store_put(T_ACTIVE, span_str(user_names[i]), v);
	}
}

void world_play(struct span script, bool strict)
{
	const char *p = script.p, *end_of = script.p + script.n;

	scarce_pause++;
	begin(strict);
	world.known_ids = holds_ids(script);
	scarce_pause--;
	while (p < end_of) {
		const char *nl = memchr(p, '\n', (size_t)(end_of - p));
		size_t n = (size_t)((nl ? nl : end_of) - p);

		if (n)
			play_line(span_of(p, n));
		p += n + 1;
	}
	scarce_pause++;
	world.held = false;
	link_stall(&world.links[LINK_C2S], false);
	settle();
	check_answers();
	for (unsigned i = 0; i < world.nseats; i++)
		if (!world.seats[i].lost && !world.seats[i].ended) {
			control_say(&world.seats[i], "end", (struct span){ 0 });
			settle();
		}
	forget_motd();
	/* Whatever a c2s was not told of goes with its link. */
	for (unsigned i = 0; i <= LINK_C2S_2; i++)
		link_here(&world.links[i], (struct span){ 0 }, LETTER_PEER_GONE);
	link_here(&world.links[LINK_COMPONENT], (struct span){ 0 }, LETTER_PEER_GONE);
	settle();
	check_end();
	memory_store_clear();
	scarce_pause--;
}

struct span world_summary(void)
{
	return buf_span(&world.summary);
}

SHARD_THREAD_END
