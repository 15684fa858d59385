/* schema.c - the tables of jabberd2 2.7.0, and our own.
 * Threads: any; constants.
 * Owns: nothing.
 * Source: the tables that db-setup.sqlite of jabberd2 2.7.0 leaves behind; either server can be started on the other's.
 */
#include "shardsm/vcard_columns.h"
#include "store/schema.h"

static const struct column active[] = { { "time", COL_INT } };
static const struct column logout[] = { { "time", COL_INT } };
static const struct column roster_items[] = {
	{ "jid", COL_TEXT }, { "name", COL_TEXT }, { "to", COL_BOOL }, { "from", COL_BOOL }, { "ask", COL_INT },
};
static const struct column roster_groups[] = { { "jid", COL_TEXT }, { "group", COL_TEXT } };
static const struct column published_roster[] = {
	{ "jid", COL_TEXT }, { "group", COL_TEXT }, { "name", COL_TEXT },
	{ "to", COL_BOOL }, { "from", COL_BOOL }, { "ask", COL_INT },
};
static const struct column published_roster_groups[] = { { "groupname", COL_TEXT } };
static const struct column vcard[] = {
	[VCARD_FN] = { "fn", COL_TEXT },
	[VCARD_NICKNAME] = { "nickname", COL_TEXT },
	[VCARD_URL] = { "url", COL_TEXT },
	[VCARD_TEL] = { "tel", COL_TEXT },
	[VCARD_EMAIL] = { "email", COL_TEXT },
	[VCARD_JABBERID] = { "jabberid", COL_TEXT },
	[VCARD_MAILER] = { "mailer", COL_TEXT },
	[VCARD_TITLE] = { "title", COL_TEXT },
	[VCARD_ROLE] = { "role", COL_TEXT },
	[VCARD_BDAY] = { "bday", COL_TEXT },
	[VCARD_TZ] = { "tz", COL_TEXT },
	[VCARD_N_FAMILY] = { "n-family", COL_TEXT },
	[VCARD_N_GIVEN] = { "n-given", COL_TEXT },
	[VCARD_N_MIDDLE] = { "n-middle", COL_TEXT },
	[VCARD_N_PREFIX] = { "n-prefix", COL_TEXT },
	[VCARD_N_SUFFIX] = { "n-suffix", COL_TEXT },
	[VCARD_ADR_STREET] = { "adr-street", COL_TEXT },
	[VCARD_ADR_EXTADD] = { "adr-extadd", COL_TEXT },
	[VCARD_ADR_POBOX] = { "adr-pobox", COL_TEXT },
	[VCARD_ADR_LOCALITY] = { "adr-locality", COL_TEXT },
	[VCARD_ADR_REGION] = { "adr-region", COL_TEXT },
	[VCARD_ADR_PCODE] = { "adr-pcode", COL_TEXT },
	[VCARD_ADR_COUNTRY] = { "adr-country", COL_TEXT },
	[VCARD_GEO_LAT] = { "geo-lat", COL_TEXT },
	[VCARD_GEO_LON] = { "geo-lon", COL_TEXT },
	[VCARD_ORG_ORGNAME] = { "org-orgname", COL_TEXT },
	[VCARD_ORG_ORGUNIT] = { "org-orgunit", COL_TEXT },
	[VCARD_AGENT_EXTVAL] = { "agent-extval", COL_TEXT },
	[VCARD_SORT_STRING] = { "sort-string", COL_TEXT },
	[VCARD_DESC] = { "desc", COL_TEXT },
	[VCARD_NOTE] = { "note", COL_TEXT },
	[VCARD_UID] = { "uid", COL_TEXT },
	[VCARD_PHOTO_TYPE] = { "photo-type", COL_TEXT },
	[VCARD_PHOTO_BINVAL] = { "photo-binval", COL_TEXT },
	[VCARD_PHOTO_EXTVAL] = { "photo-extval", COL_TEXT },
	[VCARD_LOGO_TYPE] = { "logo-type", COL_TEXT },
	[VCARD_LOGO_BINVAL] = { "logo-binval", COL_TEXT },
	[VCARD_LOGO_EXTVAL] = { "logo-extval", COL_TEXT },
	[VCARD_SOUND_PHONETIC] = { "sound-phonetic", COL_TEXT },
	[VCARD_SOUND_BINVAL] = { "sound-binval", COL_TEXT },
	[VCARD_SOUND_EXTVAL] = { "sound-extval", COL_TEXT },
	[VCARD_KEY_TYPE] = { "key-type", COL_TEXT },
	[VCARD_KEY_CRED] = { "key-cred", COL_TEXT },
	[VCARD_REV] = { "rev", COL_TEXT },
};
static const struct column queue[] = { { "xml", COL_XML } };
static const struct column private[] = { { "ns", COL_TEXT }, { "xml", COL_XML } };
static const struct column motd_message[] = { { "xml", COL_XML } };
static const struct column motd_times[] = { { "time", COL_INT } };
static const struct column privacy_default[] = { { "default", COL_TEXT } };
static const struct column privacy_items[] = {
	{ "list", COL_TEXT }, { "type", COL_TEXT }, { "value", COL_TEXT },
	{ "deny", COL_BOOL }, { "order", COL_INT }, { "block", COL_INT },
};
static const struct column vacation_settings[] = {
	{ "start", COL_INT }, { "end", COL_INT }, { "message", COL_TEXT },
};
static const struct column status[] = {
	{ "status", COL_TEXT }, { "show", COL_TEXT }, { "last-login", COL_INT }, { "last-logout", COL_INT },
	{ "xml", COL_XML },
};
static const struct column verify[] = { { "email", COL_TEXT }, { "code", COL_TEXT }, { "state", COL_INT } };
static const struct column roster_version[] = { { "epoch", COL_TEXT }, { "number", COL_INT }, { "digest", COL_TEXT } };
static const struct column roster_changes[] = { { "jid", COL_TEXT }, { "number", COL_INT } };
static const struct column roster_pending[] = { { "jid", COL_TEXT }, { "xml", COL_XML } };
static const struct column vcard_xml[] = { { "xml", COL_TEXT } };

