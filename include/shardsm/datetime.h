/* datetime.h - dates and times as XMPP writes them: XEP-0082, and the older form of jabber:x:delay.
 * Threads: any; values.
 * Owns: nothing.
 */
#ifndef SHARDSM_DATETIME_H
#define SHARDSM_DATETIME_H

#include "shardsm/span.h"

/* "2026-11-22T06:17:03Z", with a fraction (dropped) and "+01:00" instead of "Z" allowed; or "20261122T06:17:03", which is UTC.
 * Unix seconds. False: it is neither, or there is no such day or hour. */
bool datetime_read(struct span text, int64_t *unix_seconds) MUST_USE;

#endif
