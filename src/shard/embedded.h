/* embedded.h - the place for one session in its user's memory.
 * Threads: the owning shard's.
 * Owns: nothing. While no session is there, AddressSanitizer reports who looks into the place; the text in it is the user's too.
 */
#ifndef SHARDSM_SHARD_EMBEDDED_H
#define SHARDSM_SHARD_EMBEDDED_H

#include <stddef.h>

#include "shardsm/user.h"

#ifdef __has_feature /* clang; gcc says it by a macro */
#define ASAN_BUILD __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define ASAN_BUILD 1
#else
#define ASAN_BUILD 0
#endif

#if ASAN_BUILD
#include <sanitizer/asan_interface.h>
#define embedded_open(s) ASAN_UNPOISON_MEMORY_REGION(s, offsetof(struct session, text))
#define embedded_close(s) ASAN_POISON_MEMORY_REGION(s, offsetof(struct session, text))
#else
#define embedded_open(s) ((void)(s))
#define embedded_close(s) ((void)(s))
#endif

_Static_assert(sizeof(struct user) % 16 == 0, "the index wants a session behind it to begin at a multiple of 16");
_Static_assert(sizeof(struct user) + offsetof(struct session, text) <= UINT8_MAX, "text_at holds it");

static inline struct session *user_embedded(struct user *u) { return (struct session *)(u + 1); }

#endif
