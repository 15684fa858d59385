/* aci.h - who may do what: the access control lists of sm.xml.
 * Threads: aci_read() is main's, at start; the rest any, read-only.
 * Owns: the lists, for the life of the process.
 */
#ifndef SHARDSM_ACI_H
#define SHARDSM_ACI_H

#include "shardsm/config.h"
#include "shardsm/jid.h"

/* Reads every <acl type='...'>; a repeated type replaces the one before it. False: no memory. A bad <jid/> or <acl/> is counted in
 * config_errors(). */
bool aci_read(struct config *config) MUST_USE;

/* Does a JID, whole or bare, stand in the list of that type or in the list "all"? */
bool aci_allows(const char *type, const struct jid *jid);

/* JID number i of those in "all" and in the list of that type, each once. False: there are no more. */
bool aci_jid(const char *type, uint32_t i, struct jid *out);

#endif
