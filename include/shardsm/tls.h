/* tls.h - what a link in TLS rests on: certificate, key, and whom it believes. Sessions are io's.
 * Threads: contexts are made by main; sessions are made from them by acceptors, while none is replaced (standstill).
 * Owns: a context is the caller's. What was made from it goes on living without it.
 */
#ifndef SHARDSM_TLS_H
#define SHARDSM_TLS_H

#include "shardsm/span.h"

struct tls_context;

enum tls_verify {
	TLS_VERIFY_NONE,     /* the peer's certificate is not looked at */
	TLS_VERIFY_OPTIONAL, /* who dials us may have none */
	TLS_VERIFY_CHAIN,    /* it must lead to one that we trust */
	TLS_VERIFY_NAME,     /* and be for the name that we dialled */
};

struct tls_settings {
	bool server;              /* we are dialled */
	const char *pemfile;      /* certificate, its chain, private key */
	const char *key_password; /* NULL: the key is not encrypted */
	const char *ciphers;      /* up to TLS 1.2, the library's syntax; NULL: its choice */
	const char *cachain;      /* whom to trust, PEM; NULL: the certificate of pemfile, shared by the components of a site */
	const char *name;         /* for TLS_VERIFY_NAME: host name or IP address */
	enum tls_verify verify;
	bool required;            /* no login in clear */
};

enum tls_fault { TLS_GOOD, TLS_BAD_PEMFILE, TLS_BAD_CIPHERS, TLS_BAD_CACHAIN, TLS_BAD_NAME, TLS_NO_MEMORY };
#define TLS_WHY_MAX 256
/* NULL: fault says what is wrong with it, why the cause, and what would be right. */
struct tls_context *tls_context_new(const struct tls_settings *set, enum tls_fault *fault, char why[static TLS_WHY_MAX]) MUST_USE;
void tls_context_free(struct tls_context **context);
bool tls_required(const struct tls_context *context); /* NULL: no */
/* For sessions. */
struct ssl_ctx_st;
struct ssl_ctx_st *tls_context_library(const struct tls_context *context);
bool tls_context_server(const struct tls_context *context);
bool tls_context_verifies(const struct tls_context *context);

#endif
