/* verify.c - jabberd2's e-mail verification, which this server does not have.
 * Threads: main's.
 * Owns: nothing.
 * It holds back what a user sends until a code that was mailed comes back. Mailing it means to start other programs, and to give them what a user
 * typed: this server starts none.
 */
#include "shardsm/log.h"
#include "shardsm/module.h"

static bool read_options(struct config *config, void *into)
{
	const struct config_value *chain, *m;

	(void)into;
	for (uint32_t i = 0; (chain = config_get(config, "modules.chain", i)) != NULL; i++)
		for (uint32_t k = 0; (m = config_below(config, chain, "module", k)) != NULL; k++)
			if (span_is(config_value_text(m), "verify")) {
				log_error("%s:%d: module 'verify' is not supported (it would have to start sendmail): no e-mail address is "
					"verified and nothing is held back; remove it from the chains", config_path(config), m->line);
				return true;
			}
	return true;
}

const struct module module_verify = { .name = "verify", .options.read = read_options };
