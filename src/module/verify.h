/* verify.h - how often a user may ask for a mail, and guess.
 * Threads: any; calls are short and take turns.
 * Owns: a table of bounded size. Who finds no room in it is refused, so filling it gives nobody more tries.
 * Kept in memory, by hash, for an hour from the first count on: a user that signs out, or is deleted and comes again, is still known.
 */
#ifndef SHARDSM_MODULE_VERIFY_H
#define SHARDSM_MODULE_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#define VERIFY_GUESSES 5u /* for one code */

/* Minutes until another mail may be sent for `who`, an account or an address; 0: now. */
unsigned verify_wait_mail(uint64_t who, unsigned most);
void verify_count_mail(uint64_t who); /* and a new code may be guessed at */
/* May `who` try a code? If so it is counted. */
bool verify_may_guess(uint64_t who);
unsigned verify_guesses_left(uint64_t who);

#endif
