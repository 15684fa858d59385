/* options-tls.c - settings of TLS on links: what is the default depends on whether the link leaves this machine.
 * Threads: main, at start.
 * Owns: nothing; struct tls_options owns its strings.
 *
 * On a loopback address a link is as jabberd2 has it: in TLS if both sides have a certificate, which nobody looks at unless told to. On a
 * network TLS has to be, and the router has to prove itself.
 */
#include "core/options-tls.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "core/config-file.h"

static bool is_loopback(const char *ip)
{
	struct in6_addr a6;
	struct in_addr a4;

	if (inet_pton(AF_INET, ip, &a4) == 1)
		return ntohl(a4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, ip, &a6) != 1)
		return true; /* no address: that is complained about elsewhere */
	return IN6_IS_ADDR_LOOPBACK(&a6) || (IN6_IS_ADDR_V4MAPPED(&a6) && a6.s6_addr[12] == 127);
}

/* Below a <listen> or the <router>. */
static const struct config_value *below(const struct config *config, const struct config_value *v, const char *name)
{
	return v ? config_below(config, v, name, 0) : NULL;
}

static char *text(const struct config *config, const struct config_value *v, const char *name)
{
	const struct config_value *child = below(config, v, name);
	struct span s = child ? config_value_text(child) : (struct span){ 0 };

	return child ? config_must(strndup(s.n ? s.p : "", s.n)) : NULL;
}

static void read_files(struct tls_options *t, struct config *config, const struct config_value *v)
{
	/* The two others, private_key_password and ciphers, may stand in a file of jabberd2's by themselves. */
	static const char *const needs_pemfile[] = { "cachain", "verify", "certificate-name", "require-tls" };

	t->pemfile = text(config, v, "pemfile");
	t->key_password = text(config, v, "private_key_password");
	t->ciphers = text(config, v, "ciphers");
	t->cachain = text(config, v, "cachain");
	t->name = text(config, v, "certificate-name");
	for (size_t i = 0; !t->pemfile && i < sizeof(needs_pemfile) / sizeof(needs_pemfile[0]); i++)
		if (below(config, v, needs_pemfile[i]))
			config_bad(config, below(config, v, needs_pemfile[i]),
				"there is no TLS without a <pemfile> beside it; right would be one like <pemfile>/etc/jabberd2/server.pem</pemfile>");
}

struct word {
	const char *word;
	enum tls_verify verify;
};

static enum tls_verify read_verify(struct config *config, const struct config_value *v, const struct word words[3], enum tls_verify fallback)
{
	const struct config_value *verify = below(config, v, "verify");

	if (!verify)
		return fallback;
	for (int i = 0; i < 3; i++)
		if (span_is(config_value_text(verify), words[i].word))
			return words[i].verify;
	config_bad(config, verify, "\"" SPAN_FMT "\" is none of \"%s\", \"%s\" and \"%s\"", SPAN_ARG(config_value_text(verify)), words[0].word,
		words[1].word, words[2].word);
	return fallback;
}

void options_read_router_tls(struct tls_options *t, struct config *config, const char *ip)
{
	static const struct word words[3] = { { "none", TLS_VERIFY_NONE }, { "chain", TLS_VERIFY_CHAIN }, { "full", TLS_VERIFY_NAME } };
	const struct config_value *v = config_get(config, "router", 0);
	bool local = is_loopback(ip);

	read_files(t, config, v);
	t->verify = read_verify(config, v, words, t->cachain || t->name ? TLS_VERIFY_NAME : local ? TLS_VERIFY_NONE : TLS_VERIFY_CHAIN);
	t->required = below(config, v, "require-tls") || (!local && !below(config, v, "allow-unencrypted-network"));
}

void options_read_listen_tls(struct tls_options *t, struct config *config, const struct config_value *listen, const char *ip)
{
	static const struct word words[3] = { { "none", TLS_VERIFY_NONE }, { "optional", TLS_VERIFY_OPTIONAL }, { "required", TLS_VERIFY_CHAIN } };
	bool local = is_loopback(ip), open = below(config, listen, "allow-unencrypted-network");

	read_files(t, config, listen);
	t->verify = read_verify(config, listen, words, t->cachain ? TLS_VERIFY_CHAIN : TLS_VERIFY_NONE);
	t->required = below(config, listen, "require-tls") || (!local && !open);
	if (!local && !open && !t->pemfile)
		config_bad(config, below(config, listen, "ip"), "%s is reached from the network, and there is no TLS without a <pemfile>; right would be "
			"<pemfile>/etc/jabberd2/server.pem</pemfile>, or an address like 127.0.0.1, or, where whoever reaches it may read and change "
			"all that passes, <allow-unencrypted-network/>", ip);
}

void options_free_tls(struct tls_options *t)
{
	free(t->pemfile);
	free(t->key_password);
	free(t->ciphers);
	free(t->cachain);
	free(t->name);
}
