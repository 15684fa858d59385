/* packet.c - batches of packets between threads.
 * Threads: a batch has one owner at a time.
 * Owns: a batch holds its packets' structs, frames and JIDs in one allocation.
 */
#include <stdlib.h>

#include "shardsm/outbox.h"
#include "shardsm/packet.h"
#include "shardsm/room.h"

/* A batch starts small, because at light load it carries one packet; each further one of a burst is larger, up to what
 * a thread can walk while it is still in its cache. */
#define BATCH_FIRST 4096u
#define BATCH_LARGEST (64u * 1024)
#define PACKET_ALIGN 16u

static size_t align_up(size_t n) { return (n + PACKET_ALIGN - 1) & ~(size_t)(PACKET_ALIGN - 1); }

/* Unused attributes at the end of the route are not carried. */
static size_t head_size(const struct packet *p)
{
	return offsetof(struct packet, route.attrs) + p->route.nattrs * sizeof(struct route_attr);
}

static size_t packet_size(const struct packet *p)
{
	return align_up(head_size(p) + p->route.len + p->route.extra + (p->from.s ? p->from.len : 0) + (p->to.s ? p->to.len : 0) +
			p->except.n);
}

static char *put_jid(char *at, struct jid *out, const struct jid *j)
{
	*out = *j;
	if (!j->s)
		return at;
	memcpy(at, j->s, j->len);
	out->s = at;
	return at + j->len;
}

static void copy_packet(struct packet *out, const struct packet *p, size_t size)
{
	size_t head = head_size(p);
	size_t frame = (size_t)p->route.len + p->route.extra;
	char *at = (char *)out + head;

	memcpy(out, p, head);
	out->size = (uint32_t)size;
	out->many = 0;
	out->frame = at;
	memcpy(at, p->frame, frame);
	at = put_jid(at + frame, &out->from, &p->from);
	at = put_jid(at, &out->to, &p->to);
	if (unlikely(p->except.n)) {
		memcpy(at, p->except.p, p->except.n);
		out->except.p = at;
	}
}

bool dispatch_tray_init(struct dispatch_tray *tray, struct mailbox *const *boxes, uint32_t n)
{
	tray->boxes = boxes;
	tray->n = n;
	tray->open = calloc(n, sizeof(struct batch *));
	return tray->open != NULL;
}

void dispatch_tray_fini(struct dispatch_tray *tray)
{
	dispatch_tray_post(tray);
	free(tray->open);
	tray->open = NULL;
}

static bool open_batch(struct dispatch_tray *tray, uint32_t i, size_t need)
{
	uint32_t cap = tray->open[i] ? tray->open[i]->cap * 4 : BATCH_FIRST;

	dispatch_tray_post_one(tray, i);
	if (cap > BATCH_LARGEST)
		cap = BATCH_LARGEST;
	if (cap < need)
		cap = (uint32_t)need;
	struct batch *b = malloc(sizeof(*b) + cap);

	if (!b)
		return false;
	*b = (struct batch){ .letter.kind = LETTER_BATCH, .to = tray->boxes[i], .cap = cap };
	tray->open[i] = b;
	return true;
}

/* Room for a packet in the batch of box i. NULL: no memory. */
static struct packet *tray_room(struct dispatch_tray *tray, uint32_t i, size_t need)
{
	if (unlikely(!tray->open[i] || tray->open[i]->cap - tray->open[i]->used < need) && !open_batch(tray, i, need))
		return NULL;
	struct batch *b = tray->open[i];
	struct packet *room = (struct packet *)(b->packets + b->used);

	b->used += (uint32_t)need;
	b->count++;
	return room;
}

bool tray_packet(struct dispatch_tray *tray, uint32_t i, const struct packet *p)
{
	size_t need = packet_size(p);
	struct packet *room = tray_room(tray, i, need);

	if (room)
		copy_packet(room, p, need);
	return room != NULL;
}

