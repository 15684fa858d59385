/* starttls.c - a stream in clear becomes one in TLS: offered, asked for, answered, and the handshake, on both sides.
 * Threads: the link's acceptor.
 * Owns: nothing; a link's struct tls ends with the link.
 * Source: RFC 6120 section 5, with the exchange of jabberd2's components.
 */
#include <stdio.h>
#include <sys/epoll.h>

#include "io/link.h"
#include "io/tls.h"
#include "shardsm/log.h"

/* A step may be a signature, a millisecond or more: the links that are online come in between. Who waits is bounded by the strangers. */
#define HANDSHAKES_A_TURN 1

void starttls_offer(const struct link *link, struct buf *features)
{
	if (!link->listen->tls || link->tls)
		return;
	buf_str(features, tls_required(link->listen->tls) ? "<starttls xmlns='" NS_TLS "'><required/></starttls>" : "<starttls xmlns='" NS_TLS "'/>");
}

bool starttls_missing(const struct link *link)
{
	return !link->tls && tls_required(link->router ? link->home->io->cfg.tuning.router_tls : link->listen->tls);
}

/* Section 5.4.3.3: what came in clear behind the last element in clear may be anybody's, and is never read as part of what is
 * protected. An honest peer waits for the answer: it has sent nothing. */
static bool smuggled(struct link *link)
{
	if (link->in_off == link->in_len)
		return false;
	link->in_off = link->in_len = 0;
	link_end(link, "policy-violation", "bytes in clear came where TLS has to begin");
	return true;
}

static void begin(struct link *link, const struct tls_context *context, enum link_stage stage)
{
	link->tls = tls_new(context, link->watch.fd);
	if (!link->tls) {
		link_lost(link, "out of memory");
		return;
	}
	link->ob.by_acceptor = true;
	link->stage = stage;
	link_login(link);
	link->header_sent = false;
	starttls_go_on(link);
}

void starttls_asked(struct link *link)
{
	struct acceptor *a = link->home;

	if (!link->listen->tls || link->tls) {
		link_send(link, SPAN("<failure xmlns='" NS_TLS "'/>"));
		link_end(link, NULL, link->tls ? "it asked for TLS in TLS" : "it asked for TLS, and <listen> has no <pemfile>");
		return;
	}
	if (smuggled(link))
		return;
	link_send(link, SPAN("<proceed xmlns='" NS_TLS "'/>"));
	out_flush(a->out);
	if (link_drained(link))
		begin(link, link->listen->tls, IN_TLS);
	else
		link_lost(link, "it does not read what is sent to it");
}

bool starttls_ask(struct link *link, struct xml *features)
{
	const struct tls_context *context = link->home->io->cfg.tuning.router_tls;

	if (!context || link->tls)
		return false;
	if (xml_child(features, NS_TLS, "starttls")) {
		link_send(link, SPAN("<starttls xmlns='" NS_TLS "'/>"));
		link->stage = OUT_PROCEED;
		return true;
	}
	if (tls_required(context)) {
		log_error("router at %s offers no TLS: give it a <pemfile> in router.xml's <local>, or, where the network in between is trusted, say "
			"<allow-unencrypted-network/> in <router>", link->ob.name);
		link_lost(link, "it offers no TLS");
	} else {
		log_warning("router at %s offers no TLS: the link is in clear", link->ob.name);
	}
	return false;
}

void starttls_answered(struct link *link, struct xml *e)
{
	if (!xml_is(e, NS_TLS, "proceed"))
		link_lost(link, "it offered TLS and refuses it");
	else if (!smuggled(link))
		begin(link, link->home->io->cfg.tuning.router_tls, OUT_TLS);
}

static void secured(struct link *link)
{
	char what[TLS_WHY_MAX];

	tls_describe(link->tls, what);
	log_limited(LOG_LEVEL_NOTICE, "%s is in TLS (%s)", link->ob.name, what);
	link_watch(link, EPOLLIN, EPOLLOUT);
	if (link->stage == IN_TLS) {
		link->stage = IN_HEADER;
	} else {
		link->stage = OUT_HEADER;
		stream_open(link);
	}
	link_readable(link);
}

void starttls_go_on(struct link *link)
{
	struct acceptor *a = link->home;
	char why[TLS_WHY_MAX], text[TLS_WHY_MAX + 32];

	if (a->phase != PHASE_RUN) {
		link_lost(link, NULL);
		return;
	}
	/* Its socket is as ready in the next turn. The router is one, and waits for us to begin. */
	if (!link->router && a->handshakes++ >= HANDSHAKES_A_TURN)
		return;
	switch (tls_handshake(link->tls, why)) {
	case TLS_DONE:
		secured(link);
		break;
	case TLS_WANTS_READ:
		link_watch(link, EPOLLIN, EPOLLOUT);
		break;
	case TLS_WANTS_WRITE:
		link_watch(link, EPOLLOUT, EPOLLIN);
		break;
	case TLS_FAILED:
		snprintf(text, sizeof text, "no TLS: %s", why);
		if (link->router)
			log_error("router at %s: %s (<cachain>, <verify> and <certificate-name> in <router> say whom to trust)", link->ob.name, text);
		link_lost(link, text);
		break;
	}
}
