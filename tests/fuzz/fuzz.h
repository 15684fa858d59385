/* fuzz.h - what libFuzzer, or fuzz_replay.c in its stead, calls.
 * Threads: one.
 * Owns: nothing.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Aborts where a promise is broken. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
