/* takeover.c - a name that is wanted is bound already: is the link that has it still there?
 * Threads: the acceptor of the link that wants the name.
 * Owns: a reference on the other link while it is asked.
 *
 * A machine that vanishes does not say so: its names would stay taken until limits.link-silence is over, and what is started in its place would be
 * refused. So the link that has the name is sent a blank, which means nothing between two stanzas. The kernel at its other end acknowledges that,
 * whatever the program there is doing; then the name stays where it is. A machine that was started anew answers with a reset, and that link is
 * lost at once. Only one that acknowledges nothing in all that time, while there is something to acknowledge, loses its name.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "io/link.h"
#include "shardsm/log.h"

#define PATIENCE_MS 5000 /* the blank is sent again after 0.2, 0.6, 1.4 and 3 seconds */
#define LOOK_MS 20
#define PROBES 2 /* that were not answered; one may just have been sent */

bool takeover_waits(struct link *link, struct span name, unsigned flags)
{
	struct acceptor *a = link->home;
	struct outbox *ob = names_holder_rcu(a->io->cfg.names, name, flags);
	bool answers = link->rival_answers;

	link->rival_answers = false;
	if (!ob || ob == &link->ob || answers || a->phase != PHASE_RUN || !out_put(a->out, ob, SPAN(" ")))
		return false;
	outbox_ref(ob);
	link->rival = ob;
	link->rival_since = a->now;
	acceptor_look(a, LOOK_MS);
	return true;
}

void takeover_end(struct link *link)
{
	if (link->rival)
		outbox_unref(&link->rival);
}

/* Whether something has come from there since it was asked, or could not have come. late: that is all the time it gets. */
static bool answers(const struct link *link, bool late)
{
	const struct link *rival = caa_container_of(link->rival, struct link, ob);
	struct tcp_info info = { 0 };
	socklen_t len = sizeof info;

	if (getsockopt(rival->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return late;
	/* What a full window keeps here cannot be acknowledged; the probes of the window can, but may be minutes apart. */
	return info.tcpi_last_ack_recv < link->home->now - link->rival_since || (late && info.tcpi_unacked == 0 && info.tcpi_probes < PROBES);
}

void takeover_look(struct link *link)
{
	struct acceptor *a = link->home;
	bool late = a->now - link->rival_since >= PATIENCE_MS;

	if (!outbox_closed(link->rival)) {
		link->rival_answers = answers(link, late);
		if (!link->rival_answers && late)
			link_ask(link->rival, ASK_SUCCEEDED);
		if (!link->rival_answers) {
			acceptor_look(a, LOOK_MS);
			return;
		}
	}
	/* It has its name for good, or it is on its way out: if it still has the name then, it is waited for once more. */
	takeover_end(link);
	hold_leave(link);
	link_resume(link);
}
