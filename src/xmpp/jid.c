/* jid.c - JIDs: split and prepared.
 * Threads: any; no state.
 * Owns: nothing; what is prepared by libidn lands in the caller's buffer.
 * Source: RFC 6122 sections 2.1 to 2.4.
 */
#include "config.h"

#include "shardsm/jid.h"

#include <stringprep.h>

#include "xmpp/scan.h"

struct parts {
	struct span node, domain, resource;
	bool has_node, has_resource;
};

/* RFC 6122 section 2.1: the first slash ends the bare JID, and the first at sign before it ends the node. */
static bool split(struct parts *out, struct span text)
{
	*out = (struct parts){ 0 };
	if (text.n == 0 || text.n > JID_MAX)
		return false;
	const char *end = text.p + text.n;
	const char *slash = memchr(text.p, '/', text.n);
	const char *bare_end = slash ? slash : end;
	const char *at = memchr(text.p, '@', (size_t)(bare_end - text.p));
	const char *domain = at ? at + 1 : text.p;

	out->has_node = at != NULL;
	out->has_resource = slash != NULL;
	if (at)
		out->node = span_of(text.p, (size_t)(at - text.p));
	out->domain = span_of(domain, (size_t)(bare_end - domain));
	if (slash)
		out->resource = span_of(slash + 1, (size_t)(end - slash - 1));
	return true;
}

static bool size_ok(struct span part, bool present)
{
	return present ? part.n > 0 && part.n <= JID_PART_MAX : part.n == 0;
}

static bool sizes_ok(const struct parts *p)
{
	return size_ok(p->node, p->has_node) && size_ok(p->domain, true) && size_ok(p->resource, p->has_resource);
}

enum { IN_NODE = 1, IN_DOMAIN = 2, IN_RESOURCE = 4, IN_ANY = IN_NODE | IN_DOMAIN | IN_RESOURCE };

/* ASCII that is already what the three profiles would make of it. Not in a domain, although nameprep lets it pass: what would
 * split the JID elsewhere, or could never be a host's name. */
static const uint8_t prepared[128] = {
	[' '] = IN_RESOURCE,
	['!'] = IN_ANY,
	['"'] = IN_RESOURCE,
	['#' ... '%'] = IN_ANY,
	['&' ... '\''] = IN_RESOURCE,
	['(' ... '.'] = IN_ANY,
	['/'] = IN_RESOURCE,
	['0' ... '9'] = IN_ANY,
	[':'] = IN_DOMAIN | IN_RESOURCE,
	[';'] = IN_ANY,
	['<'] = IN_RESOURCE,
	['='] = IN_ANY,
	['>'] = IN_RESOURCE,
	['?'] = IN_ANY,
	['@'] = IN_RESOURCE,
	['A' ... 'Z'] = IN_RESOURCE,
	['[' ... '~'] = IN_ANY,
};

static bool all_prepared(struct span part, unsigned where)
{
	for (uint32_t i = 0; i < part.n; i++) {
		unsigned char c = (unsigned char)part.p[i];
		if (c >= 0x80 || !(prepared[c] & where))
			return false;
	}
	return true;
}

/* nameprep may bring forth what splits a JID (a fullwidth solidus becomes '/'): look at what came out. */
static bool domain_ok(struct span domain)
{
	for (uint32_t i = 0; i < domain.n; i++) {
		unsigned char c = (unsigned char)domain.p[i];
		if (c < 0x80 && !(prepared[c] & IN_DOMAIN))
			return false;
	}
	return true;
}

/* Prepares one part into out. text is well-formed UTF-8: libidn reads past the end of what is not. */
static bool prep_part(char out[static JID_PART_MAX + 1], struct span *text, const Stringprep_profile *profile)
{
	memcpy(out, text->p, text->n);
	out[text->n] = '\0';
	if (stringprep(out, JID_PART_MAX + 1, 0, profile) != STRINGPREP_OK)
		return false;
	*text = span_of(out, strlen(out));
	return text->n > 0;
}

static bool join(struct jid *out, const struct parts *p, char buf[static JID_MAX + 1])
{
	char *w = buf;

	if (p->has_node) {
		w = mempcpy(w, p->node.p, p->node.n);
		*w++ = '@';
	}
	w = mempcpy(w, p->domain.p, p->domain.n);
	*out = (struct jid){ buf, (uint16_t)p->node.n, (uint16_t)(w - buf), (uint16_t)(w - buf) };
	if (p->has_resource) {
		*w++ = '/';
		w = mempcpy(w, p->resource.p, p->resource.n);
		out->len = (uint16_t)(w - buf);
	}
	*w = '\0';
	return true;
}

