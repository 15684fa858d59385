/* files.h - what the core tests share: files made for one test, and what the program writes to stderr.
 * Threads: one.
 * Owns: temporary files below $TMPDIR, removed by test_files_remove().
 */
#ifndef TESTS_CORE_FILES_H
#define TESTS_CORE_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* Path of a new file with this text; valid until test_files_remove(). */
const char *test_file(const char *text);
const char *test_file_bytes(const void *bytes, size_t n);
void test_file_rewrite(const char *path, const char *text);
/* Path of a file that does not exist yet. */
const char *test_path(const char *name);
/* The file's text, NUL-terminated, in a static buffer; "" where there is none. */
const char *test_read(const char *path);
void test_files_remove(void);

/* Sends descriptor 1 or 2 into a file from here on. test_caught() ends that and returns the text. */
void test_catch(int fd);
const char *test_caught(int fd);

#endif
