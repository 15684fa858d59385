/* failing_vfs.c - SQLite's own VFS with a door in front of each call.
 * Threads: any; the count is under a mutex.
 * Owns: nothing: files are the real VFS's, in the memory behind ours.
 */
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#include "failing_vfs.h"

const char *const vfs_fault_names[VFS_FAULTS] = { "read error", "short read", "write error", "full disk", "failing sync", "lock held",
	"corrupt page" };

struct file {
	sqlite3_file base;
	bool main;
	sqlite3_file *real; /* right behind */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static enum vfs_fault armed;
static unsigned left, behind;
static bool reached;
static sqlite3_vfs *real;

void vfs_arm(enum vfs_fault fault, unsigned n, unsigned more)
{
	pthread_mutex_lock(&mutex);
	armed = fault;
	left = n;
	behind = more;
	reached = false;
	pthread_mutex_unlock(&mutex);
}

bool vfs_heal(void)
{
	pthread_mutex_lock(&mutex);
	left = 0;
	bool was = reached;

	pthread_mutex_unlock(&mutex);
	return was;
}

static bool fails(enum vfs_fault fault)
{
	bool now = false;

	pthread_mutex_lock(&mutex);
	if (left && armed == fault && --left == 0) {
		now = reached = true;
		if (behind) {
			behind--;
			left = 1;
		}
	}
	pthread_mutex_unlock(&mutex);
	return now;
}

#define REAL(f) (((struct file *)(f))->real)
#define PASS(f, call, ...) (REAL(f)->pMethods->call(REAL(f), ##__VA_ARGS__))

static int f_close(sqlite3_file *f) { return PASS(f, xClose); }

static int f_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	if (fails(FAULT_READ))
		return SQLITE_IOERR_READ;
	int rc = PASS(f, xRead, to, n, at);

	if (rc == SQLITE_OK && fails(FAULT_SHORT_READ)) {
		memset(to, 0, (size_t)n);
		return SQLITE_IOERR_SHORT_READ;
	}
	/* A page of the database itself, as a broken sector gives it. */
	if (rc == SQLITE_OK && ((struct file *)f)->main && n >= 512 && fails(FAULT_CORRUPT))
		memset(to, 0xa5, (size_t)n);
	return rc;
}

static int f_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	if (fails(FAULT_WRITE))
		return SQLITE_IOERR_WRITE;
	if (fails(FAULT_FULL)) {
		/* As a disk that fills up in the middle of it does. */
		PASS(f, xWrite, from, n / 2, at);
		return SQLITE_FULL;
	}
	return PASS(f, xWrite, from, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size) { return fails(FAULT_WRITE) ? SQLITE_IOERR_TRUNCATE : PASS(f, xTruncate, size); }
static int f_sync(sqlite3_file *f, int flags) { return fails(FAULT_SYNC) ? SQLITE_IOERR_FSYNC : PASS(f, xSync, flags); }
static int f_size(sqlite3_file *f, sqlite3_int64 *size) { return fails(FAULT_READ) ? SQLITE_IOERR_FSTAT : PASS(f, xFileSize, size); }
static int f_lock(sqlite3_file *f, int lock) { return fails(FAULT_LOCK) ? SQLITE_BUSY : PASS(f, xLock, lock); }
static int f_unlock(sqlite3_file *f, int lock) { return PASS(f, xUnlock, lock); }
static int f_reserved(sqlite3_file *f, int *out) { return PASS(f, xCheckReservedLock, out); }
static int f_control(sqlite3_file *f, int op, void *arg) { return PASS(f, xFileControl, op, arg); }
static int f_sector(sqlite3_file *f) { return PASS(f, xSectorSize); }
static int f_device(sqlite3_file *f) { return PASS(f, xDeviceCharacteristics); }

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out) { return PASS(f, xShmMap, page, size, extend, out); }

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return (flags & SQLITE_SHM_LOCK) && fails(FAULT_LOCK) ? SQLITE_BUSY : PASS(f, xShmLock, at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f) { PASS(f, xShmBarrier); }
static int f_shm_unmap(sqlite3_file *f, int delete) { return PASS(f, xShmUnmap, delete); }

static const sqlite3_io_methods methods = { 2, f_close, f_read, f_write, f_truncate, f_sync, f_size, f_lock, f_unlock, f_reserved, f_control,
	f_sector, f_device, f_shm_map, f_shm_lock, f_shm_barrier, f_shm_unmap, NULL, NULL };

static int v_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct file *f = (struct file *)file;

	(void)vfs;
	f->base.pMethods = NULL;
	f->real = (sqlite3_file *)(f + 1);
	f->main = flags & SQLITE_OPEN_MAIN_DB;
	int rc = real->xOpen(real, name, f->real, flags, out);

	if (f->real->pMethods)
		f->base.pMethods = &methods;
	return rc;
}

void vfs_install(void)
{
	static sqlite3_vfs failing;

	real = sqlite3_vfs_find(NULL);
	failing = *real;
	failing.szOsFile = (int)sizeof(struct file) + real->szOsFile;
	failing.zName = "failing";
	failing.pNext = NULL;
	failing.xOpen = v_open;
	sqlite3_vfs_register(&failing, 1);
}
