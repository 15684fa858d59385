/* roster_version.c - roster versioning: which contacts changed since a client saw the roster last. RFC 6121 section 2.6.
 * Threads: shards.
 * Owns: nothing; the version in force is the user's.
 * Two tables hold it, once a client of the account has asked for it: the version in force with a digest of the roster as it was then, and for
 * each contact that was ever changed or removed the version of its last change. jabberd2's sm knows nothing of them: where the digest is not the
 * roster's, it has edited it, and what clients remember is void.
 */
#include "module/roster.h"
#include "shardsm/log.h"

#define CHANGES_MAX 1000 /* then it begins anew: the table of changes stays small whatever a client does */

/* --- the digest: unkeyed, the same after a restart; it tells edits apart, it does not withstand anybody ---------------------- */

static uint64_t mix(uint64_t h, struct span s)
{
	for (uint32_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return (h ^ 0xff) * UINT64_C(0x100000001b3);                    /* no byte of UTF-8: the end of a field */
}

/* A sum of these does not depend on an order that databases do not keep. */
static uint64_t spread(uint64_t h)
{
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 33;
}

static uint64_t digest_of(const struct roster_item *item)
{
	const char state[] = { (char)('0' + item->to), (char)('0' + item->from), (char)('0' + item->ask), item->named ? 'n' : '-' };
	uint64_t h = mix(UINT64_C(0xcbf29ce484222325), item_jid(item)), groups = 0;
	const char *at = NULL;

	h = mix(mix(h, span_of(state, sizeof(state))), item_name(item));
	for (uint16_t i = 0; i < item->ngroups; i++)
		groups += spread(mix(UINT64_C(0xcbf29ce484222325), item_group(item, &at)));
	return spread(h + groups);
}

/* --- the version ------------------------------------------------------------------------------------------------------------- */

struct roster_version roster_version_after(const struct user *u, const struct roster_item *old, const struct roster_item *new)
{
	struct roster_version v = user_roster(u)->version;

	v.digest += (new ? digest_of(new) : 0) - (old ? digest_of(old) : 0);
	if (++v.number > CHANGES_MAX) {
		v.epoch++;
		v.number = 1;
	}
	return v;
}

static void write_version(struct store_req *req, const struct roster_version *v)
{
	struct buf epoch, digest;

	buf_init(&epoch);
	buf_init(&digest);
	buf_fmt(&epoch, "%016llx", (unsigned long long)v->epoch);
	buf_fmt(&digest, "%016llx", (unsigned long long)v->digest);
	if (!epoch.failed && !digest.failed)
		store_merge(req, T_ROSTER_VERSION, (struct value[]){ [RVERSION_EPOCH] = value_text(buf_span(&epoch)),
			[RVERSION_NUMBER] = value_int(v->number), [RVERSION_DIGEST] = value_text(buf_span(&digest)) });
	buf_free(&epoch);
	buf_free(&digest);
}

void roster_version_write(struct store_req *req, const struct roster_version *v, struct span jid)
{
	if (!v->used)
		return;
	write_version(req, v);
	store_delete(req, T_ROSTER_CHANGES, v->number > 1 ? RCHANGE_JID : STORE_ALL, v->number > 1 ? value_text(jid) : value_null());
	store_put(req, T_ROSTER_CHANGES, (struct value[]){ [RCHANGE_JID] = value_text(jid), [RCHANGE_NUMBER] = value_int(v->number) });
}

void roster_version_use(struct event *ev)
{
	struct user *u = ev->user;
	struct roster_version v = user_roster(u)->version;
	struct store_req *req;

	if (v.used || !hash_random(&v.epoch, sizeof(v.epoch)))
		return;
	v.used = true;
	if (!roster_version_put(u, &v))
		return;
	req = store_req_new(user_bare(u));
	if (req) {
		write_version(req, &v);
		store_delete(req, T_ROSTER_CHANGES, STORE_ALL, value_null());
	}
	store_write_of(u, &req); /* should it fail: clients get the whole roster once more */
}

int roster_version_ask(struct store_req *req)
{
	return store_get(req, T_ROSTER_VERSION, STORE_ALL, value_null());
}

static bool read_hex(struct span text, uint64_t *out)
{
	*out = 0;
	for (uint32_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		*out = *out << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return text.n == 16;
}

bool roster_version_load(struct user *u, const struct store_req *req, int stmt)
{
	const struct roster *r = user_roster(u);
	struct roster_version v = { 0 };
	uint64_t epoch, stored;

	for (uint32_t i = 0; i < r->n; i++)
		v.digest += digest_of(r->items[i]);
	if (store_rows(req, stmt) && read_hex(store_value(req, stmt, 0, RVERSION_EPOCH).s, &epoch) &&
		read_hex(store_value(req, stmt, 0, RVERSION_DIGEST).s, &stored) && stored == v.digest) {
		int64_t number = store_value(req, stmt, 0, RVERSION_NUMBER).i;

		v.epoch = epoch;
		v.number = number >= 0 && number <= CHANGES_MAX ? (uint32_t)number : 0;
		v.used = number >= 0 && number <= CHANGES_MAX;
	}
	return (!v.used && !v.digest) || roster_version_put(u, &v);
}

void roster_version_attr(struct buf *out, const struct roster_version *v, uint32_t number)
{
	buf_fmt(out, " ver='%016llx-%u'", (unsigned long long)v->epoch, (unsigned)number);
}

bool roster_version_read(const struct roster_version *v, struct span ver, uint32_t *number)
{
	uint64_t epoch;

	if (!v->used || ver.n < 18 || ver.n > 21 || ver.p[16] != '-' || !read_hex(span_of(ver.p, 16), &epoch) || epoch != v->epoch)
		return false;
	*number = 0;
	for (uint32_t i = 17; i < ver.n; i++) {
		if (ver.p[i] < '0' || ver.p[i] > '9')
			return false;
		*number = *number * 10 + (uint32_t)(ver.p[i] - '0');
	}
	return *number <= v->number;
}
