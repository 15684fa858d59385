/* options.h - the command line.
 * Threads: one.
 * Owns: nothing; options borrow the command line.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "bench.h"

void options_parse(struct options *o, int argc, char **argv); /* ends the program when they are wrong */

#endif
