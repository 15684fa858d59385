/* check_or_exit.h - what a test without Criterion, with threads that a sanitizer watches, holds to be true.
 * Threads: any.
 * Owns: nothing.
 */
#ifndef TESTS_CHECK_OR_EXIT_H
#define TESTS_CHECK_OR_EXIT_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(ok) \
	do { \
		if (!(ok)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok); \
			exit(1); \
		} \
	} while (0)

#endif
