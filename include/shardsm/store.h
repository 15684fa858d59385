/* store.h - the database behind one interface, spoken to asynchronously.
 * Threads: shards build requests and submit them; a store thread carries them out; the request comes back as its own answer, as a
 * LETTER_STORE in the mailbox that was named.
 * Owns: a request owns everything in it (statements, values, results). Submitting hands it over, the answer hands it back.
 *
 * Order: writes take effect in the order submitted, from every thread. A read sees every write that was answered before it was submitted; with
 * STORE_AFTER_WRITES it sees every write submitted before it.
 * Durability: a write is answered after the commit of the group that it is in. A request is atomic: all of its statements or none.
 * Where the config keeps kinds of data in different databases, that holds in each of them: a request that needs several and
 * fails may have happened in one of them.
 * The tables and encodings are jabberd2 2.7.0's.
 */
#ifndef SHARDSM_STORE_H
#define SHARDSM_STORE_H

#include "shardsm/mailbox.h"
#include "shardsm/span.h"

enum store_table {
	T_ACTIVE, T_LOGOUT, T_ROSTER_ITEMS, T_ROSTER_GROUPS, T_PUBLISHED_ROSTER, T_PUBLISHED_ROSTER_GROUPS, T_VCARD, T_QUEUE,
	T_PRIVATE, T_MOTD_MESSAGE, T_MOTD_TIMES, T_PRIVACY_DEFAULT, T_PRIVACY_ITEMS, T_VACATION, T_STATUS, T_VERIFY,
	T_PENDING, /* ours: "roster-pending" (jid, xml): subscription requests that were not answered yet */
	T_VCARD_XML, /* ours: "vcard-xml" (xml): the vCard whole, where T_VCARD has columns for a part of it; no "NAD" in front */
	T_ROSTER_VERSION, /* ours: "roster-version" (epoch, number, digest) */
	T_ROSTER_CHANGES, /* ours: "roster-changes" (jid, number): the last change of each contact since the epoch began */
	T_COUNT
};

/* Columns by table, in the order of values; "collection-owner" and "object-sequence" are not among them. */
enum { ACTIVE_TIME };
enum { LOGOUT_TIME };
enum { ITEM_JID, ITEM_NAME, ITEM_TO, ITEM_FROM, ITEM_ASK };
enum { GROUP_JID, GROUP_GROUP };
enum { PUBITEM_JID, PUBITEM_GROUP, PUBITEM_NAME, PUBITEM_TO, PUBITEM_FROM, PUBITEM_ASK };
enum { PUBGROUP_NAME };
enum { QUEUE_XML };
enum { PRIVATE_NS, PRIVATE_XML };
enum { MOTD_XML };
enum { MOTD_TIME };
enum { PRIVDEF_DEFAULT };
enum { PRIVITEM_LIST, PRIVITEM_TYPE, PRIVITEM_VALUE, PRIVITEM_DENY, PRIVITEM_ORDER, PRIVITEM_BLOCK };
enum { VACATION_START, VACATION_END, VACATION_MESSAGE };
enum { STATUS_STATUS, STATUS_SHOW, STATUS_LOGIN, STATUS_LOGOUT, STATUS_XML };
enum { VERIFY_EMAIL, VERIFY_CODE, VERIFY_STATE };
enum { PENDING_JID, PENDING_XML };
enum { RVERSION_EPOCH, RVERSION_NUMBER, RVERSION_DIGEST };
enum { RCHANGE_JID, RCHANGE_NUMBER };
enum { VCARDXML_XML };
#define STORE_COLUMNS 48 /* the widest table (vcard, 43) fits */

enum column_type { COL_TEXT, COL_INT, COL_BOOL, COL_XML };
struct column { const char *name; enum column_type type; };
struct table {
	const char *name;
	const struct column *columns;
	uint8_t ncolumns;
	bool ours; /* not one of jabberd2's: created when missing in an existing database too */
};
/* Fixed once the store is open: the one name that the config may choose is that of T_PUBLISHED_ROSTER. */
extern struct table store_tables[T_COUNT];

enum value_kind { VALUE_NULL, VALUE_INT, VALUE_TEXT };
struct value {
	uint8_t kind; /* enum value_kind; booleans are VALUE_INT 0/1; XML columns are text with jabberd2's "NAD" in front */
	int64_t i;
	struct span s;
};
static inline struct value value_int(int64_t i) { return (struct value){ VALUE_INT, i, { 0 } }; }
static inline struct value value_text(struct span s) { return (struct value){ VALUE_TEXT, 0, s }; }
static inline struct value value_null(void) { return (struct value){ 0 }; }

