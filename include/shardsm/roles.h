/* roles.h - whose data it is, in words that clang checks (-Wthread-safety, in a developer's build with clang); gcc reads past them.
 * Threads: a value.
 * To be a shard's thread is a capability, role_shard. What is SHARDS may be touched, and what runs ON_SHARD called, by its holder alone.
 * src/shard/shard.h turns the check on for the files that include it; in them the functions of the shard's own thread stand between
 * SHARD_THREAD_BEGIN and SHARD_THREAD_END, and everything outside is another thread's. A module's functions are all the shard's.
 */
#ifndef SHARDSM_ROLES_H
#define SHARDSM_ROLES_H

#ifdef __clang__
#define ROLE_ATTRIBUTE(x) __attribute__((x))
#define SHARD_THREAD_BEGIN _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wthread-safety-analysis\"")
#define SHARD_THREAD_END _Pragma("clang diagnostic pop")
#else
#define ROLE_ATTRIBUTE(x)
#define SHARD_THREAD_BEGIN
#define SHARD_THREAD_END
#endif

struct ROLE_ATTRIBUTE(capability("role")) role { char unused; };
extern struct role role_shard; /* declared, never defined: it is for the compiler alone */

#define SHARDS ROLE_ATTRIBUTE(guarded_by(role_shard))
#define ON_SHARD ROLE_ATTRIBUTE(requires_capability(role_shard))

#ifdef __clang__
#pragma clang diagnostic ignored "-Wthread-safety-analysis" /* a module's are all the shard's */
#endif

/* Main's, while no shard's thread runs, before the start and after the end: what they own is its own. */
static inline void no_shard_runs(void) ROLE_ATTRIBUTE(assert_capability(role_shard));
static inline void no_shard_runs(void)
{
}

#endif
