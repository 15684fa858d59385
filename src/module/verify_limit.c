/* verify_limit.c - how often a user may ask for a mail, and guess.
 * Threads: any; a lock is held for the look at one set.
 * Owns: the table.
 */
#include <pthread.h>
#include <string.h>

#include "module/verify.h"
#include "shardsm/clock.h"

#define WINDOW 3600 /* seconds */
#define WAYS 8u
#define SETS 8192u

struct tally {
	uint64_t who; /* never 0 in use */
	uint32_t since;
	uint16_t mails;
	uint16_t guesses;
};

static struct tally table[SETS][WAYS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_over(const struct tally *t, int64_t now)
{
	return !t->who || now - t->since >= WINDOW || now < t->since;
}

/* That of who, begun where there was none. NULL: no room. */
static struct tally *tally_of(uint64_t who, int64_t now)
{
	struct tally *set = table[who % SETS], *unused = NULL;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].who == who && !is_over(&set[i], now))
			return &set[i];
		if (is_over(&set[i], now))
			unused = &set[i];
	}
	if (unused)
		*unused = (struct tally){ .who = who, .since = (uint32_t)now };
	return unused;
}

unsigned verify_wait_mail(uint64_t who, unsigned most)
{
	int64_t now = clock_wall();
	unsigned minutes = WINDOW / 60;

	pthread_mutex_lock(&lock);
	const struct tally *t = tally_of(who, now);

	if (t)
		minutes = t->mails < most ? 0 : (unsigned)(t->since + WINDOW - now + 59) / 60;
	pthread_mutex_unlock(&lock);
	return minutes;
}

void verify_count_mail(uint64_t who)
{
	pthread_mutex_lock(&lock);
	struct tally *t = tally_of(who, clock_wall());

	if (t) {
		t->mails++;
		t->guesses = 0;
	}
	pthread_mutex_unlock(&lock);
}

bool verify_may_guess(uint64_t who)
{
	pthread_mutex_lock(&lock);
	struct tally *t = tally_of(who, clock_wall());
	bool may = t && t->guesses < VERIFY_GUESSES;

	if (may)
		t->guesses++;
	pthread_mutex_unlock(&lock);
	return may;
}

unsigned verify_guesses_left(uint64_t who)
{
	pthread_mutex_lock(&lock);
	const struct tally *t = tally_of(who, clock_wall());
	unsigned left = t ? VERIFY_GUESSES - t->guesses : 0;

	pthread_mutex_unlock(&lock);
	return left;
}
