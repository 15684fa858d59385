/* modules.c - every feature that is linked in. A feature is one file and one line here.
 * Threads: constant.
 * Owns: nothing.
 */
#include "shardsm/module.h"

#define MODULES(X) \
	X(active) X(amp) X(announce) X(deliver) X(disco) X(echo) X(help) X(iq_last) X(iq_ping) X(iq_private) \
	X(iq_time) X(iq_vcard) X(iq_version) X(offline) X(presence) X(privacy) X(roster) X(roster_publish) \
	X(session) X(status) X(template_roster) X(vacation) X(validate) X(verify)

#define DECLARE(name) extern const struct module module_##name;
MODULES(DECLARE)

#define LIST(name) &module_##name,
const struct module *const modules_all[] = { MODULES(LIST) NULL };
