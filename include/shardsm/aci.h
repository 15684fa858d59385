/* aci.h - who may do what: the access control lists of sm.xml.
 * Threads: any, read-only; the lists change while the shards stand still.
 * Owns: the lists.
 */
#ifndef SHARDSM_ACI_H
#define SHARDSM_ACI_H

#include "shardsm/jid.h"
#include "shardsm/tunables.h"

/* Every <acl type='...'>; a repeated type replaces the one before it. */
extern const struct tunables aci_lists;

/* Does a JID, whole or bare, stand in the list of that type or in the list "all"? */
bool aci_allows(const char *type, const struct jid *jid);

/* JID number i of those in "all" and in the list of that type, each once. False: there are no more. */
bool aci_jid(const char *type, uint32_t i, struct jid *out);

#endif
