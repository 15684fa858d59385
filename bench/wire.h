/* wire.h - one component stream as a load generator sees it: batched bytes out, elements cut and read on the way in.
 * Threads: the one thread of the program.
 * Owns: the socket and both buffers, until wire_fini().
 *
 * The reader is its own, not the server's: a load generator that shared the server's scanner would share its mistakes.
 * It takes well-formed XML for granted and reads no entities: the load is made so that nothing in it needs escaping.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "shardsm/span.h"

#define TAG_ATTRS 24

struct attr {
	struct span name, value; /* raw */
};

struct tag {
	struct span name; /* qualified */
	unsigned nattrs;
	bool empty;                   /* <a/> */
	struct attr attrs[TAG_ATTRS]; /* later ones are skipped */
};

/* One top-level element. All spans point into the wire's buffer: valid until the next wire_fill(). */
struct frame {
	struct span whole;
	struct span inner;   /* between the outer element's tags */
	struct span content; /* between the payload's tags */
	struct tag outer;
	struct tag payload; /* the first child element; name.n 0: none */
};

struct span tag_attr(const struct tag *t, const char *name);    /* unqualified; p NULL: absent */
struct span tag_session(const struct tag *t, const char *name); /* PREFIX:name, whatever the prefix; p NULL: absent */
bool tag_is(const struct tag *t, const char *local);            /* local name, whatever the prefix */

struct wire {
	int fd;
	bool open; /* a stream header was read */
	char *in;
	size_t in_off, in_n, in_cap;
	char *out;
	size_t out_off, out_n, out_cap;
	uint64_t bytes_in, bytes_out;
};

enum wire_result { WIRE_FRAME, WIRE_HEADER, WIRE_MORE, WIRE_CLOSED };

void wire_init(struct wire *w, int fd); /* takes the socket */
void wire_fini(struct wire *w);
void wire_restart(struct wire *w); /* after SASL: a new header follows */
/* Reads what is there. Bytes read, 0: nothing now, -1: closed or failed. */
long wire_fill(struct wire *w);
enum wire_result wire_next(struct wire *w, struct frame *f);

/* Room for n bytes, written by the caller, then wire_advance(). Memory running out ends the program. */
char *wire_reserve(struct wire *w, size_t n);
static inline void wire_advance(struct wire *w, size_t n)
{
	w->out_n += n;
}
void wire_put(struct wire *w, struct span s);
void wire_printf(struct wire *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Writes what the socket takes. Bytes left, -1: failed. */
long wire_flush(struct wire *w);
static inline size_t wire_pending(const struct wire *w)
{
	return w->out_n - w->out_off;
}

#endif
