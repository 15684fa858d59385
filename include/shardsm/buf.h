/* buf.h - the one way bytes of ours are written: a growing buffer whose writers escape.
 * Threads: one at a time.
 * Owns: its memory, until buf_free() or buf_take(). A failed allocation sets failed, further writes do nothing, and the
 * caller asks once at the end: nothing half-written is ever sent.
 */
#ifndef SHARDSM_BUF_H
#define SHARDSM_BUF_H

#include "shardsm/span.h"

struct buf {
	char *p;
	uint32_t n, cap;
	bool failed;
};

void buf_init(struct buf *b);
void buf_free(struct buf *b);
static inline void buf_clear(struct buf *b) { b->n = 0; b->failed = false; }
static inline struct span buf_span(const struct buf *b) { return span_of(b->p, b->n); }

bool text_plain(struct span text); /* true: ASCII, and nothing in it is escaped; false: look at it */
bool buf_grow(struct buf *b, size_t more); /* room for more bytes behind n */
void buf_put_more(struct buf *b, struct span raw);
/* Bytes that are XML already. Inline: what a constant says is stored, not copied. */
static inline void buf_put(struct buf *b, struct span raw)
{
	if (unlikely(raw.n > b->cap - b->n || b->failed)) {
		buf_put_more(b, raw);
		return;
	}
	if (raw.n)
		memcpy(b->p + b->n, raw.p, raw.n);
	b->n += raw.n;
}
static inline void buf_str(struct buf *b, const char *raw) { buf_put(b, span_str(raw)); }
void buf_text(struct buf *b, struct span text); /* escapes & < > ' " ; for character data and attribute values */
void buf_uint(struct buf *b, uint64_t v);
void buf_int(struct buf *b, int64_t v);
void buf_attr(struct buf *b, const char *name, struct span text); /* writes " name='text'", text escaped */
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3); /* raw; for numbers and our own words only */
void buf_utc(struct buf *b, int64_t unix_seconds); /* 2026-11-22T06:17:03Z (XEP-0082) */

#endif
