/* disco.h - what the two files of the disco module share: the services beside this server.
 * Threads: any shard.
 * Owns: see disco_services.c.
 */
#ifndef SHARDSM_MODULE_DISCO_H
#define SHARDSM_MODULE_DISCO_H

#include "shardsm/module.h"

enum service_does { SERVICE_REGISTERS = 1, SERVICE_SEARCHES = 2 };

struct service_info {
	struct span category, type, name; /* decoded; empty: not known */
	uint8_t does;                     /* enum service_does */
};

struct service_view;

/* <discovery><items>: services that stay listed, appended to an empty list. Bad ones are counted in config_errors(). False: no memory. */
bool services_read(struct config *config, struct service_view *_Atomic *list) MUST_USE;
void services_drop(struct service_view *_Atomic *list);

/* A component that came over a link was asked under that id what it is. False: too many, or no memory: it is not listed. */
bool services_asked(struct span jid, const struct outbox *link, struct span id) MUST_USE;
/* What it answered; listed from now on. False: it was not asked that. */
bool services_answered(struct span jid, struct span id, const struct service_info *info) MUST_USE;
/* It went; jid empty: all that came over that link. */
void services_gone(struct span jid, const struct outbox *link);

/* Calls fn for each service that is listed, those of sm.xml (fixed) among them, inside a read section: fn must not call the store or log. */
void services_each_rcu(struct service_view *_Atomic *fixed, void (*fn)(struct span jid, const struct service_info *info, void *arg), void *arg);

#endif