#define TABLE(name, columns) { name, columns, sizeof(columns) / sizeof((columns)[0]), false }
#define TABLE_OURS(name, columns) { name, columns, sizeof(columns) / sizeof((columns)[0]), true }

struct table store_tables[T_COUNT] = {
	[T_ACTIVE] = TABLE("active", active),
	[T_LOGOUT] = TABLE("logout", logout),
	[T_ROSTER_ITEMS] = TABLE("roster-items", roster_items),
	[T_ROSTER_GROUPS] = TABLE("roster-groups", roster_groups),
	[T_PUBLISHED_ROSTER] = TABLE("published-roster", published_roster),
	[T_PUBLISHED_ROSTER_GROUPS] = TABLE("published-roster-groups", published_roster_groups),
	[T_VCARD] = TABLE("vcard", vcard),
	[T_QUEUE] = TABLE("queue", queue),
	[T_PRIVATE] = TABLE("private", private),
	[T_MOTD_MESSAGE] = TABLE("motd-message", motd_message),
	[T_MOTD_TIMES] = TABLE("motd-times", motd_times),
	[T_PRIVACY_DEFAULT] = TABLE("privacy-default", privacy_default),
	[T_PRIVACY_ITEMS] = TABLE("privacy-items", privacy_items),
	[T_VACATION] = TABLE("vacation-settings", vacation_settings),
	[T_STATUS] = TABLE("status", status),
	[T_VERIFY] = TABLE("verify", verify),
	[T_ROSTER_VERSION] = TABLE_OURS("roster-version", roster_version),
	[T_ROSTER_CHANGES] = TABLE_OURS("roster-changes", roster_changes),
	[T_PENDING] = TABLE_OURS("roster-pending", roster_pending),
	[T_VCARD_XML] = TABLE_OURS("vcard-xml", vcard_xml),
};

_Static_assert(sizeof(vcard) / sizeof(vcard[0]) == VCARD_COLUMNS && VCARD_COLUMNS <= STORE_COLUMNS, "vcard");
_Static_assert(STORE_COLUMNS <= 64, "a bit per column in struct stmt");

/* Sets of columns. */
#define C(column) (UINT64_C(1) << (column))

