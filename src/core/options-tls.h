/* options-tls.h - the part of struct options that says how links are protected.
 * Threads: main, at start.
 * Owns: struct tls_options owns its strings.
 */
#ifndef CORE_OPTIONS_TLS_H
#define CORE_OPTIONS_TLS_H

#include "shardsm/options.h"

void options_read_router_tls(struct tls_options *t, struct config *config, const char *ip);
void options_read_listen_tls(struct tls_options *t, struct config *config, const struct config_value *listen, const char *ip);
void options_free_tls(struct tls_options *t);

#endif
