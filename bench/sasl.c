/* sasl.c - libgsasl behind one small interface.
 * Threads: the one thread of the program.
 * Owns: see sasl.h.
 */
#include "sasl.h"

#include <gsasl.h>
#include <stdlib.h>

#include "bench.h"

#define REALM "jabberd-router"

struct sasl {
	Gsasl *ctx;
	Gsasl_session *session;
	const char *user, *pass;
	int rc;
	bool server;
	unsigned steps;
};

static int callback(Gsasl *ctx, Gsasl_session *session, Gsasl_property prop)
{
	const struct sasl *s = gsasl_callback_hook_get(ctx);

	if (prop != GSASL_PASSWORD)
		return GSASL_NO_CALLBACK;
	if (s->server) {
		const char *authid = gsasl_property_fast(session, GSASL_AUTHID);
		if (!authid || strcmp(authid, s->user) != 0)
			return GSASL_AUTHENTICATION_ERROR;
	}
	return gsasl_property_set(session, GSASL_PASSWORD, s->pass);
}

struct sasl *sasl_new(bool server, const char *user, const char *pass, const char *hostname)
{
	struct sasl *s = bench_calloc(1, sizeof *s);

	*s = (struct sasl){.user = user, .pass = pass, .server = server};
	s->rc = gsasl_init(&s->ctx);
	if (s->rc == GSASL_OK) {
		gsasl_callback_set(s->ctx, callback);
		gsasl_callback_hook_set(s->ctx, s);
		s->rc = server ? gsasl_server_start(s->ctx, "DIGEST-MD5", &s->session)
			       : gsasl_client_start(s->ctx, "DIGEST-MD5", &s->session);
	}
	if (s->rc != GSASL_OK)
		bench_die("no DIGEST-MD5 (%s): libgsasl must be built with it", gsasl_strerror(s->rc));
	if (gsasl_property_set(s->session, GSASL_SERVICE, REALM) != GSASL_OK ||
		gsasl_property_set(s->session, GSASL_HOSTNAME, hostname) != GSASL_OK ||
		gsasl_property_set(s->session, GSASL_REALM, REALM) != GSASL_OK ||
		gsasl_property_set(s->session, GSASL_QOPS, "qop-auth") != GSASL_OK)
		bench_die("out of memory");
	if (!server && (gsasl_property_set(s->session, GSASL_AUTHID, user) != GSASL_OK ||
			       gsasl_property_set(s->session, GSASL_PASSWORD, pass) != GSASL_OK))
		bench_die("out of memory");
	return s;
}

void sasl_free(struct sasl **s)
{
	if (!*s)
		return;
	gsasl_finish((*s)->session);
	gsasl_done((*s)->ctx);
	free(*s);
	*s = NULL;
}

bool sasl_step(struct sasl *s, struct span base64, char **out, bool *done)
{
	char *in = strndup(base64.n ? base64.p : "", base64.n), *text = NULL;

	if (!in)
		bench_die("out of memory");
	s->rc = gsasl_step64(s->session, in, &text);
	free(in);
	/* The server is content after the second step: rspauth rides on <success/>, and nothing answers it. */
	*done = s->rc == GSASL_OK || (s->server && s->steps == 1);
	s->steps++;
	*out = NULL;
	if (text) {
		*out = strdup(text);
		gsasl_free(text);
		if (!*out)
			bench_die("out of memory");
	}
	return s->rc == GSASL_OK || s->rc == GSASL_NEEDS_MORE;
}

const char *sasl_error(const struct sasl *s)
{
	return gsasl_strerror(s->rc);
}
