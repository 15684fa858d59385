/* out_tray.c - one thread's open chunks: where replies are rendered before they are handed over.
 * Threads: the tray's own.
 * Owns: open chunks until the hand-over, a few spare ones, and a reference on each outbox of the burst.
 */
#include <assert.h>
#include <stdlib.h>

#include "core/out_chunk.h"

#define CHUNK_BYTES (16384 - sizeof(struct out_chunk)) /* a jemalloc size class */
/* Less than this in a chunk moves to one of its own size at the hand-over: a blocked link then holds what it counts. */
#define CHUNK_SMALL 4096
#define SPARE_MAX 4
#define MUCH (256u * 1024) /* for one outbox: see out_relieve() */

struct tray_slot {
	struct outbox *ob;
	struct out_chunk *first, *last;
	uint32_t bytes;         /* of the chunks before the last */
	bool behind;            /* the outbox was, when the slot was made or handed over early */
};

struct out_tray {
	struct tray_slot *slots;
	uint32_t n, cap;
	uint32_t last;          /* the slot found last */
	bool much;              /* some outbox gets much */
	uint32_t relieved;      /* how often it was handed over early */
	uint32_t *index;        /* open addressing over the outbox's address: slot + 1, 0 empty; 2 * cap of them */
	struct out_chunk *spare;
	uint32_t spares;
};

struct out_tray *out_tray_new(void)
{
	return calloc(1, sizeof(struct out_tray));
}

static struct out_chunk *chunk_new(struct out_tray *tray, size_t n)
{
	struct out_chunk *c = tray->spare;
	size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;

	if (n > UINT32_MAX - sizeof *c)
		return NULL;
	if (c && n <= CHUNK_BYTES) {
		tray->spare = c->next;
		tray->spares--;
	} else {
		c = malloc(sizeof *c + cap);
		if (!c)
			return NULL;
	}
	c->next = NULL;
	c->notes = c->last_note = NULL;
	c->cap = (uint32_t)cap;
	c->used = c->off = 0;
	return c;
}

static void chunk_spare(struct out_tray *tray, struct out_chunk *c)
{
	if (tray->spares >= SPARE_MAX || c->cap != CHUNK_BYTES) {
		free(c);
		return;
	}
	c->next = tray->spare;
	tray->spare = c;
	tray->spares++;
}

static uint32_t slot_probe(const struct out_tray *tray, const struct outbox *ob)
{
	uint32_t mask = 2 * tray->cap - 1;
	uint32_t i = (uint32_t)(((uintptr_t)ob >> 6) * 0x9e3779b97f4a7c15u >> 32) & mask;

	while (tray->index[i] && tray->slots[tray->index[i] - 1].ob != ob)
		i = (i + 1) & mask;
	return i;
}

static bool tray_grow(struct out_tray *tray)
{
	uint32_t cap = tray->cap ? 2 * tray->cap : 8;
	struct tray_slot *slots = malloc(cap * sizeof *slots);
	uint32_t *index = calloc(2 * cap, sizeof *index);

	if (!slots || !index) {
		free(slots);
		free(index);
		return false;
	}
	for (uint32_t i = 0; i < tray->n; i++)
		slots[i] = tray->slots[i];
	free(tray->slots);
	free(tray->index);
	tray->slots = slots;
	tray->index = index;
	tray->cap = cap;
	for (uint32_t i = 0; i < tray->n; i++)
		tray->index[slot_probe(tray, slots[i].ob)] = i + 1;
	return true;
}

/* The slot of ob, made if there is none. NULL: no memory. */
static struct tray_slot *slot_of(struct out_tray *tray, struct outbox *ob)
{
	uint32_t i;

	if (likely(tray->last < tray->n && tray->slots[tray->last].ob == ob))
		return &tray->slots[tray->last];
	if (tray->n == tray->cap && !tray_grow(tray))
		return NULL;
	i = slot_probe(tray, ob);
	if (!tray->index[i]) {
		tray->slots[tray->n] = (struct tray_slot){ .ob = ob, .behind = outbox_is_behind(ob) };
		tray->index[i] = ++tray->n;
		outbox_ref(ob);
	}
	tray->last = tray->index[i] - 1;
	return &tray->slots[tray->last];
}

static void slot_hand_over(struct tray_slot *slot)
{
	struct out_chunk *first = slot->first;
	uint64_t weight = 0;

	for (struct out_chunk *c = first; c; c = c->next)
		weight += out_chunk_weight(c);
	slot->first = slot->last = NULL;
	slot->bytes = 0;
	cds_wfcq_node_init(&first->node);
	outbox_hand_over(slot->ob, first, weight);
}

