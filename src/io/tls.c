/* tls.c - one link's TLS: handshake, records in, records out, the end; with core/tls_context.c the files that know libssl.
 * Threads: the link's acceptor; tls_free() on whatever thread frees the link.
 * Owns: the session, with the library's buffers: one of 64 KB while there is something to read, one of a record while one waits.
 */
#include "io/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORD 16384

struct tls {
	SSL *ssl;
	bool verify;
	bool write_blocked; /* a record waits for the socket */
	bool read_blocked;  /* an answer of the protocol's does */
	bool failed;  /* nothing may be said any more */
};

struct tls *tls_new(const struct tls_context *context, int fd)
{
	struct tls *tls = calloc(1, sizeof *tls);

	if (!tls)
		return NULL;
	tls->verify = tls_context_verifies(context);
	tls->ssl = SSL_new(tls_context_library(context));
	if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1) {
		ERR_clear_error();
		tls_free(&tls);
		return NULL;
	}
	if (tls_context_server(context))
		SSL_set_accept_state(tls->ssl);
	else
		SSL_set_connect_state(tls->ssl);
	return tls;
}

void tls_free(struct tls **tlsp)
{
	struct tls *tls = *tlsp;

	*tlsp = NULL;
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

/* What is in the way, in words. */
static void explain(const struct tls *tls, int error, int err, char *why)
{
	long verified = SSL_get_verify_result(tls->ssl);
	unsigned long e = ERR_peek_error();
	const char *reason = ERR_reason_error_string(e);

	if (tls->verify && verified != X509_V_OK)
		snprintf(why, TLS_WHY_MAX, "its certificate was not accepted: %s", X509_verify_cert_error_string(verified));
	else if (error == SSL_ERROR_SYSCALL || ERR_SYSTEM_ERROR(e))
		snprintf(why, TLS_WHY_MAX, "%s", err ? strerror(err) : "it ended the connection");
	else
		snprintf(why, TLS_WHY_MAX, "%s", reason ? reason : "it ended the connection");
}

enum tls_progress tls_handshake(struct tls *tls, char why[static TLS_WHY_MAX])
{
	int rc, error, err;

	ERR_clear_error(); /* before each: what another link left there would be taken for this one's */
	errno = 0;
	rc = SSL_do_handshake(tls->ssl);
	err = errno;
	if (rc == 1)
		return TLS_DONE;
	error = SSL_get_error(tls->ssl, rc);
	if (error == SSL_ERROR_WANT_READ)
		return TLS_WANTS_READ;
	if (error == SSL_ERROR_WANT_WRITE)
		return TLS_WANTS_WRITE;
	explain(tls, error, err, why);
	tls->failed = true;
	ERR_clear_error();
	return TLS_FAILED;
}

void tls_describe(const struct tls *tls, char what[static TLS_WHY_MAX])
{
	X509 *peer = SSL_get0_peer_certificate(tls->ssl);
	char subject[128] = "";

	if (peer)
		X509_NAME_oneline(X509_get_subject_name(peer), subject, sizeof subject);
	snprintf(what, TLS_WHY_MAX, "%s, %s, %s%s%s", SSL_get_version(tls->ssl), SSL_get_cipher_name(tls->ssl), peer ? "certificate of " : "no certificate",
		subject, peer && !tls->verify ? " (not verified)" : "");
}

/* After a call that did not succeed: would it block (on the socket's write side: blocked), is it the end, is it over. errno as recv()
 * leaves it. */
static ssize_t stopped(struct tls *tls, int rc, bool *blocked)
{
	int err = errno, error = SSL_get_error(tls->ssl, rc);
	bool cut = error == SSL_ERROR_SSL && ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		*blocked = error == SSL_ERROR_WANT_WRITE;
		errno = EAGAIN;
		return -1;
	}
	ERR_clear_error();
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	tls->failed = true;
	if (cut) /* COMPAT: jabberd2 closes its socket without a close_notify; stanzas have ends of their own */
		return 0;
	errno = error == SSL_ERROR_SYSCALL && err ? err : EPROTO;
	return -1;
}

ssize_t tls_recv(struct tls *tls, char *to, size_t n)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	tls->read_blocked = false;
	rc = SSL_read(tls->ssl, to, n > RECORD ? RECORD : (int)n);
	return rc > 0 ? rc : stopped(tls, rc, &tls->read_blocked);
}

struct cursor {
	const struct iovec *iov;
	int n;
	size_t off;
};

/* Up to a record of what is left; in place when one piece has as much, else copied to room. */
static size_t next_record(struct cursor *c, char *room, const char **bytes)
{
	size_t got = 0;

	if (c->iov->iov_len - c->off >= RECORD || c->n == 1) {
		got = c->iov->iov_len - c->off < RECORD ? c->iov->iov_len - c->off : RECORD;
		*bytes = (const char *)c->iov->iov_base + c->off;
		return got;
	}
	*bytes = room;
	for (size_t off = c->off, i = 0; i < (size_t)c->n && got < RECORD; i++, off = 0) {
		size_t take = c->iov[i].iov_len - off;

		if (take > RECORD - got)
			take = RECORD - got;
		if (take)
			memcpy(room + got, (const char *)c->iov[i].iov_base + off, take);
		got += take;
	}
	return got;
}

static void skip(struct cursor *c, size_t done)
{
	while (c->n && done >= c->iov->iov_len - c->off) {
		done -= c->iov->iov_len - c->off;
		c->iov++;
		c->n--;
		c->off = 0;
	}
	c->off += done;
}

ssize_t tls_write(struct tls *tls, const struct iovec *iov, int n)
{
	struct cursor c = { iov, n, 0 };
	char room[RECORD];
	ssize_t total = 0;

	tls->write_blocked = false;
	if (tls->failed)
		return -1;
	for (skip(&c, 0); c.n;) {
		const char *bytes;
		size_t want = next_record(&c, room, &bytes);
		int rc;

		ERR_clear_error();
		errno = 0;
		rc = SSL_write(tls->ssl, bytes, (int)want);
		if (rc <= 0) {
			ssize_t s = stopped(tls, rc, &tls->write_blocked);

			/* What is with the kernel counts, if nothing more ever is. */
			return total || (s < 0 && errno == EAGAIN) ? total : -1;
		}
		total += rc;
		skip(&c, (size_t)rc);
	}
	return total;
}

bool tls_blocked(const struct tls *tls)
{
	return tls->write_blocked || tls->read_blocked;
}

bool tls_pending(const struct tls *tls)
{
	return SSL_has_pending(tls->ssl);
}

void tls_end(struct tls *tls)
{
	if (tls->failed || tls->write_blocked || !SSL_is_init_finished(tls->ssl))
		return;
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
	tls->failed = true;
}
