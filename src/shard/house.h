/* house.h - the place for one session in its user's memory.
 * Threads: the owning shard's.
 * Owns: nothing. A house without a session is none of anybody's business: AddressSanitizer reports who looks into it. The text is its user's too.
 */
#ifndef SHARDSM_SHARD_HOUSE_H
#define SHARDSM_SHARD_HOUSE_H

#include <stddef.h>

#include "shardsm/user.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define house_open(s) ASAN_UNPOISON_MEMORY_REGION(s, offsetof(struct session, text))
#define house_close(s) ASAN_POISON_MEMORY_REGION(s, offsetof(struct session, text))
#else
#define house_open(s) ((void)(s))
#define house_close(s) ((void)(s))
#endif

/* A user's size is a multiple of 16, as the index wants of its items. */
_Static_assert(sizeof(struct user) % 16 == 0, "a session in its house stands where the index can say so");
_Static_assert(sizeof(struct user) + offsetof(struct session, text) <= UINT8_MAX, "text_at holds it");

static inline struct session *user_house(struct user *u) { return (struct session *)(u + 1); }

#endif
