/* digest.c - SASL DIGEST-MD5, both sides, as jabberd2's components speak it; the one file that knows libgsasl.
 * Threads: the library's context is shared and only read after digests_new(); a struct digest belongs to its link's acceptor.
 * Owns: context and sessions.
 * COMPAT: DIGEST-MD5 is obsolete (RFC 6331); jabberd2's router, c2s and s2s know nothing else.
 */
#include <gsasl.h>
#include <stdlib.h>

#include "io/link.h"

#define SERVICE "jabberd-router"

struct gsasl_digests {
	Gsasl *ctx;
};

struct digest {
	Gsasl_session *session;
	char *user, *pass; /* copies: those of the config may change meanwhile */
	bool server;
	bool begun; /* the server has given its challenge */
};

static int server_property(struct digest *d, Gsasl_session *session, Gsasl_property prop)
{
	const char *user;

	switch (prop) {
	case GSASL_PASSWORD:
		user = gsasl_property_fast(session, GSASL_AUTHID);
		if (!user || strcmp(user, d->user) != 0)
			return GSASL_NO_PASSWORD;
		return gsasl_property_set(session, GSASL_PASSWORD, d->pass);
	case GSASL_REALM:
		return gsasl_property_set(session, GSASL_REALM, SERVICE);
	default:
		return GSASL_NO_CALLBACK;
	}
}

static int client_property(struct digest *d, Gsasl_session *session, Gsasl_property prop)
{
	switch (prop) {
	case GSASL_AUTHID:
		return gsasl_property_set(session, prop, d->user);
	case GSASL_PASSWORD:
		return gsasl_property_set(session, prop, d->pass);
	case GSASL_SERVICE:
	case GSASL_HOSTNAME:
		return gsasl_property_set(session, prop, SERVICE);
	default:
		return GSASL_NO_CALLBACK;
	}
}

static int property(Gsasl *ctx, Gsasl_session *session, Gsasl_property prop)
{
	struct digest *d = gsasl_session_hook_get(session);

	(void)ctx;
	return d->server ? server_property(d, session, prop) : client_property(d, session, prop);
}

struct gsasl_digests *digests_new(void)
{
	struct gsasl_digests *digests = calloc(1, sizeof *digests);

	if (digests && gsasl_init(&digests->ctx) != GSASL_OK) {
		free(digests);
		return NULL;
	}
	if (digests)
		gsasl_callback_set(digests->ctx, property);
	return digests;
}

void digests_free(struct gsasl_digests **digests)
{
	if (*digests) {
		gsasl_done((*digests)->ctx);
		free(*digests);
	}
	*digests = NULL;
}

static void free_words(struct digest *d)
{
	free(d->user);
	free(d->pass);
}

struct digest *digest_new(struct gsasl_digests *digests, bool server, const char *user, const char *pass)
{
	struct digest *d = calloc(1, sizeof *d);
	int rc;

	if (!d)
		return NULL;
	d->user = strdup(user);
	d->pass = strdup(pass);
	d->server = server;
	rc = !d->user || !d->pass ? GSASL_MALLOC_ERROR :
		server ? gsasl_server_start(digests->ctx, "DIGEST-MD5", &d->session) :
		gsasl_client_start(digests->ctx, "DIGEST-MD5", &d->session);
	if (rc != GSASL_OK) {
		free_words(d);
		free(d);
		return NULL;
	}
	gsasl_session_hook_set(d->session, d);
	return d;
}

void digest_free(struct digest **digest)
{
	if (*digest) {
		gsasl_finish((*digest)->session);
		free_words(*digest);
		free(*digest);
	}
	*digest = NULL;
}

enum digest_result digest_step(struct digest *d, struct span in, struct buf *out, const char **why)
{
	char *text, *answer = NULL;
	int rc;

	/* libgsasl 2.2 looks for the end of nothing behind its own buffer. */
	if (in.n == 0 && (!d->server || d->begun)) {
		*why = "it said nothing";
		return DIGEST_REFUSED;
	}
	d->begun = true;
	text = strndup(in.n ? in.p : "", in.n);
	if (!text) {
		*why = "out of memory";
		return DIGEST_REFUSED;
	}
	rc = gsasl_step64(d->session, text, &answer);
	free(text);
	if (answer && (rc == GSASL_OK || rc == GSASL_NEEDS_MORE))
		buf_str(out, answer);
	gsasl_free(answer);
	if (rc == GSASL_OK)
		return DIGEST_DONE;
	if (rc == GSASL_NEEDS_MORE)
		return DIGEST_MORE;
	*why = rc == GSASL_AUTHENTICATION_ERROR || rc == GSASL_NO_PASSWORD ? "wrong user or password" : gsasl_strerror(rc);
	return DIGEST_REFUSED;
}
