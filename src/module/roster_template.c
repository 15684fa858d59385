/* roster_template.c - the roster that new accounts begin with: <user><template><roster>, a file with a roster query in it.
 * Threads: shards; the file is read under a mutex, again when it was changed.
 * Owns: the items of the file as it was read last.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "module/roster.h"
#include "shardsm/log.h"

#define FILE_MAX_BYTES (1u << 20)
#define GROUPS_MAX 64 /* of one item */

static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;
static struct template {
	char *path;              /* NULL: there is none */
	struct timespec read_at; /* the file's own time, when it was read */
	struct roster_item **items;
	uint32_t nitems;
} set;

static bool read_options(struct config *config, void *into)
{
	struct template *t = into;
	struct span text = config_text(config, "user.template.roster", "");

	t->path = text.n ? strndup(text.p, text.n) : NULL;
	return t->path || !text.n;
}

static void forget(struct template *t)
{
	while (t->nitems)
		free(t->items[--t->nitems]);
	free(t->items);
	t->items = NULL;
}

static void drop_options(void *old)
{
	struct template *t = old;

	forget(t);
	free(t->path);
}

/* The file's bytes with comments and declarations blanked: what is left passes the gate, and the lines are where they were. */
static bool read_file(struct buf *text)
{
	FILE *f = fopen(set.path, "re");
	char *at, *end;

	if (!f)
		return false;
	if (buf_grow(text, FILE_MAX_BYTES + 1))
		text->n = (uint32_t)fread(text->p, 1, FILE_MAX_BYTES + 1, f);
	fclose(f);
	if (text->n > FILE_MAX_BYTES) {
		errno = EFBIG;
		return false;
	}
	buf_put(text, span_of("", 1));
	if (text->failed)
		return false;
	for (at = text->p; (at = strchr(at, '<')) != NULL; at++) {
		bool comment = strncmp(at, "<!--", 4) == 0;

		if (!comment && strncmp(at, "<?", 2) != 0)
			continue;
		end = strstr(at + 2, comment ? "-->" : "?>");
		end = end ? end + (comment ? 3 : 2) : at + strlen(at);
		for (; at < end; at++)
			*at = *at == '\n' ? '\n' : ' ';
		at--;
	}
	return true;
}

/* The line of item number i. */
static int line_of(const char *text, uint32_t i)
{
	const char *at = text;
	int line = 1;

	while ((at = strstr(at, "<item")) != NULL && i--)
		at++;
	for (const char *c = text; at && c < at; c++)
		line += *c == '\n';
	return line;
}

static struct roster_item *read_item(struct xml *xml, const char *text, uint32_t number)
{
	static const char *const subscriptions[] = { "none", "to", "from", "both" };
	struct span wanted = xml_attr(xml, "subscription"), name = xml_attr(xml, "name"), groups[GROUPS_MAX];
	char room[JID_MAX + 1];
	struct jid jid;
	unsigned s = 0;

	if (!jid_prep(&jid, xml_attr(xml, "jid"), room)) {
		log_error("%s:%d: item left out (jid=\"" SPAN_FMT "\" is not a JID)", set.path, line_of(text, number),
			SPAN_ARG(xml_attr(xml, "jid")));
		return NULL;
	}
	while (wanted.n && s < 4 && !span_is(wanted, subscriptions[s]))
		s++;
	if (s == 4) {
		log_error("%s:%d: item left out (subscription=\"" SPAN_FMT "\" is not none, to, from or both)", set.path, line_of(text, number),
			SPAN_ARG(wanted));
		return NULL;
	}
	struct item_fields f = { .jid = jid_full(&jid), .name = name, .named = name.n > 0, .to = s & 1, .from = s >> 1 };
	enum stanza_condition why;
	struct roster_item *item = NULL;
	struct buf buf;

	buf_init(&buf);
	f.groups = groups;
	if (!roster_read_groups(xml, &buf, groups, &f.ngroups, &why))
		log_error("%s:%d: item left out (a group is empty, too long or there twice, or there are more than %d)", set.path,
			line_of(text, number), GROUPS_MAX);
	else
		item = roster_item_new(&f);
	buf_free(&buf);
	return item;
}

static void read_items(struct xml *query, const char *text)
{
	uint32_t n = 0, number = 0;

	for (struct xml *e = xml_child(query, NS_ROSTER, "item"); e; e = xml_next(e, NS_ROSTER, "item"))
		n++;
	set.items = calloc(n + 1, sizeof(struct roster_item *));
	for (struct xml *e = xml_child(query, NS_ROSTER, "item"); e && set.items; e = xml_next(e, NS_ROSTER, "item")) {
		struct roster_item *item = read_item(e, text, number++);

		for (uint32_t i = 0; item && i < set.nitems; i++)
			if (span_eq(item_jid(set.items[i]), item_jid(item))) {
				log_error("%s:%d: item left out (" SPAN_FMT " is there twice)", set.path, line_of(text, number - 1),
					SPAN_ARG(item_jid(item)));
				free(item);
				item = NULL;
			}
		if (item)
			set.items[set.nitems++] = item;
	}
}

static void parse(struct shard *shard, struct buf *text)
{
	const char *first = text->p + strspn(text->p, " \t\r\n");
	size_t n = strlen(first);
	struct xml_doc *doc;

	while (n && strchr(" \t\r\n", first[n - 1]))
		n--;
	doc = row_check(shard, span_of(first, n)) ? xml_parse(span_of(first, n), NULL) : NULL;
	if (!doc)
		log_error("%s: not well-formed XML (new users get no roster items)", set.path);
	else if (!xml_is(xml_root(doc), NS_ROSTER, "query"))
		log_error("%s: not a <query xmlns='" NS_ROSTER "'> (new users get no roster items)", set.path);
	else
		read_items(xml_root(doc), text->p);
	if (doc)
		xml_free(&doc);
}

/* Reads the file when it is not the one that was read last. What is wrong with it is said once. */
static void refresh(struct shard *shard)
{
	struct stat st;
	struct buf text;

	if (stat(set.path, &st) != 0) {
		log_limited(LOG_LEVEL_ERROR, "%s: cannot be read (%s): new users get no roster items", set.path, strerror(errno));
		forget(&set);
		memset(&set.read_at, 0, sizeof(set.read_at));
		return;
	}
	if (st.st_mtim.tv_sec == set.read_at.tv_sec && st.st_mtim.tv_nsec == set.read_at.tv_nsec)
		return;
	set.read_at = st.st_mtim;
	forget(&set);
	buf_init(&text);
	if (read_file(&text))
		parse(shard, &text);
	else
		log_error("%s: cannot be read (%s): new users get no roster items", set.path, strerror(errno));
	buf_free(&text);
}

static void user_create(struct event *ev, struct store_req *req)
{
	if (!set.path)
		return;
	pthread_mutex_lock(&reading);
	refresh(ev->shard);
	for (uint32_t i = 0; i < set.nitems; i++)
		roster_store_item(req, set.items[i]);
	pthread_mutex_unlock(&reading);
}

const struct module module_template_roster = {
	.name = "template-roster",
	.options = { &set, sizeof(set), read_options, drop_options },
	.user_create = user_create,
};