/* The chunk of ob that has room for n bytes. */
static struct out_chunk *chunk_for(struct out_tray *tray, struct outbox *ob, size_t n)
{
	struct tray_slot *slot = slot_of(tray, ob);
	struct out_chunk *c;

	if (!slot)
		return NULL;
	c = slot->last;
	if (likely(c && c->cap - c->used >= n))
		return c;
	if (c) {
		slot->bytes += c->used;
		tray->much |= slot->bytes >= MUCH;
	}
	c = chunk_new(tray, n);
	if (!c)
		return NULL;
	if (slot->last)
		slot->last->next = c;
	else
		slot->first = c;
	slot->last = c;
	return c;
}

char *out_reserve(struct out_tray *tray, struct outbox *ob, size_t n)
{
	struct out_chunk *c;

	/* Most stanzas go where the last one went. */
	if (likely(tray->last < tray->n && tray->slots[tray->last].ob == ob)) {
		c = tray->slots[tray->last].last;
		if (likely(c && c->cap - c->used >= n))
			return c->bytes + c->used;
	}
	c = chunk_for(tray, ob, n);
	return c ? c->bytes + c->used : NULL;
}

void out_commit(struct out_tray *tray, struct outbox *ob, size_t used)
{
	struct tray_slot *slot = &tray->slots[tray->last]; /* the reservation found it */

	assert(slot->ob == ob && used <= slot->last->cap - slot->last->used);
	(void)ob;
	slot->last->used += (uint32_t)used;
}

bool out_put(struct out_tray *tray, struct outbox *ob, struct span bytes)
{
	char *to = out_reserve(tray, ob, bytes.n);

	if (!to)
		return false;
	if (bytes.n)
		memcpy(to, bytes.p, bytes.n);
	out_commit(tray, ob, bytes.n);
	return true;
}

bool out_note(struct out_tray *tray, struct outbox *ob, struct out_note **notep)
{
	struct out_note *note = *notep;
	struct out_chunk *c = chunk_for(tray, ob, 0);

	if (!c)
		return false;
	*notep = NULL;
	note->next = NULL;
	note->letter.kind = LETTER_WRITTEN;
	if (c->last_note)
		c->last_note->next = note;
	else
		c->notes = note;
	c->last_note = note;
	return true;
}

/* A chunk as large as what is in it, when that is worth it. */
static struct out_chunk *chunk_fit(struct out_tray *tray, struct out_chunk *c)
{
	struct out_chunk *small;

	if (c->next || c->used > CHUNK_SMALL)
		return c;
	small = malloc(sizeof *small + c->used);
	if (!small)
		return c;
	*small = (struct out_chunk){ .notes = c->notes, .last_note = c->last_note, .cap = c->used, .used = c->used };
	memcpy(small->bytes, c->bytes, c->used);
	chunk_spare(tray, c);
	return small;
}

static void slot_flush(struct out_tray *tray, struct tray_slot *slot)
{
	struct out_chunk *first = slot->first;

	if (first && !first->next && first->used == 0 && !first->notes) {
		chunk_spare(tray, first);
	} else if (first) {
		slot->first = chunk_fit(tray, first);
		slot_hand_over(slot);
	}
	outbox_unref(&slot->ob);
}

void out_flush(struct out_tray *tray)
{
	if (tray->n == 0)
		return;
	for (uint32_t i = 0; i < tray->n; i++)
		slot_flush(tray, &tray->slots[i]);
	tray->n = 0;
	tray->much = false;
	memset(tray->index, 0, 2 * tray->cap * sizeof *tray->index);
}

uint32_t out_relieve(struct out_tray *tray)
{
	if (likely(!tray->much))
		return tray->relieved;
	for (uint32_t i = 0; i < tray->n; i++)
		if (tray->slots[i].bytes >= MUCH) {
			slot_hand_over(&tray->slots[i]);
			tray->slots[i].behind = outbox_is_behind(tray->slots[i].ob);
		}
	tray->much = false;
	return ++tray->relieved;
}

bool out_is_behind(struct out_tray *tray, struct outbox *ob)
{
	const struct tray_slot *slot = slot_of(tray, ob);

	return slot && slot->behind;
}

void out_tray_free(struct out_tray **trayp)
{
	struct out_tray *tray = *trayp;

	*trayp = NULL;
	if (!tray)
		return;
	out_flush(tray);
	while (tray->spare) {
		struct out_chunk *c = tray->spare;

		tray->spare = c->next;
		free(c);
	}
	free(tray->slots);
	free(tray->index);
	free(tray);
}