static const struct {
	uint64_t not_null, default_zero;
} rules[T_COUNT] = {
	[T_ACTIVE] = { C(ACTIVE_TIME), C(ACTIVE_TIME) },
	[T_LOGOUT] = { C(LOGOUT_TIME), C(LOGOUT_TIME) },
	[T_ROSTER_ITEMS] = { C(ITEM_JID) | C(ITEM_TO) | C(ITEM_FROM) | C(ITEM_ASK), 0 },
	[T_ROSTER_GROUPS] = { C(GROUP_JID) | C(GROUP_GROUP), 0 },
	[T_PUBLISHED_ROSTER] = { C(PUBITEM_JID) | C(PUBITEM_TO) | C(PUBITEM_FROM) | C(PUBITEM_ASK), 0 },
	[T_PUBLISHED_ROSTER_GROUPS] = { C(PUBGROUP_NAME), 0 },
	[T_QUEUE] = { C(QUEUE_XML), 0 },
	[T_MOTD_MESSAGE] = { C(MOTD_XML), 0 },
	[T_MOTD_TIMES] = { C(MOTD_TIME), 0 },
	[T_PRIVACY_ITEMS] = { C(PRIVITEM_LIST), 0 },
	[T_STATUS] = { C(STATUS_STATUS), C(STATUS_LOGIN) | C(STATUS_LOGOUT) },
	[T_VERIFY] = { C(VERIFY_EMAIL), C(VERIFY_STATE) },
	[T_ROSTER_VERSION] = { C(RVERSION_EPOCH) | C(RVERSION_NUMBER) | C(RVERSION_DIGEST), 0 },
	[T_ROSTER_CHANGES] = { C(RCHANGE_JID) | C(RCHANGE_NUMBER), 0 },
	[T_PENDING] = { C(PENDING_JID), 0 },
	[T_VCARD_XML] = { C(VCARDXML_XML), 0 },
};

bool schema_not_null(enum store_table t, int column)
{
	return rules[t].not_null >> column & 1;
}

bool schema_default_zero(enum store_table t, int column)
{
	return rules[t].default_zero >> column & 1;
}

const struct schema_index schema_indexes[] = {
	{ "i_active_collection_owner", T_ACTIVE, STORE_ALL, false },
	{ "i_rosteri_owner", T_ROSTER_ITEMS, STORE_ALL, false },
	{ "i_rosterg_owner", T_ROSTER_GROUPS, STORE_ALL, false },
	{ "i_rosterg_owner_jid", T_ROSTER_GROUPS, GROUP_JID, false },
	{ "i_pubrosteri_owner", T_PUBLISHED_ROSTER, STORE_ALL, false },
	{ "i_pubrosterg_owner", T_PUBLISHED_ROSTER_GROUPS, STORE_ALL, false },
	{ "i_vcard_owner", T_VCARD, STORE_ALL, false },
	{ "i_queue_owner", T_QUEUE, STORE_ALL, false },
	{ "i_private_owner", T_PRIVATE, STORE_ALL, false },
	{ "i_privacyi_owner", T_PRIVACY_ITEMS, STORE_ALL, false },
	{ "i_shardsm_logout", T_LOGOUT, STORE_ALL, true },
	{ "i_shardsm_motd_times", T_MOTD_TIMES, STORE_ALL, true },
	{ "i_shardsm_privacy_default", T_PRIVACY_DEFAULT, STORE_ALL, true },
	{ "i_shardsm_vacation", T_VACATION, STORE_ALL, true },
	{ "i_shardsm_status", T_STATUS, STORE_ALL, true },
	{ "i_shardsm_verify", T_VERIFY, STORE_ALL, true },
	{ "i_shardsm_roster_version", T_ROSTER_VERSION, STORE_ALL, true },
	{ "i_shardsm_roster_changes", T_ROSTER_CHANGES, RCHANGE_JID, true },
	{ "i_shardsm_pending", T_PENDING, PENDING_JID, true },
	{ "i_shardsm_vcard_xml", T_VCARD_XML, STORE_ALL, true },
};
const unsigned schema_nindexes = sizeof(schema_indexes) / sizeof(schema_indexes[0]);

const char *const schema_authreg[] = {
	"CREATE TABLE \"authreg\" (\"username\" TEXT NOT NULL, \"realm\" TEXT NOT NULL, \"password\" TEXT)",
	"CREATE INDEX \"i_authreg_username\" ON \"authreg\" (\"username\")",
	"CREATE INDEX \"i_authreg_realm\" ON \"authreg\" (\"realm\")",
};
const unsigned schema_nauthreg = sizeof(schema_authreg) / sizeof(schema_authreg[0]);