static bool prep_slow(struct jid *out, struct span text, struct parts *p, char buf[static JID_MAX + 1])
{
	char node[JID_PART_MAX + 1], domain[JID_PART_MAX + 1], resource[JID_PART_MAX + 1];

	if (!scan_text_ok(text))
		return false;
	if (p->has_node && !prep_part(node, &p->node, stringprep_xmpp_nodeprep))
		return false;
	if (!prep_part(domain, &p->domain, stringprep_nameprep))
		return false;
	if (p->has_resource && !prep_part(resource, &p->resource, stringprep_xmpp_resourceprep))
		return false;
	/* RFC 6122 section 2.2: one trailing dot is ignored. */
	if (p->domain.p[p->domain.n - 1] == '.')
		p->domain.n--;
	if (p->domain.n == 0 || p->domain.p[p->domain.n - 1] == '.' || !domain_ok(p->domain))
		return false;
	return join(out, p, buf);
}

static void fill(struct jid *out, struct span text, const struct parts *p)
{
	uint32_t bare = p->has_resource ? text.n - p->resource.n - 1 : text.n;

	*out = (struct jid){ text.p, (uint16_t)p->node.n, (uint16_t)bare, (uint16_t)text.n };
}

#if defined(__SSE2__)
/* Which of 16 bytes are between two, both included. */
static inline unsigned between(__m128i v, char first, char last)
{
	__m128i from_first = _mm_sub_epi8(v, _mm_set1_epi8(first));
	__m128i most = _mm_set1_epi8((char)(last - first));

	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(from_first, most), from_first));
}

static inline unsigned equal(__m128i v, char c) { return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(c))); }

/* What nearly every JID is: node, at sign and domain, perhaps a resource, all of letters, digits, dots, dashes and underscores, the
 * letters before the slash being small ones. False: it is something else, or shorter than a look or longer than four. */
static bool prep_simple(struct jid *out, struct span text)
{
	uint64_t at = 0, slash = 0, small = 0, large = 0, all = ~0ull >> (64 - (text.n & 63 ? text.n & 63 : 64));

	if (text.n < 16 || text.n > 64)
		return false;
	for (uint32_t i = 0; i < text.n; i += 16) {
		uint32_t from = i + 16 <= text.n ? i : text.n - 16;
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text.p + from));

		at |= (uint64_t)equal(v, '@') << from;
		slash |= (uint64_t)equal(v, '/') << from;
		small |= (uint64_t)(between(v, 'a', 'z') | between(v, '0', '9') | between(v, '-', '.') | equal(v, '_')) << from;
		large |= (uint64_t)between(v, 'A', 'Z') << from;
	}
	if (!at || (at & (at - 1)) || (slash & (slash - 1)))
		return false;
	uint64_t resource = slash ? ~(slash | (slash - 1)) : 0;
	uint32_t node = (uint32_t)__builtin_ctzll(at), bare = slash ? (uint32_t)__builtin_ctzll(slash) : text.n;

	if ((small | at | slash | (large & resource)) != all || node == 0 || node + 1 >= bare || bare + 1 == text.n || text.p[bare - 1] == '.')
		return false;
	*out = (struct jid){ text.p, (uint16_t)node, (uint16_t)bare, (uint16_t)text.n };
	return true;
}
#else
static bool prep_simple(struct jid *out, struct span text)
{
	(void)out;
	(void)text;
	return false;
}
#endif

bool jid_prep(struct jid *out, struct span text, char buf[static JID_MAX + 1])
{
	struct parts p;

	if (likely(prep_simple(out, text)))
		return true;
	if (!split(&p, text) || !sizes_ok(&p))
		return false;
	if (!all_prepared(p.node, IN_NODE) || !all_prepared(p.domain, IN_DOMAIN) || !all_prepared(p.resource, IN_RESOURCE) ||
		p.domain.p[p.domain.n - 1] == '.')
		return prep_slow(out, text, &p, buf);
	fill(out, text, &p);
	return true;
}

bool jid_split(struct jid *out, struct span text)
{
	struct parts p;

	if (!split(&p, text) || !sizes_ok(&p))
		return false;
	fill(out, text, &p);
	return true;
}