bool tray_packet_to_many(struct dispatch_tray *tray, uint32_t i, const struct packet *p, struct span list)
{
	size_t need = packet_size(p) + align_up(list.n);
	struct packet *room = tray_room(tray, i, need);

	if (!room)
		return false;
	copy_packet(room, p, need);
	room->many = list.n;
	memcpy((char *)(uintptr_t)packet_list(room).p, list.p, list.n);
	return true;
}

void dispatch_tray_post_one(struct dispatch_tray *tray, uint32_t i)
{
	struct batch *b = tray->open[i];

	if (!b)
		return;
	tray->open[i] = NULL;
	struct letter *l = &b->letter;

	mailbox_came(b->to, b->used);
	mailbox_post(b->to, &l);
}

uint64_t tray_load(const struct dispatch_tray *tray, uint32_t i)
{
	return mailbox_load(tray->boxes[i]) + (tray->open[i] ? tray->open[i]->used : 0);
}

void dispatch_tray_post(struct dispatch_tray *tray)
{
	for (uint32_t i = 0; i < tray->n; i++)
		dispatch_tray_post_one(tray, i);
}

struct packet *batch_first(struct batch *b)
{
	return b->used ? (struct packet *)b->packets : NULL;
}

struct packet *batch_next(struct batch *b, struct packet *p)
{
	char *next = (char *)p + p->size;

	return next < b->packets + b->used ? (struct packet *)next : NULL;
}

void batch_free(struct batch **b)
{
	mailbox_went((*b)->to, (*b)->used);
	free(*b);
	*b = NULL;
}

struct packet *packet_keep(const struct packet *p)
{
	size_t size = packet_size(p);
	struct packet *kept = malloc(size > sizeof(*kept) ? size : sizeof(*kept));

	if (!kept)
		return NULL;
	copy_packet(kept, p, size);
	if (kept->link)
		outbox_ref(kept->link);
	return kept;
}

void packet_drop(struct packet **kept)
{
	if (!*kept)
		return;
	if ((*kept)->link)
		outbox_unref(&(*kept)->link);
	free(*kept);
	*kept = NULL;
}

/* Of name='value', with or without the last quote and with more behind it, what it begins with. Returns how much that is. */
static uint32_t first_attr(const struct packet *p, struct slice run, struct route_attr *a)
{
	struct span text = packet_slice(p, run);
	const char *equals = memchr(text.p, '=', text.n), *value = equals + 2, *end = text.p + text.n, *close;

	a->quote = equals[1];
	a->name = (struct slice){ run.off, (uint32_t)(equals - text.p) };
	close = memchr(value, a->quote, (size_t)(end - value));
	if (!close)
		close = end;
	a->value = (struct slice){ run.off + (uint32_t)(value - text.p), (uint32_t)(close - value) };
	return (uint32_t)(close - text.p);
}

bool packet_next_attr(const struct packet *p, struct packet_attrs *at, struct route_attr *a)
{
	const struct route *r = &p->route;
	uint32_t used;

	if (at->i < r->nattrs) {
		*a = r->attrs[at->i++];
		if (likely(at->i < ROUTE_ATTRS))
			return true;
		at->rest = (struct slice){ a->name.off, a->value.off + a->value.len - a->name.off };
	}
	if (!at->rest.len)
		return false;
	used = first_attr(p, at->rest, a);
	used = at->rest.len - used > 2 ? used + 2 : at->rest.len; /* the quote and a blank */
	at->rest = (struct slice){ at->rest.off + used, at->rest.len - used };
	return true;
}

bool packet_attr_declares(const struct packet *p, const struct route_attr *a, struct span *prefix)
{
	struct span name = packet_slice(p, a->name);

	if (name.n <= 6 || memcmp(name.p, "xmlns:", 6) != 0)
		return false;
	*prefix = span_of(name.p + 6, name.n - 6);
	return true;
}

void packet_put_attr(struct buf *out, const struct packet *p, const struct route_attr *a)
{
	buf_str(out, " ");
	buf_put(out, packet_slice(p, a->name));
	buf_str(out, "=");
	buf_put(out, span_of(&a->quote, 1));
	buf_put(out, packet_slice(p, a->value));
	buf_put(out, span_of(&a->quote, 1));
}
