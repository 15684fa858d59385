/* config-keys.c - the names of everything that a config file may hold.
 * Threads: any; constants.
 * Owns: nothing.
 */
#include "core/config-file.h"

/* ".*" at the end: anything below. Containers need no entry of their own: a key that another one begins with is known. */
static const char *const keys[] = {
	/* jabberd2's sm */
	"id",
	"pidfile",
	"router.ip",
	"router.port",
	"router.user",
	"router.pass",
	"router.pemfile",
	"router.private_key_password",
	"router.ciphers",
	"router.retry.init",
	"router.retry.lost",
	"router.retry.sleep",
	"log.ident",
	"log.facility",
	"log.file",
	"log.debug",
	"local.id",
	"storage.path",
	"storage.driver",
	"storage.limits.queries",
	"storage.sqlite.dbname",
	"storage.sqlite.sql",
	"storage.sqlite.busy-timeout",
	"storage.sqlite.transactions",
	"storage.sqlite.prefix",
	"storage.pgsql.conninfo",
	"storage.pgsql.host",
	"storage.pgsql.port",
	"storage.pgsql.dbname",
	"storage.pgsql.schema",
	"storage.pgsql.user",
	"storage.pgsql.pass",
	"storage.pgsql.transactions",
	"storage.pgsql.prefix",
	"storage.mysql.host",
	"storage.mysql.port",
	"storage.mysql.dbname",
	"storage.mysql.user",
	"storage.mysql.pass",
	"storage.mysql.transactions",
	"storage.mysql.prefix",
	/* Drivers that shardsm has not: a file may keep their sections. <driver> decides. */
	"storage.db.*",
	"storage.fs.*",
	"storage.oracle.*",
	"storage.ldapvcard.*",
	"aci.acl.jid",
	"modules.path",
	"modules.chain.module",
	"discovery.identity.category",
	"discovery.identity.type",
	"discovery.identity.name",
	"discovery.agents",
	"discovery.items.item.ns",
	"discovery.serverinfo.abuse-addresses.value",
	"discovery.serverinfo.admin-addresses.value",
	"discovery.serverinfo.feedback-addresses.value",
	"discovery.serverinfo.sales-addresses.value",
	"discovery.serverinfo.security-addresses.value",
	"discovery.serverinfo.support-addresses.value",
	"user.auto-create",
	"user.vcard.max-field-size.default",
	"user.vcard.max-field-size.avatar",
	"user.template.roster",
	/* Stands outside of <publish> in Debian's file, where <publish> is commented out and this is not. */
	"user.template.active-cache-ttl",
	"user.template.publish.db-table",
	"user.template.publish.fetch-key.domain",
	"user.template.publish.fetch-key.user",
	"user.template.publish.fetch-key.fixed",
	"user.template.publish.check-remove-domain",
	"user.template.publish.force-create-contacts",
	"user.template.publish.active-cache-ttl",
	"user.template.publish.fix-subscriptions",
	"user.template.publish.override-names",
	"user.template.publish.mapped-groups.map-groups",
	"user.template.publish.mapped-groups.group-cache-ttl",
	"user.template.publish.force-groups.prefix",
	"user.template.publish.force-groups.suffix",
	"amp.disableactions.drop",
	"amp.disableactions.error",
	"amp.disableactions.alert",
	"amp.disableactions.notify",
	"amp.disableconditions.deliver",
	"amp.disableconditions.expireat",
	"amp.disableconditions.matchresource",
	"amp.offlinestoragedisabled",
	"offline.dropmessages",
	"offline.storeheadlines",
	"offline.dropsubscriptions",
	"offline.userquota",
	"roster.maxitems",
	"status.resource",
	/* shardsm's own */
	"threads.acceptors",
	"threads.workers",
	"threads.store",
	"listen.ip",
	"listen.port",
	"listen.user",
	"listen.pass",
	"listen.secret",
	"route-parser",
	"local-delivery",
	"limits.frame-bytes",
	"limits.depth",
	"limits.attributes",
	"limits.elements",
	"limits.link-queue-bytes",
	"limits.shard-queue-bytes",
	"limits.user-queue-packets",
	"limits.privacy-lists",
	"limits.privacy-items",
};

bool config_key_known(const char *key)
{
	size_t n = strlen(key);
	if (n == 0)
		return true; /* the root may have any name */
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t have = strlen(keys[i]);
		if (strncmp(keys[i], key, n) == 0 && (keys[i][n] == '\0' || keys[i][n] == '.'))
			return true;
		if (keys[i][have - 1] == '*' && strncmp(keys[i], key, have - 1) == 0)
			return true;
	}
	return false;
}
