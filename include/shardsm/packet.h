/* packet.h - packets on their way between threads, in batches.
 * Threads: one owner at a time; posting a batch hands over every packet in it.
 * Owns: a batch owns its packets and their bytes. A packet is copied when it goes to another thread (a stanza's bytes are copied
 * in less time than an atomic reference count takes), and a handler that must keep one past its turn takes a copy of its own.
 */
#ifndef SHARDSM_PACKET_H
#define SHARDSM_PACKET_H

#include "shardsm/buf.h"
#include "shardsm/hash.h"
#include "shardsm/jid.h"
#include "shardsm/mailbox.h"
#include "shardsm/route.h"

struct outbox;

enum packet_stage {
	STAGE_IN,      /* as it came from a link: to the shard of the session, or of the addressee */
	STAGE_DELIVER, /* from one of our own shards: sender checked and stamped, to the addressee's shard */
};

enum packet_flags {
	PACKET_BOUNCED = 1, /* came back with a routing error: never answered with an error */
	PACKET_SESSION = 2, /* session is set */
	PACKET_REFUSED = 4, /* STAGE_IN, a client's: more than the limits allow; its address is all that is left of it */
};

struct packet {
	uint32_t size;        /* bytes to the next packet of the batch */
	uint32_t many;        /* bytes of the list behind the JIDs, packet_list(); 0: it is for to alone */
	uint8_t stage;        /* enum packet_stage */
	uint8_t flags;        /* enum packet_flags */
	struct outbox *link;  /* where it came from, STAGE_IN only; alive while the batch is (see outbox.h) */
	const char *frame;    /* route.len bytes, then route.extra */
	uint64_t hash;        /* hash_bytes() of the bare JID to; 0: not known */
	struct sm_id session; /* that it says it is of; the shard's, see packet_session() */
	struct jid from, to;  /* prepared; s NULL: not known (yet). Their text follows the frame */
	struct span except;   /* STAGE_DELIVER: resources of to that must not get it, each as two bytes of length and its text */
	struct route route;
};

static inline struct span packet_slice(const struct packet *p, struct slice s) { return slice_of(p->frame, s); }

/* The id of the session that a packet from a link says it is of, read once. False: it says none that could be ours. */
static inline bool packet_session(struct packet *p)
{
	if (!(p->flags & PACKET_SESSION) && p->stage == STAGE_IN && sm_id_parse(&p->session, packet_slice(p, p->route.sm)))
		p->flags |= PACKET_SESSION;
	return p->flags & PACKET_SESSION;
}

/* The pass-through attributes one after the other, those among them that run together in the last (see route.h). at: { 0 } before the
 * first. False: there are no more. */
struct packet_attrs {
	uint32_t i;
	struct slice rest;
};
bool packet_next_attr(const struct packet *p, struct packet_attrs *at, struct route_attr *a);
/* One of them as it came, " name='value'". */
void packet_put_attr(struct buf *out, const struct packet *p, const struct route_attr *a);
/* Is it the declaration of a prefix? */
bool packet_attr_declares(const struct packet *p, const struct route_attr *a, struct span *prefix);

/* A run of packets for one thread. */
struct batch {
	struct letter letter;
	struct mailbox *to;   /* whose byte count it is in */
	uint32_t used, cap;
	uint32_t count;
	char packets[] __attribute__((aligned(16)));
};

/* What one thread is about to send to each of the others: an open batch per mailbox, posted at the end of the burst. */
struct dispatch_tray {
	struct mailbox *const *boxes;
	struct batch **open;
	uint32_t n;
};

bool dispatch_tray_init(struct dispatch_tray *tray, struct mailbox *const *boxes, uint32_t n) MUST_USE;
void dispatch_tray_fini(struct dispatch_tray *tray);

/* Copies a packet (struct, frame, extra, both JIDs) to the open batch of box i. False: no memory. */
bool tray_packet(struct dispatch_tray *tray, uint32_t i, const struct packet *p) MUST_USE;
/* The same with a list of addressees instead of to, at most a few pages of it; what it holds is between the shards. */
bool tray_packet_to_many(struct dispatch_tray *tray, uint32_t i, const struct packet *p, struct span list) MUST_USE;
/* Of a packet in a batch. Aligned for what begins with 64 bits. */
static inline struct span packet_list(const struct packet *p)
{
	return span_of((const char *)p + p->size - ((p->many + 15) & ~15u), p->many);
}
/* Posts every open batch. Called once per burst. */
void dispatch_tray_post(struct dispatch_tray *tray);
/* Posts the open batch of one box: before a letter that must not overtake it. */
void dispatch_tray_post_one(struct dispatch_tray *tray, uint32_t i);

/* Walks a batch. */
struct packet *batch_first(struct batch *b);
struct packet *batch_next(struct batch *b, struct packet *p);
void batch_free(struct batch **b); /* takes its bytes out of the owner's count */

/* Bytes that wait for the owner of box i, those that are not posted yet too. */
uint64_t tray_load(const struct dispatch_tray *tray, uint32_t i);

/* A copy on the heap, for a packet that must wait. Keeps a reference on its link. NULL: no memory. */
struct packet *packet_keep(const struct packet *p) MUST_USE;
void packet_drop(struct packet **kept);

#endif
