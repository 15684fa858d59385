/* mailbox.c - wait-free mailboxes on liburcu's wfcqueue, with one eventfd wake per burst.
 * Threads: anyone posts, the owner alone takes.
 * Owns: nothing but the eventfd; letters are moved through.
 */
#ifndef SHARDSM_TSAN /* inlined, ThreadSanitizer would see half of it */
#define _LGPL_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <urcu/compiler.h>
#include <urcu/arch.h>
#include <urcu/system.h>

#include "core/tsan.h"
#include "shardsm/room.h"
#include "shardsm/stats.h"

bool mailbox_init(struct mailbox *mb, const char *name)
{
	memset(mb, 0, sizeof(*mb));
	__cds_wfcq_init(&mb->head, &mb->tail);
	mb->name = name;
	mb->share = SHARE_MOST;
	mb->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return mb->fd >= 0;
}

void mailbox_fini(struct mailbox *mb)
{
	if (mb->fd >= 0)
		close(mb->fd);
	mb->fd = -1;
}

static void wake(struct mailbox *mb)
{
	uint64_t one = 1;

	stat_inc(STAT_WAKES);
	/* An eventfd write can only fail when the counter is full, and then the owner has been woken. */
	while (write(mb->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Behind an enqueue, whose exchange orders it before the look at sleeping; may_sleep() does the same the other way round. */
static void wake_sleeper(struct mailbox *mb)
{
	cmm_smp_mb();
	if (atomic_load_explicit(&mb->sleeping, memory_order_relaxed) && atomic_exchange(&mb->sleeping, 0))
		wake(mb);
}

static void enqueue(struct mailbox *mb, struct letter **letter)
{
	struct letter *l = *letter;

	*letter = NULL;
	cds_wfcq_node_init(&l->node);
	tsan_release(l);
	cds_wfcq_enqueue((struct cds_wfcq_head *)&mb->head, &mb->tail, &l->node);
}

void mailbox_post(struct mailbox *mb, struct letter **letter)
{
	enqueue(mb, letter);
	wake_sleeper(mb);
}

void mailbox_post_quiet(struct mailbox *mb, struct letter **letter)
{
	int sleeps = MAILBOX_SLEEPS;

	enqueue(mb, letter);
	cmm_smp_mb();
	if (atomic_load_explicit(&mb->sleeping, memory_order_relaxed) == MAILBOX_SLEEPS &&
		atomic_compare_exchange_strong(&mb->sleeping, &sleeps, 0))
		wake(mb);
}

void letter_chain_init(struct letter_chain *chain)
{
	__cds_wfcq_init(&chain->head, &chain->tail);
}

void letter_chain_add(struct letter_chain *chain, struct letter **letter)
{
	struct letter *l = *letter;

	*letter = NULL;
	cds_wfcq_node_init(&l->node);
	tsan_release(l);
	cds_wfcq_enqueue((struct cds_wfcq_head *)&chain->head, &chain->tail, &l->node);
}

void mailbox_post_chain(struct mailbox *mb, struct letter_chain *chain)
{
	if (__cds_wfcq_splice_blocking(&mb->head, &mb->tail, &chain->head, &chain->tail) != CDS_WFCQ_RET_SRC_EMPTY)
		wake_sleeper(mb);
}

struct letter *mailbox_take(struct mailbox *mb, struct letter **last)
{
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;

	__cds_wfcq_init(&head, &tail);
	if (__cds_wfcq_splice_blocking(&head, &tail, &mb->head, &mb->tail) == CDS_WFCQ_RET_SRC_EMPTY) {
		*last = NULL;
		return NULL;
	}
	struct letter *first = caa_container_of(head.node.next, struct letter, node);

	*last = caa_container_of(tail.p, struct letter, node);
	tsan_acquire(first);
	return first;
}

struct letter *mailbox_next(struct letter *letter, struct letter *last)
{
	struct cds_wfcq_node *next;

	if (letter == last)
		return NULL;
	/* A poster between its exchange and its link leaves next empty for a few instructions. */
	while ((next = CMM_LOAD_SHARED(letter->node.next)) == NULL)
		caa_cpu_relax();
	struct letter *l = caa_container_of(next, struct letter, node);

	tsan_acquire(l);
	return l;
}

static bool may_sleep(struct mailbox *mb, int how)
{
	atomic_store_explicit(&mb->sleeping, how, memory_order_relaxed);
	cmm_smp_mb();
	if (cds_wfcq_empty((struct cds_wfcq_head *)&mb->head, &mb->tail))
		return true;
	atomic_store_explicit(&mb->sleeping, 0, memory_order_relaxed);
	return false;
}

bool mailbox_may_sleep(struct mailbox *mb)
{
	return may_sleep(mb, MAILBOX_SLEEPS);
}

void mailbox_woken(struct mailbox *mb)
{
	uint64_t count;

	atomic_store_explicit(&mb->sleeping, 0, memory_order_relaxed);
	while (read(mb->fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void sleep_some(struct mailbox *mb, int how, int ms)
{
	struct pollfd p = { .fd = mb->fd, .events = POLLIN };

	if (!may_sleep(mb, how))
		return;
	if (poll(&p, 1, ms) > 0)
		mailbox_woken(mb);
	else
		atomic_store_explicit(&mb->sleeping, 0, memory_order_relaxed);
}

void mailbox_wait(struct mailbox *mb, int ms)
{
	sleep_some(mb, MAILBOX_SLEEPS, ms);
}

void mailbox_doze(struct mailbox *mb, int ms)
{
	sleep_some(mb, MAILBOX_DOZES, ms);
}
