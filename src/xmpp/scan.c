/* scan.c - the gate's tokens.
 * Threads: any; scan_work is per thread.
 * Owns: nothing.
 * Source: XML 1.0 fourth edition, productions 2 (Char), 66 (CharRef), 68 (EntityRef).
 */
#include "xmpp/scan.h"

_Thread_local uint64_t scan_work;

const uint8_t scan_classes[256] = {
	['\t'] = SC_SPACE,
	['\n'] = SC_SPACE,
	['\r'] = SC_SPACE,
	[' '] = SC_SPACE | SC_PLAIN | SC_TEXT,
	['!'] = SC_PLAIN | SC_TEXT,
	['"'] = SC_TEXT,
	['#' ... '%'] = SC_PLAIN | SC_TEXT,
	['\''] = SC_TEXT,
	['(' ... ','] = SC_PLAIN | SC_TEXT,
	['-' ... '.'] = SC_NAME | SC_PLAIN | SC_TEXT,
	['/'] = SC_PLAIN | SC_TEXT,
	['0' ... '9'] = SC_NAME | SC_PLAIN | SC_TEXT,
	[':' ... ';'] = SC_PLAIN | SC_TEXT,
	['='] = SC_PLAIN | SC_TEXT,
	['>'] = SC_TEXT,
	['?' ... '@'] = SC_PLAIN | SC_TEXT,
	['A' ... 'Z'] = SC_START | SC_NAME | SC_PLAIN | SC_TEXT,
	['['] = SC_PLAIN | SC_TEXT,
	['\\'] = SC_PLAIN | SC_TEXT,
	['^'] = SC_PLAIN | SC_TEXT,
	['_'] = SC_START | SC_NAME | SC_PLAIN | SC_TEXT,
	['`'] = SC_PLAIN | SC_TEXT,
	['a' ... 'z'] = SC_START | SC_NAME | SC_PLAIN | SC_TEXT,
	['{' ... 0x7f] = SC_PLAIN | SC_TEXT,
};

static bool is_char(uint32_t cp)
{
	if (cp < 0x20)
		return cp == '\t' || cp == '\n' || cp == '\r';
	return cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff) && cp != 0xfffe && cp != 0xffff;
}

int scan_utf8(const char *p, const char *end, uint32_t *cp)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t have = (size_t)(end - p);
	int n;
	uint32_t least;

	if (u[0] < 0xc2 || u[0] > 0xf4)
		return 0;
	if (u[0] < 0xe0) {
		n = 2, least = 0x80, *cp = u[0] & 0x1f;
	} else if (u[0] < 0xf0) {
		n = 3, least = 0x800, *cp = u[0] & 0xf;
	} else {
		n = 4, least = 0x10000, *cp = u[0] & 7;
	}
	for (int i = 1; i < n; i++) {
		if ((size_t)i == have)
			return -1;
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (u[i] & 0x3f);
	}
	return *cp >= least && is_char(*cp) ? n : 0;
}

static int digit(char c, unsigned base)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (base == 16 && c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (base == 16 && c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int char_reference(const char *p, const char *end, uint32_t *cp)
{
	const char *s = p + 2;
	unsigned base = 10;

	if (s < end && *s == 'x') {
		base = 16;
		s++;
	}
	*cp = 0;
	const char *digits = s;
	for (; s < end && *s != ';'; s++) {
		int d = digit(*s, base);
		if (d < 0)
			return 0;
		*cp = *cp * base + (uint32_t)d;
		if (*cp > 0x10ffff)
			return 0;
	}
	if (s == end)
		return -1;
	return s > digits && is_char(*cp) ? (int)(s + 1 - p) : 0;
}

int scan_reference(const char *p, const char *end, uint32_t *cp)
{
	static const struct {
		char text[7];
		uint8_t n;
		char cp;
	} entities[] = { { "&lt;", 4, '<' }, { "&gt;", 4, '>' }, { "&amp;", 5, '&' }, { "&quot;", 6, '"' }, { "&apos;", 6, '\'' } };
	size_t have = (size_t)(end - p);

	if (have > 1 && p[1] == '#')
		return char_reference(p, end, cp);
	for (size_t i = 0; i < sizeof(entities) / sizeof(*entities); i++) {
		size_t n = have < entities[i].n ? have : entities[i].n;
		if (memcmp(p, entities[i].text, n) != 0)
			continue;
		*cp = (uint32_t)entities[i].cp;
		return n == entities[i].n ? (int)n : -1;
	}
	return 0;
}

int scan_put_utf8(char out[static 4], uint32_t cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

size_t scan_decode(char *out, struct span raw)
{
	const char *p = raw.p, *end = raw.p + raw.n;
	char *o = out;

	while (p < end) {
		uint32_t cp;
		if (*p == '&') {
			int n = scan_reference(p, end, &cp);
			if (n <= 0)
				break;
			/* No character is longer than its shortest reference: out can't run over. */
			o += scan_put_utf8(o, cp);
			p += n;
		} else if (*p == '\r' && p + 1 < end && p[1] == '\n') {
			*o++ = ' ';
			p += 2;
		} else {
			*o++ = scan_is(*p, SC_SPACE) ? ' ' : *p;
			p++;
		}
	}
	return (size_t)(o - out);
}

bool scan_text_ok(struct span text)
{
	const char *p = text.p, *end = text.p + text.n;
	uint32_t cp;

	while (p < end) {
		unsigned char c = (unsigned char)*p;
		if (c < 0x80) {
			if (!is_char(c))
				return false;
			p++;
			continue;
		}
		int n = scan_utf8(p, end, &cp);
		if (n <= 0)
			return false;
		p += n;
	}
	return true;
}
