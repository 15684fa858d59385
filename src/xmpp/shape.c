/* shape.c - the start tags of a link's last frames: a frame that begins like one of them has its envelope without a parse.
 * Threads: those of the scanner that the shapes are given to.
 * Owns: nothing; shapes are their scanner's user's.
 *
 * A component writes the same two start tags again and again: <route ...><message ...>, with other values in `to`, `id` and the session's ids.
 * A shape is such a pair of tags with holes where the values of the payload's attributes stand, namespace declarations excepted. What the
 * gate would find in a frame that is equal but for the holes follows from what it found in the first one, if what stands in the holes is plain
 * (scan_plain()): nothing to decode, no markup, no quote. Whatever is not, the gate reads.
 */
#include "xmpp/shape.h"

#include <stdlib.h>

#include "xmpp/scan.h"

#define SHAPES 8u
#define TEXT_MAX 512u
#define HOLES_MAX 12u
#define BINDINGS_MAX 4u
#define FIXES_MAX (10u + 2u * ROUTE_ATTRS)
#define NO_HOLE UINT8_MAX

/* A slice of the route that moves with the holes in front of it, or that is a hole. */
struct fix {
	uint16_t at;   /* of the slice, in struct route */
	uint8_t holes; /* in front of it */
	uint8_t hole;  /* that it is, or NO_HOLE */
};

struct shape {
	uint32_t len;                /* of both tags in the frame that this was learnt from; 0: nothing was learnt */
	uint8_t nholes, nfixes;
	uint16_t bits[HOLES_MAX + 1]; /* bytes in front of each hole, and behind the last */
	struct { uint32_t begin, end; } holes[HOLES_MAX]; /* in that frame */
	struct fix fixes[FIXES_MAX];
	struct route route;
	/* the gate's, behind the tags */
	uint32_t attributes, watch, payload, nbindings;
	int32_t dflt;
	bool empty;
	struct gate_element stack[2];
	struct gate_binding bindings[BINDINGS_MAX];
	uint8_t bound_behind[BINDINGS_MAX]; /* holes in front of each declaration */
	char text[TEXT_MAX];         /* the bytes around the holes */
};

struct route_shapes {
	uint32_t last, next; /* matched or learnt last; to be replaced next */
	struct shape shapes[SHAPES];
};

struct route_shapes *route_shapes_new(void)
{
	return calloc(1, sizeof(struct route_shapes));
}

void route_shapes_free(struct route_shapes **shapes)
{
	free(*shapes);
	*shapes = NULL;
}

/* --- learning --------------------------------------------------------------------------------------------------------- */

static uint8_t holes_before(const struct shape *sh, uint32_t off)
{
	uint8_t n = 0;

	while (n < sh->nholes && sh->holes[n].begin < off)
		n++;
	return n;
}

/* The holes, and the bytes around them. False: more than a shape holds. */
static bool learn_text(const struct gate *g, struct shape *sh)
{
	uint32_t at = 0, used = 0, end = (uint32_t)(g->p - g->buf);

	sh->nholes = 0;
	for (uint32_t i = 0; i <= g->tag.nattrs; i++) {
		const struct gate_attr *a = i < g->tag.nattrs ? &g->attrs[i] : NULL;
		uint32_t n = (a ? a->value.off : end) - at;

		if (a && a->declares)
			continue;
		if ((a && sh->nholes == HOLES_MAX) || n > TEXT_MAX - used)
			return false;
		memcpy(sh->text + used, g->buf + at, n);
		used += n;
		sh->bits[sh->nholes] = (uint16_t)n;
		if (!a)
			break;
		at = a->value.off + a->value.len;
		sh->holes[sh->nholes].begin = a->value.off;
		sh->holes[sh->nholes++].end = at;
	}
	return true;
}

static void learn_slice(struct shape *sh, size_t at)
{
	struct fix fix = { .at = (uint16_t)at, .hole = NO_HOLE };
	struct slice s;

	memcpy(&s, (const char *)&sh->route + at, sizeof(s));
	fix.holes = holes_before(sh, s.off);
	if (fix.holes < sh->nholes && sh->holes[fix.holes].begin == s.off)
		fix.hole = fix.holes;
	if (s.off && (fix.holes || fix.hole != NO_HOLE))
		sh->fixes[sh->nfixes++] = fix;
}

