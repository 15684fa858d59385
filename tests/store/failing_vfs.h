/* failing_vfs.h - SQLite on a disk that fails: the n-th call fails, in one way or another, and some behind it.
 * Threads: faults are armed by the test's; the store's threads make the calls.
 * Owns: nothing.
 */
#ifndef TESTS_FAILING_VFS_H
#define TESTS_FAILING_VFS_H

#include <stdbool.h>

enum vfs_fault { FAULT_READ, FAULT_SHORT_READ, FAULT_WRITE, FAULT_FULL, FAULT_SYNC, FAULT_LOCK, FAULT_CORRUPT, VFS_FAULTS };
extern const char *const vfs_fault_names[VFS_FAULTS];

/* Becomes the default. Once, before the first open. */
void vfs_install(void);
/* From now on the n-th call of the kind (reads, writes, ...) fails, and `more` behind it. n 0: none. */
void vfs_arm(enum vfs_fault fault, unsigned n, unsigned more);
/* The disk is well again. True: the n-th was reached. */
bool vfs_heal(void);

#endif
