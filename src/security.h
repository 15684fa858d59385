/* security.h - the TLS contexts of all links.
 * Threads: main's; io reads what it was given of them.
 * Owns: struct security owns its contexts; NULL where a link has no TLS.
 */
#ifndef SHARDSM_SECURITY_H
#define SHARDSM_SECURITY_H

#include "shardsm/config.h"
#include "shardsm/options.h"

struct security {
	struct tls_context *router, **listens;
	unsigned nlistens;
};

/* Reads the files. False: what is wrong was told as an error of the config. Free it in both cases. */
bool security_load(struct security *security, const struct options *options, struct config *config) MUST_USE;
void security_free(struct security *security);

#endif
