/* aci.c - who may do what: the access control lists of sm.xml.
 * Threads: reading is main's; the rest any, read-only. The lists change while the shards stand still.
 * Owns: the lists.
 */
#include <stdlib.h>

#include "shardsm/aci.h"

#define TYPE_MAX 32 /* bytes that count of a list's name, as in jabberd2 */

struct list {
	struct list *next;
	struct span type;
	uint32_t n;
	struct jid jids[];
};

static struct list *lists;

static struct span cut(struct span type)
{
	return span_of(type.p, type.n < TYPE_MAX ? type.n : TYPE_MAX);
}

static const struct list *find(struct span type)
{
	for (const struct list *l = lists; l; l = l->next)
		if (span_eq(l->type, cut(type)))
			return l;
	return NULL;
}

static bool in_list(const struct list *l, const struct jid *jid)
{
	for (uint32_t i = 0; l && i < l->n; i++)
		if (jid_same(&l->jids[i], jid) || span_eq(jid_full(&l->jids[i]), jid_bare(jid)))
			return true;
	return false;
}

/* A JID of the file that outlives the buffer that it was prepared in. */
static bool read_jid(struct config *config, const struct config_value *v, struct list *l)
{
	char room[JID_MAX + 1], *text;
	struct jid jid;

	if (!jid_prep(&jid, config_value_text(v), room)) {
		config_bad(config, v, "\"" SPAN_FMT "\" is not a JID, as in admin@example.org", SPAN_ARG(config_value_text(v)));
		return true;
	}
	text = malloc(jid.len);
	if (!text)
		return false;
	memcpy(text, jid.s, jid.len);
	jid.s = text;
	l->jids[l->n++] = jid;
	return true;
}

static bool read_list(struct config *config, const struct config_value *acl, struct list **into)
{
	struct span type = config_attr(acl, "type");
	const struct config_value *v;
	struct list *l;
	uint32_t n = 0;

	if (!type.n) {
		config_bad(config, acl, "type: missing; all, broadcast, messages or disco is wanted");
		return true;
	}
	while (config_below(config, acl, "jid", n))
		n++;
	l = malloc(sizeof(*l) + n * sizeof(l->jids[0]));
	if (!l)
		return false;
	/* In front of the one that it replaces. */
	*l = (struct list){ .next = *into, .type = cut(type) };
	*into = l;
	for (uint32_t i = 0; (v = config_below(config, acl, "jid", i)) != NULL; i++)
		if (!read_jid(config, v, l))
			return false;
	return true;
}

static bool read_lists(struct config *config, void *into)
{
	const struct config_value *acl;

	for (uint32_t i = 0; (acl = config_get(config, "aci.acl", i)) != NULL; i++)
		if (!read_list(config, acl, into))
			return false;
	return true;
}

static void drop_lists(void *old)
{
	struct list **at = old, *l;

	while ((l = *at) != NULL) {
		*at = l->next;
		for (uint32_t i = 0; i < l->n; i++)
			free((char *)l->jids[i].s);
		free(l);
	}
}

const struct tunables aci_lists = { &lists, sizeof(lists), read_lists, drop_lists };

bool aci_allows(const char *type, const struct jid *jid)
{
	return in_list(find(SPAN("all")), jid) || in_list(find(span_str(type)), jid);
}

bool aci_jid(const char *type, uint32_t i, struct jid *out)
{
	const struct list *all = find(SPAN("all")), *named = find(span_str(type));

	if (all && i < all->n) {
		*out = all->jids[i];
		return true;
	}
	i -= all ? all->n : 0;
	for (uint32_t k = 0; named && named != all && k < named->n; k++) {
		bool again = false;

		for (uint32_t m = 0; all && m < all->n && !again; m++)
			again = jid_same(&all->jids[m], &named->jids[k]);
		if (!again && i-- == 0) {
			*out = named->jids[k];
			return true;
		}
	}
	return false;
}
