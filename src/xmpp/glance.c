/* glance.c - the text of a child element where it can be had without a tree.
 * Threads: any; no state.
 * Owns: nothing.
 */
#include "shardsm/xml.h"
#include "xmpp/scan.h"

/* Behind the '>' of the tag that begins at p. Values may hold one. */
static const char *tag_end(const char *p, const char *end)
{
	char quote = '\0';

	for (; p < end; p++) {
		if (quote)
			quote = *p == quote ? '\0' : quote;
		else if (*p == '\'' || *p == '"')
			quote = *p;
		else if (*p == '>')
			return p + 1;
	}
	return end;
}

static bool ends_with(struct span name, struct span local)
{
	return name.n > local.n && name.p[name.n - local.n - 1] == ':' && memcmp(name.p + name.n - local.n, local.p, local.n) == 0;
}

/* tag: of a child, from behind its '<' to its '>'; end: of the content. */
static enum glance look_at(struct span tag, const char *end, struct span local, struct span *text)
{
	const char *name_end = tag.p, *stop;
	struct span name;

	while (*name_end != '>' && *name_end != '/' && !scan_is(*name_end, SC_SPACE))
		name_end++;
	name = span_of(tag.p, (size_t)(name_end - tag.p));
	if (!span_eq(name, local))
		return ends_with(name, local) ? GLANCE_UNSURE : GLANCE_ABSENT;
	*text = (struct span){ 0 };
	if (name_end[0] == '/')
		return GLANCE_FOUND;
	if (name_end[0] != '>')
		return GLANCE_UNSURE; /* attributes: its namespace may be among them */
	stop = scan_plain(name_end + 1, end);
	*text = span_of(name_end + 1, (size_t)(stop - name_end - 1));
	return end - stop > 1 && stop[0] == '<' && stop[1] == '/' ? GLANCE_FOUND : GLANCE_UNSURE;
}

enum glance xml_glance(struct span content, const char *local, struct span *text)
{
	const char *p = content.p, *end = content.p + content.n;
	struct span wanted = span_str(local);
	int depth = 0;

	/* A name is spelt in one way only. */
	if (!content.n || !memmem(content.p, content.n, wanted.p, wanted.n))
		return GLANCE_ABSENT;
	while ((p = memchr(p, '<', (size_t)(end - p))) && end - p > 1) {
		const char *start = p + 1;

		p = tag_end(p, end);
		if (*start == '!')
			return GLANCE_UNSURE; /* CDATA */
		if (*start == '/') {
			depth--;
			continue;
		}
		enum glance found = depth ? GLANCE_ABSENT : look_at(span_of(start, (size_t)(p - start)), end, wanted, text);

		if (found != GLANCE_ABSENT)
			return found;
		depth += p[-2] != '/';
	}
	return GLANCE_ABSENT;
}
