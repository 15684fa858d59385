/* sasl.h - DIGEST-MD5 as both ends of a jabberd2 component link speak it.
 * Threads: the one thread of the program.
 * Owns: a struct sasl, from new to free.
 */
#ifndef BENCH_SASL_H
#define BENCH_SASL_H

#include "shardsm/span.h"

struct sasl;
/* hostname: the host part of digest-uri. Ends the program when libgsasl has no DIGEST-MD5. */
struct sasl *sasl_new(bool server, const char *user, const char *pass, const char *hostname);
void sasl_free(struct sasl **s);
/* One step. *out: base64, freed by the caller with free(). *done: nothing more is expected from the other end. */
bool sasl_step(struct sasl *s, struct span base64, char **out, bool *done) MUST_USE;
const char *sasl_error(const struct sasl *s);

#endif
