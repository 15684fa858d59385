/* cut.c - where an element ends, found a read at a time.
 * Threads: any; state is in the caller's struct cut.
 * Owns: nothing.
 *
 * A state per place where a read may end, so that no byte is ever looked at twice and none has to be kept.
 */
#include "xmpp/cut.h"

#include "xmpp/scan.h"

enum cut_state {
	IN_TEXT,
	AT_LT,
	IN_TAG,
	AT_SLASH,  /* in a start tag, behind a slash */
	IN_QUOTE,
	IN_END_TAG,
	IN_CDATA,
	AT_BRACKET,
	AT_BRACKETS,
	IN_BANG,   /* this and more: so much of the opening of a CDATA section was seen */
};

static const char cdata_open[] = "[CDATA[";

static const char *find(const char *p, const char *end, char c)
{
	const char *at = memchr(p, c, (size_t)(end - p));
	return at ? at : end;
}

static const char *tag_stop(const char *p, const char *end)
{
	while (p < end && *p != '>' && *p != '/' && *p != '\'' && *p != '"')
		p++;
	return p;
}

static void after_lt(struct cut *c, char byte)
{
	if (byte == '/') {
		c->state = IN_END_TAG;
	} else if (byte == '!') {
		c->state = IN_BANG;
	} else {
		c->state = IN_TAG;
		c->depth++;
	}
}

static void in_tag(struct cut *c, char byte)
{
	if (byte == '/') {
		c->state = AT_SLASH;
	} else if (byte == '>') {
		c->state = IN_TEXT;
	} else if (byte == '\'' || byte == '"') {
		c->quote = byte;
		c->state = IN_QUOTE;
	} else {
		c->state = IN_TAG;
	}
}

static void in_bang(struct cut *c)
{
	c->state++;
	if (c->state == IN_BANG + sizeof(cdata_open) - 1)
		c->state = IN_CDATA;
}

/* One byte that matters. True: a tag ended with it. */
static bool step(struct cut *c, char byte)
{
	switch (c->state) {
	case IN_TEXT:
		c->state = AT_LT;
		return false;
	case AT_LT:
		after_lt(c, byte);
		return false;
	case AT_SLASH:
		if (byte == '>')
			c->depth--;
		in_tag(c, byte);
		return byte == '>';
	case IN_TAG:
		in_tag(c, byte);
		return byte == '>';
	case IN_QUOTE:
		c->state = IN_TAG;
		return false;
	case IN_END_TAG:
		c->state = IN_TEXT;
		c->depth--;
		return true;
	case IN_CDATA:
		c->state = AT_BRACKET;
		return false;
	case AT_BRACKET:
		c->state = byte == ']' ? AT_BRACKETS : IN_CDATA;
		return false;
	case AT_BRACKETS:
		if (byte != ']')
			c->state = byte == '>' ? IN_TEXT : IN_CDATA;
		return false;
	default:
		in_bang(c);
		return false;
	}
}

static const char *next_stop(const struct cut *c, const char *p, const char *end)
{
	switch (c->state) {
	case IN_TEXT:
		return find(p, end, '<');
	case IN_TAG:
		return tag_stop(p, end);
	case IN_QUOTE:
		return find(p, end, c->quote);
	case IN_END_TAG:
		return find(p, end, '>');
	case IN_CDATA:
		return find(p, end, ']');
	default:
		return p;
	}
}

enum cut_result cut_run(struct cut *c, const char **pp, const char *end, uint32_t stop)
{
	const char *p = *pp;
	enum cut_result result = CUT_MORE;

	while (p < end) {
		p = next_stop(c, p, end);
		if (p == end)
			break;
		if ((c->state == AT_LT && *p == '?') || (c->state >= IN_BANG && *p != cdata_open[c->state - IN_BANG]) ||
			(c->state == AT_LT && *p == '/' && c->depth == 0)) {
			result = CUT_BAD;
			break;
		}
		bool tag_ended = step(c, *p++);
		if (tag_ended && c->depth <= stop) {
			result = CUT_DONE;
			break;
		}
	}
	scan_work += (uint64_t)(p - *pp);
	*pp = p;
	return result;
}
