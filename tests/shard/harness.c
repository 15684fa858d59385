/* harness.c - the shards without sockets.
 * Threads: the test's; outputs are appended by shards under a mutex.
 * Owns: a temporary directory with sm.xml and the database.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "shardsm/hash.h"
#include "shardsm/packet.h"
#include "shardsm/rcu.h"
#include "shardsm/xml.h"

struct fake_link {
	struct outbox ob; /* first */
	struct harness *h;
	struct fake_link *next;
	struct route_scanner scanner;
	char name[32];
	pthread_mutex_t lock;
	pthread_cond_t more;
	bool stalls;
	char *out, *copy;
	size_t n, cap;
};

struct harness {
	char dir[64];
	struct config *config;
	struct names *names;
	struct store *store;
	struct server *server;
	struct dispatch_tray tray;
	struct fake_link *links;
	uint32_t nshards;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "harness: %s\n", what);
	abort();
}

static ssize_t catch(struct outbox *ob, const struct iovec *iov, int n)
{
	struct fake_link *link = (struct fake_link *)ob;
	size_t all = 0;

	pthread_mutex_lock(&link->lock);
	if (link->stalls)
		n = 0;
	for (int i = 0; i < n; i++) {
		if (link->n + iov[i].iov_len > link->cap) {
			link->cap = 2 * (link->n + iov[i].iov_len);
			link->out = realloc(link->out, link->cap);
			must(link->out != NULL, "no memory");
		}
		memcpy(link->out + link->n, iov[i].iov_base, iov[i].iov_len);
		link->n += iov[i].iov_len;
		all += iov[i].iov_len;
	}
	pthread_cond_broadcast(&link->more);
	pthread_mutex_unlock(&link->lock);
	return (ssize_t)all;
}

static void nothing(struct outbox *ob) { (void)ob; }

static const struct outbox_ops ops = { .write = catch, .arm = nothing, .overflow = nothing, .free = nothing };

static const char config_text_[] =
	"<sm><id>sm</id><local><id>" DOMAIN "</id></local>"
	"<storage><driver>sqlite</driver><sqlite><dbname>%s/db</dbname><sql>PRAGMA synchronous = OFF;</sql></sqlite></storage>"
	"<modules>"
	"<chain id='sess-start'><module>status</module></chain>"
	"<chain id='sess-end'><module>status</module><module>iq-last</module></chain>"
	"<chain id='in-sess'><module>validate</module><module>status</module><module>roster</module><module>iq-ping</module>"
	"<module>disco</module><module>offline</module><module>presence</module><module>deliver</module></chain>"
	"<chain id='in-router'><module>session</module><module>validate</module><module>presence</module></chain>"
	"<chain id='pkt-sm'><module>iq-last</module><module>iq-ping</module><module>iq-time</module><module>iq-version</module>"
	"<module>disco</module><module>presence</module></chain>"
	"<chain id='pkt-user'><module>roster</module><module>presence</module><module>disco</module><module>deliver</module>"
	"<module>offline</module><module>iq-last</module></chain>"
	"<chain id='user-load'><module>active</module><module>roster</module><module>offline</module></chain>"
	"<chain id='user-create'><module>active</module></chain>"
	"<chain id='user-delete'><module>active</module><module>offline</module><module>roster</module></chain>"
	"</modules></sm>";

struct harness *harness_new(uint32_t nshards)
{
	static const struct span domains[] = { { DOMAIN, sizeof(DOMAIN) - 1 } };
	struct harness *h = calloc(1, sizeof(*h));
	char path[96];

	must(h != NULL, "no memory");
	hash_init();
	xml_thread_init();
	rcu_thread_start();
	h->nshards = nshards;
	snprintf(h->dir, sizeof(h->dir), "/tmp/shards.XXXXXX");
	must(mkdtemp(h->dir) != NULL, "no temporary directory");
	snprintf(path, sizeof(path), "%s/sm.xml", h->dir);
	FILE *f = fopen(path, "w");

	must(f && fprintf(f, config_text_, h->dir) > 0 && fclose(f) == 0, "cannot write sm.xml");
	h->config = config_load(path, NULL);
	h->names = names_new();
	must(h->config && h->names, "config");
	h->store = store_open(h->config, 2);
	must(h->store != NULL, "store");
	h->server = server_new(&(struct server_settings){ .config = h->config, .id = SPAN("sm"), .domains = domains, .ndomains = 1,
		.nshards = nshards, .names = h->names, .store = h->store, .tuning = { .limits = route_limits_default, .user_queue = 100000 } });
	must(h->server && server_start(h->server), "server");
	must(dispatch_tray_init(&h->tray, server_mailboxes(h->server), nshards), "tray");
	return h;
}

void harness_free(struct harness **hp)
{
	struct harness *h = *hp;
	struct deadline deadline;
	char command[96];

	dispatch_tray_fini(&h->tray);
	rcu_thread_end();
	deadline_set(&deadline, 20000);
	must(server_stop(h->server, &deadline), "the server did not stop in time");
	store_close(&h->store);
	snprintf(command, sizeof(command), "rm -rf '%s'", h->dir);
	must(system(command) == 0, "cannot remove the temporary directory");
	server_free(&h->server);
	names_free(&h->names);
	config_free(&h->config);
	free(h);
	*hp = NULL; /* the links stay: what they were written is still to be read */
}

void harness_forget(struct fake_link **link)
{
	free((*link)->out);
	free((*link)->copy);
	free(*link);
	*link = NULL;
}

struct fake_link *harness_link(struct harness *h, const char *name)
{
	struct fake_link *link = aligned_alloc(64, (sizeof(*link) + 63) & ~(size_t)63);

