/* security.c - what the config says of TLS, made from its files: at start, for --check, and again at every reload.
 * Threads: main's.
 * Owns: struct security owns its contexts.
 */
#include "security.h"

#include <stdlib.h>

/* The element that is to blame. */
static const struct config_value *blame(const struct config *config, const struct config_value *v, enum tls_fault fault)
{
	static const char *const names[] = { [TLS_BAD_PEMFILE] = "pemfile", [TLS_BAD_CIPHERS] = "ciphers", [TLS_BAD_CACHAIN] = "cachain",
		[TLS_BAD_NAME] = "certificate-name" };
	const struct config_value *child = fault != TLS_NO_MEMORY && v ? config_below(config, v, names[fault], 0) : NULL;

	return child ? child : v;
}

static struct tls_context *make(struct config *config, const struct config_value *v, const struct tls_options *t, struct tls_settings set)
{
	enum tls_fault fault;
	char why[TLS_WHY_MAX];
	struct tls_context *context;

	if (!t->pemfile)
		return NULL;
	set.pemfile = t->pemfile;
	set.key_password = t->key_password;
	set.ciphers = t->ciphers;
	set.cachain = t->cachain;
	set.verify = t->verify;
	set.required = t->required;
	context = tls_context_new(&set, &fault, why);
	if (!context)
		config_bad(config, blame(config, v, fault), fault == TLS_BAD_PEMFILE ? "%s; right would be a PEM file that we may read, with the "
			"certificate, the rest of its chain, and the private key" : fault == TLS_BAD_CACHAIN ? "%s; right would be a PEM file that we may "
			"read, with the certificates of the authorities to trust" : "%s", why);
	return context;
}

bool security_load(struct security *s, const struct options *o, struct config *config)
{
	*s = (struct security){ .nlistens = o->nlistens, .listens = calloc(o->nlistens + 1, sizeof(*s->listens)) };
	if (!s->listens) {
		config_bad(config, NULL, "out of memory");
		return false;
	}
	if (o->dial)
		s->router = make(config, config_get(config, "router", 0), &o->router.tls,
			(struct tls_settings){ .name = o->router.tls.name ? o->router.tls.name : o->router.ip });
	for (unsigned i = 0; i < o->nlistens; i++)
		s->listens[i] = make(config, config_get(config, "listen", i), &o->listens[i].tls, (struct tls_settings){ .server = true });
	return config_errors(config) == 0;
}

void security_free(struct security *s)
{
	tls_context_free(&s->router);
	for (unsigned i = 0; s->listens && i < s->nlistens; i++)
		tls_context_free(&s->listens[i]);
	free(s->listens);
	*s = (struct security){ 0 };
}