enum store_status {
	STORE_OK,
	STORE_FAILED, /* the database said no: error says why; nothing of the request happened. The exceptions: a database server whose
	               * connection broke at the commit and that cannot say what became of it (error says "stored or not"); and an SQLite
	               * file whose disk failed at the commit's sync, fails on, and loses power before anything else could be written */
	STORE_FULL,   /* disk full, locked by another process or away for too long, or the queue is full: try again later */
};

struct store;
struct store_req; /* begins with a struct letter */

/* owner: the bare JID (or what the table is keyed by), copied. NULL: no memory. Statement builders copy their values; a failed one marks
 * the request, and submitting answers STORE_FAILED: no need to check each. Each returns the statement's index, for the answer. */
struct store_req *store_req_new(struct span owner) MUST_USE;
void store_req_free(struct store_req **req);

#define STORE_ALL (-1)
/* filter_column: STORE_ALL, or a column whose value must equal filter. Rows come in "object-sequence" order. */
int store_get(struct store_req *req, enum store_table t, int filter_column, struct value filter);
/* At most limit rows with a sequence above after. */
int store_get_page(struct store_req *req, enum store_table t, int64_t after, uint32_t limit);
int store_count(struct store_req *req, enum store_table t, int filter_column, struct value filter); /* answer: one row, one value */
/* values: table.ncolumns of them, in column order; null ones are not written. */
int store_put(struct store_req *req, enum store_table t, const struct value *values);
/* The owner's row gets the values that are not null; what is null stays as it is. Where the owner has no row, one is made. */
int store_merge(struct store_req *req, enum store_table t, const struct value *values);
int store_delete(struct store_req *req, enum store_table t, int filter_column, struct value filter);
int store_delete_upto(struct store_req *req, enum store_table t, int64_t sequence); /* rows with sequence <= this */
/* The following statements are for another owner (copied). */
void store_owner(struct store_req *req, struct span owner);

enum store_flags {
	STORE_AFTER_WRITES = 1, /* a read: behind every write submitted before it */
	STORE_QUIET = 2,        /* a write that nobody waits for: where such writes alone are there it is a few ms later with more of them */
};

/* Takes the request; answers to mailbox `to` with the poster's token. Never blocks. When the queue is full or the request is marked
 * failed it is answered all the same (STORE_FULL, STORE_FAILED), so every submit has exactly one answer. */
void store_submit(struct store *store, struct store_req **req, struct mailbox *to, uint64_t token, unsigned flags);

/* The answer, read by the thread whose mailbox it came to. */
enum store_status store_status(const struct store_req *req);
const char *store_error(const struct store_req *req);     /* for the log */
uint64_t store_token(const struct store_req *req);
struct span store_req_owner(const struct store_req *req); /* the first owner */
uint32_t store_rows(const struct store_req *req, int statement);
struct value store_value(const struct store_req *req, int statement, uint32_t row, int column);
int64_t store_sequence(const struct store_req *req, int statement, uint32_t row);

/* Where the request came from and what it is for: free fields for the poster, kept untouched. */
struct store_tag { void (*fn)(void); uint64_t a; void *owned; };
struct store_tag *store_tag(struct store_req *req);

struct config;
/* Opens what <storage> names, creates the schema in an empty database, starts the threads. NULL: why was logged or, for a bad
 * value, counted in config_errors(), with what would be right (a path, a missing table, an unknown driver). */
struct store *store_open(struct config *config, unsigned threads) MUST_USE;
/* The bad values of <storage> alone, counted in config_errors(): for a config that is not opened. */
void store_check_config(struct config *config);
/* Carries out everything submitted, answers it, stops the threads, closes. */
void store_close(struct store **store);
/* For --check: opens what is there, closes it, and says in one line what was found: "sqlite, /var/lib/jabberd2/sqlite.db, jabberd2 schema,
 * 12 users". A database file that a start would make is not made, that is said instead. False: as with store_open(). */
bool store_look(struct config *config, unsigned threads, char *out, size_t cap) MUST_USE;
/* That line of an open store. */
void store_describe(struct store *store, char *out, size_t cap);

#endif