static void learn_route(struct shape *sh, const struct route *r)
{
	/* Those of the route's own tag, and the payload's name, stand in front of the first hole. */
	static const uint16_t slices[] = { offsetof(struct route, content), offsetof(struct route, session_prefix),
		offsetof(struct route, stanza_to), offsetof(struct route, stanza_from), offsetof(struct route, stanza_type),
		offsetof(struct route, id), offsetof(struct route, c2s), offsetof(struct route, sm), offsetof(struct route, action),
		offsetof(struct route, target) };
	const size_t attrs = offsetof(struct route, attrs);

	memcpy(&sh->route, r, attrs + r->nattrs * sizeof(struct route_attr));
	sh->nfixes = 0;
	for (size_t i = 0; i < sizeof(slices) / sizeof(*slices); i++)
		learn_slice(sh, slices[i]);
	for (size_t i = 0; i < r->nattrs; i++) {
		size_t at = attrs + i * sizeof(struct route_attr);

		learn_slice(sh, at + offsetof(struct route_attr, name));
		learn_slice(sh, at + offsetof(struct route_attr, value));
	}
}

void shape_learn(const struct gate *g)
{
	struct shape *sh = &g->shapes->shapes[g->shapes->next];

	/* Nothing but the frame's own bytes, and all of them. */
	if ((g->route->flags & ROUTE_ODD) || g->elements != 2 || g->nbindings > BINDINGS_MAX || g->pool_used || g->stream_prefix)
		return;
	sh->len = 0;
	if (!learn_text(g, sh))
		return;
	learn_route(sh, g->route);
	sh->attributes = g->attributes;
	sh->watch = g->watch;
	sh->payload = g->payload;
	sh->nbindings = g->nbindings;
	sh->dflt = g->dflt;
	sh->empty = g->tag.empty;
	memcpy(sh->stack, g->stack, sizeof(sh->stack));
	memcpy(sh->bindings, g->bindings, g->nbindings * sizeof(*g->bindings));
	for (uint32_t i = 0; i < g->nbindings; i++)
		sh->bound_behind[i] = holes_before(sh, g->bindings[i].value);
	sh->len = (uint32_t)(g->p - g->buf);
	g->shapes->last = g->shapes->next;
	g->shapes->next = (g->shapes->next + 1) % SHAPES;
}

/* --- matching --------------------------------------------------------------------------------------------------------- */

/* What stands in the holes of a frame, and how far what is behind them has moved. */
struct filling {
	struct slice holes[HOLES_MAX];
	uint32_t moved[HOLES_MAX + 1];
	const char *end; /* of the tags */
};

static inline bool fits(const struct gate *g, const struct shape *sh, struct filling *out)
{
	const char *p = g->buf, *text = sh->text;

	out->moved[0] = 0;
	for (uint32_t i = 0;; i++) {
		uint32_t n = sh->bits[i];

		/* Behind a hole, its closing quote comes first. */
		if ((size_t)(g->end - p) < n || memcmp(p, text, n) != 0)
			return false;
		p += n;
		text += n;
		if (i == sh->nholes)
			break;
		const char *value = p;

		p = scan_plain(p, g->end);
		out->holes[i] = (struct slice){ (uint32_t)(value - g->buf), (uint32_t)(p - value) };
		out->moved[i + 1] = (uint32_t)(p - g->buf) - sh->holes[i].end;
	}
	out->end = p;
	return true;
}

static inline void fill_route(const struct shape *sh, const struct filling *in, struct route *r)
{
	memcpy(r, &sh->route, offsetof(struct route, attrs) + sh->route.nattrs * sizeof(struct route_attr));
	for (uint32_t i = 0; i < sh->nfixes; i++) {
		const struct fix *fix = &sh->fixes[i];
		char *at = (char *)r + fix->at;
		struct slice s;

		memcpy(&s, at, sizeof(s));
		if (fix->hole != NO_HOLE)
			s = in->holes[fix->hole];
		else
			s.off += in->moved[fix->holes];
		memcpy(at, &s, sizeof(s));
	}
	r->start.len += in->moved[sh->nholes];
}

static inline void fill_gate(const struct shape *sh, const struct filling *in, struct gate *g)
{
	g->depth = g->elements = 2;
	g->attributes = sh->attributes;
	g->watch = sh->watch;
	g->payload = sh->payload;
	g->nbindings = sh->nbindings;
	g->dflt = sh->dflt;
	g->tag.empty = sh->empty;
	memcpy(g->stack, sh->stack, sizeof(sh->stack));
	for (uint32_t i = 0; i < sh->nbindings; i++) {
		uint32_t moved = in->moved[sh->bound_behind[i]];
		struct gate_binding *b = &g->bindings[i];

		*b = sh->bindings[i];
		b->value += moved;
		b->prefix.off += b->prefix.len ? moved : 0;
		b->uri = g->buf + b->value;
	}
	g->p = in->end;
}

bool shape_match(struct gate *g)
{
	struct route_shapes *all = g->shapes;
	struct filling in;

	for (uint32_t i = 0; i < SHAPES; i++) {
		uint32_t at = (all->last + i) % SHAPES;
		const struct shape *sh = &all->shapes[at];

		if (!sh->len || !fits(g, sh, &in))
			continue;
		fill_route(sh, &in, g->route);
		fill_gate(sh, &in, g);
		all->last = at;
		return true;
	}
	return false;
}
