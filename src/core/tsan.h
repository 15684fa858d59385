/* tsan.h - tells ThreadSanitizer about hand-overs that it cannot see inside liburcu.
 * Threads: any. Nothing in ordinary builds.
 */
#ifndef SHARDSM_TSAN_H
#define SHARDSM_TSAN_H

#ifdef SHARDSM_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define tsan_acquire(p) __tsan_acquire((void *)(p))
#define tsan_release(p) __tsan_release((void *)(p))
#else
#define tsan_acquire(p) ((void)(p))
#define tsan_release(p) ((void)(p))
#endif

#endif
