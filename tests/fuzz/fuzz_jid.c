/* fuzz_jid.c - one text, every promise about JIDs: a second reading says the same, parts keep their limits, what is prepared stays as it is.
 * Threads: one.
 * Owns: nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <stringprep.h>

#include "fuzz.h"
#include "shardsm/jid.h"
#include "shardsm/xml.h"

static void broken(const char *what)
{
	fprintf(stderr, "fuzz_jid: %s\n", what);
	abort();
}

/* One part, by libidn alone. False: it cannot be one. */
static bool part(struct span text, const Stringprep_profile *profile, char out[static JID_PART_MAX + 1])
{
	if (text.n == 0 || text.n > JID_PART_MAX || memchr(text.p, '\0', text.n))
		return false;
	memcpy(out, text.p, text.n);
	out[text.n] = '\0';
	return stringprep(out, JID_PART_MAX + 1, 0, profile) == STRINGPREP_OK && *out;
}

/* [node@]domain[/resource], the slow way. The empty text: not a JID, or a domain that holds other ASCII than DNS does. */
static void second_reading(struct span text, char out[static JID_MAX + 1])
{
	static char node[JID_PART_MAX + 1], domain[JID_PART_MAX + 1], resource[JID_PART_MAX + 1];
	const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
	struct span bare = slash ? span_of(text.p, (size_t)(slash - text.p)) : text;
	const char *at = bare.n ? memchr(bare.p, '@', bare.n) : NULL;
	struct span host = at ? span_of(at + 1, (size_t)(bare.p + bare.n - at - 1)) : bare;

	*out = *node = *resource = '\0';
	if (!xml_text_ok(text) || (at && !part(span_of(bare.p, (size_t)(at - bare.p)), stringprep_xmpp_nodeprep, node)) ||
		!part(host, stringprep_nameprep, domain) ||
		(slash && !part(span_of(slash + 1, (size_t)(text.p + text.n - slash - 1)), stringprep_xmpp_resourceprep, resource)))
		return;
	size_t n = strlen(domain);

	if (domain[n - 1] == '.')
		domain[--n] = '\0';
	bool plain = n > 0 && domain[n - 1] != '.';

	for (size_t i = 0; i < n; i++)
		plain = plain && ((unsigned char)domain[i] >= 0x80 || strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", domain[i]));
	if (!plain)
		*domain = '\0';
	if (*domain)
		snprintf(out, JID_MAX + 1, "%s%s%s%s%s", node, at ? "@" : "", domain, slash ? "/" : "", resource);
}

static void limits(const struct jid *j)
{
	struct span node = jid_node(j), domain = jid_domain(j), resource = jid_resource(j);

	if (node.n > JID_PART_MAX || domain.n > JID_PART_MAX || resource.n > JID_PART_MAX || domain.n == 0)
		broken("a part out of its limits");
	if ((node.n && j->s[node.n] != '@') || (jid_has_resource(j) && (j->s[j->bare_len] != '/' || resource.n == 0)))
		broken("the parts are not where they should be");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char buf[JID_MAX + 1], again[JID_MAX + 1], want[JID_MAX + 1];
	struct span text = span_of((const char *)data, size);
	struct jid j, k;

	if (size > 4000)
		return 0;
	bool ok = jid_prep(&j, text, buf);

	second_reading(text, want);
	if (*want && !ok)
		broken("refused what libidn takes");
	if (!ok)
		return 0;
	limits(&j);
	if (*want && !span_is(jid_full(&j), want))
		broken("prepared otherwise than by libidn");
	if (!jid_split(&k, jid_full(&j)) || k.node_len != j.node_len || k.bare_len != j.bare_len || k.len != j.len)
		broken("split otherwise than prepared");
	if (jid_prep(&k, jid_full(&j), again) && !jid_prep(&j, jid_full(&k), buf))
		broken("prepared twice, and refused the third time");
	return 0;
}
