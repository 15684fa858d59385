/* tls_context.c - certificate, key and trust, read from files into what TLS sessions are made from.
 * Threads: main's.
 * Owns: contexts until tls_context_free(); sessions hold the library's part of theirs.
 */
#include "shardsm/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

/* More than a record: one read fetches several from a busy link. */
#define READ_BUFFER (64 * 1024)

struct tls_context {
	SSL_CTX *ctx;
	bool server, required, verify;
};

static const char *library_reason(void)
{
	unsigned long e = ERR_peek_error();
	const char *text = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : ERR_reason_error_string(e);

	return text ? text : "no reason given";
}

/* Never asks on a terminal, as the library would by itself. */
static int key_password(char *buf, int size, int writing, void *arg)
{
	const struct tls_settings *set = arg;
	size_t n = set->key_password ? strlen(set->key_password) : 0;

	(void)writing;
	if (n == 0 || n > (size_t)size)
		return -1;
	memcpy(buf, set->key_password, n);
	return (int)n;
}

static enum tls_fault read_pemfile(SSL_CTX *ctx, const struct tls_settings *set, char *why)
{
	const char *what = "certificate";
	bool ok = SSL_CTX_use_certificate_chain_file(ctx, set->pemfile) == 1;

	if (ok) {
		what = set->key_password ? "private key that <private_key_password> opens" : "private key";
		ok = SSL_CTX_use_PrivateKey_file(ctx, set->pemfile, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(ctx) == 1;
	}
	if (ok)
		return TLS_GOOD;
	snprintf(why, TLS_WHY_MAX, "no %s can be had from %.120s (%.60s)", what, set->pemfile, library_reason());
	return TLS_BAD_PEMFILE;
}

/* The one certificate that the components of a site share, or a self-signed one that signed theirs. Not the rest of the chain: an
 * authority of the public's signs everybody's. */
static bool trust_own(SSL_CTX *ctx)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);

	return X509_STORE_add_cert(store, SSL_CTX_get0_certificate(ctx)) == 1 && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1;
}

static enum tls_fault read_trust(SSL_CTX *ctx, const struct tls_settings *set, char *why)
{
	bool ok = set->cachain ? SSL_CTX_load_verify_file(ctx, set->cachain) == 1 : trust_own(ctx);

	if (!ok)
		snprintf(why, TLS_WHY_MAX, "no certificates can be had from %.120s (%.60s)", set->cachain ? set->cachain : set->pemfile,
			library_reason());
	else if (set->server && set->cachain)
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(set->cachain));
	return ok ? TLS_GOOD : TLS_BAD_CACHAIN;
}

static bool set_name(X509_VERIFY_PARAM *param, const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static enum tls_fault set_verify(SSL_CTX *ctx, const struct tls_settings *set, char *why)
{
	enum tls_fault fault;
	int mode = SSL_VERIFY_PEER;

	if (set->verify == TLS_VERIFY_NONE) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		return TLS_GOOD;
	}
	if (set->server && set->verify != TLS_VERIFY_OPTIONAL)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	/* COMPAT: jabberd2's components show their server's certificate when they dial, whatever it says that it is for. */
	X509_VERIFY_PARAM_set_purpose(SSL_CTX_get0_param(ctx), X509_PURPOSE_ANY);
	fault = read_trust(ctx, set, why);
	if (fault == TLS_GOOD && set->verify == TLS_VERIFY_NAME && !set_name(SSL_CTX_get0_param(ctx), set->name)) {
		snprintf(why, TLS_WHY_MAX, "\"%.120s\" is no name that a certificate can be for", set->name);
		fault = TLS_BAD_NAME;
	}
	return fault;
}

static SSL_TICKET_RETURN no_resumption(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t n, SSL_TICKET_STATUS status,
	void *arg)
{
	(void)ssl, (void)session, (void)name, (void)n, (void)status, (void)arg;
	return SSL_TICKET_RETURN_IGNORE;
}

static enum tls_fault set_up(SSL_CTX *ctx, const struct tls_settings *set, char *why)
{
	enum tls_fault fault;

	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* No renegotiation: it costs us more than the peer, and would make writing wait for reading.
	 * Not SSL_OP_ENABLE_KTLS: the kernel's module is seldom loaded, and there is no file to send that it would save a copy of. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* No resumption: streams live for weeks. COMPAT: one ticket nevertheless, that opens nothing. jabberd2 leaves an error in the library's
	 * queue after a handshake, and takes it for its link's at the first record that comes in two reads; to read a ticket clears it. */
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_session_ticket_cb(ctx, NULL, no_resumption, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* The outbox offers the same bytes again from another place, and more of them. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
	SSL_CTX_set_default_passwd_cb(ctx, key_password);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, (void *)(uintptr_t)set);
	if (set->ciphers && SSL_CTX_set_cipher_list(ctx, set->ciphers) != 1) {
		snprintf(why, TLS_WHY_MAX, "\"%.120s\" names no cipher; right would be one like HIGH:!aNULL (openssl ciphers lists them)", set->ciphers);
		return TLS_BAD_CIPHERS;
	}
	fault = read_pemfile(ctx, set, why);
	if (fault == TLS_GOOD)
		fault = set_verify(ctx, set, why);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	return fault;
}

struct tls_context *tls_context_new(const struct tls_settings *set, enum tls_fault *fault, char why[static TLS_WHY_MAX])
{
	struct tls_context *context = calloc(1, sizeof *context);

	ERR_clear_error();
	*fault = TLS_NO_MEMORY;
	snprintf(why, TLS_WHY_MAX, "out of memory");
	if (!context)
		return NULL;
	context->server = set->server;
	context->required = set->required;
	context->verify = set->verify != TLS_VERIFY_NONE;
	context->ctx = SSL_CTX_new(set->server ? TLS_server_method() : TLS_client_method());
	if (context->ctx)
		*fault = set_up(context->ctx, set, why);
	ERR_clear_error();
	if (*fault != TLS_GOOD)
		tls_context_free(&context);
	return context;
}

void tls_context_free(struct tls_context **contextp)
{
	struct tls_context *context = *contextp;

	*contextp = NULL;
	if (!context)
		return;
	SSL_CTX_free(context->ctx);
	free(context);
}

struct ssl_ctx_st *tls_context_library(const struct tls_context *context) { return context->ctx; }
bool tls_context_server(const struct tls_context *context) { return context->server; }
bool tls_context_verifies(const struct tls_context *context) { return context->verify; }

bool tls_required(const struct tls_context *context)
{
	return context && context->required;
}