	must(link != NULL, "no memory");
	memset(link, 0, sizeof(*link));
	outbox_init(&link->ob, &ops, UINT64_MAX);
	snprintf(link->ob.name, sizeof(link->ob.name), "%s", name);
	snprintf(link->name, sizeof(link->name), "%s", name);
	pthread_mutex_init(&link->lock, NULL);
	pthread_cond_init(&link->more, NULL);
	link->h = h;
	link->next = h->links;
	h->links = link;
	route_scanner_begin(&link->scanner, NULL, false);
	return link;
}

/* As an acceptor does: by the session's id, else by the target's or the addressee's bare JID. */
static uint32_t shard_for(struct fake_link *link, struct packet *p, char *to)
{
	struct sm_id id;
	struct slice text = p->route.payload == PL_SESSION ? p->route.target : p->route.stanza_to;

	if (p->route.flags & ROUTE_HAS_SM)
		return sm_id_parse(&id, packet_slice(p, p->route.sm)) ? shard_of_tag(id.tag, link->h->nshards) : 0;
	if (!jid_prep(&p->to, packet_slice(p, text), to)) {
		p->to.s = NULL;
		return 0;
	}
	return shard_of(jid_bare(&p->to), link->h->nshards);
}

void harness_send(struct fake_link *link, const char *fmt, ...)
{
	char to[JID_MAX + 1], extra[4096], *text;
	struct packet p = { .stage = STAGE_IN, .link = &link->ob };
	size_t used;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);

	va_end(ap);
	must(n > 0, "no memory");
	must(route_next(&link->scanner, text, (size_t)n, &p.route, &used) == ROUTE_OK, text);
	if (p.route.flags & ROUTE_ODD) {
		must(route_mxml(&p.route, text, extra, sizeof(extra)), "route_mxml");
		text = realloc(text, p.route.len + p.route.extra);
		must(text != NULL, "no memory");
		memcpy(text + p.route.len, extra, p.route.extra);
	}
	p.frame = text;
	must(tray_packet(&link->h->tray, shard_for(link, &p, to), &p), "no memory");
	free(text);
}

void harness_burst(struct harness *h)
{
	dispatch_tray_post(&h->tray);
}

void harness_stall(struct fake_link *link, bool stalls, uint64_t limit)
{
	pthread_mutex_lock(&link->lock);
	link->stalls = stalls;
	link->ob.limit = limit;
	pthread_mutex_unlock(&link->lock);
	if (!stalls)
		outbox_writable(&link->ob);
}

void harness_lose(struct harness *h, struct fake_link *link)
{
	harness_burst(h);
	for (uint32_t i = 0; i < h->nshards; i++) {
		struct peer_gone *gone = calloc(1, sizeof(*gone));
		struct letter *l = &gone->letter;

		gone->letter.kind = LETTER_PEER_GONE;
		gone->link = &link->ob;
		outbox_ref(&link->ob);
		mailbox_post(server_mailboxes(h->server)[i], &l);
	}
}

struct mailbox *const *harness_mailboxes(const struct harness *h)
{
	return server_mailboxes(h->server);
}

const char *harness_expect(struct fake_link *link, size_t *at, const char *needle)
{
	struct timespec until;
	const char *found;

	harness_burst(link->h);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&link->lock);
	while (!(found = link->n > *at ? memmem(link->out + *at, link->n - *at, needle, strlen(needle)) : NULL))
		if (pthread_cond_timedwait(&link->more, &link->lock, &until) != 0) {
			fprintf(stderr, "%s: nothing like [%s] in a minute; what came: %.*s\n", link->name, needle,
				(int)(link->n - *at < 2000 ? link->n - *at : 2000), link->out + *at);
			abort();
		}
	*at = (size_t)(found - link->out) + strlen(needle);
	pthread_mutex_unlock(&link->lock);
	return found;
}

struct span harness_output(struct fake_link *link)
{
	pthread_mutex_lock(&link->lock);
	free(link->copy);
	link->copy = malloc(link->n + 1);
	must(link->copy != NULL, "no memory");
	memcpy(link->copy, link->out ? link->out : "", link->n);
	struct span s = span_of(link->copy, link->n);

	pthread_mutex_unlock(&link->lock);
	return s;
}

void harness_create(struct fake_link *link, const char *user)
{
	size_t at = harness_output(link).n;
	char want[128];

	harness_send(link, "<route xmlns='" NS_COMPONENT "' to='" DOMAIN "' from='%s'><sc:session xmlns:sc='" NS_SESSION
		"' sc:c2s='0' action='create' target='%s@" DOMAIN "' id='create-%s'/></route>", link->name, user, user);
	snprintf(want, sizeof(want), "action='created' target='%s@", user);
	harness_expect(link, &at, want);
}

void harness_session(struct fake_link *link, const char *user, const char *resource, int id, char sm[41])
{
	size_t at = harness_output(link).n, reply;
	char want[128];

	harness_send(link, "<route xmlns='" NS_COMPONENT "' to='" DOMAIN "' from='%s'><sc:session xmlns:sc='" NS_SESSION
		"' sc:c2s='%d' action='start' target='%s@" DOMAIN "/%s' id='start-%d'/></route>", link->name, id, user, resource, id);
	snprintf(want, sizeof(want), "<sc:session xmlns:sc='" NS_SESSION "' sc:c2s='%d' sc:sm='", id);
	reply = at;
	harness_expect(link, &reply, want);
	memcpy(sm, harness_output(link).p + reply, 40);
	sm[40] = '\0';
	harness_expect(link, &reply, "action='started'");
}
