/* penalty.c - logins that failed, counted by address: each is answered later than the one before, and a guesser is not let in at once.
 * Threads: any acceptor; the lock is held for a look at one place.
 * Owns: nothing; the table is io's and of one size, so that many addresses cost no memory: they forget each other.
 */
#include <netinet/in.h>

#include "io/link.h"
#include "shardsm/hash.h"

#define FIRST_MS 200
#define DELAY_MAX_MS 3200        /* well within the login's time */
#define FORGIVEN_MS 300000       /* after the last failure */
#define TURNED_AWAY_FROM 8       /* failures; not on loopback addresses, which several components may share */

/* Of IPv6 the network, which is what one site has. 0: not known. */
static uint64_t address_key(const struct sockaddr *peer)
{
	const struct sockaddr_in6 *v6 = (const void *)peer;
	const struct sockaddr_in *v4 = (const void *)peer;

	if (peer->sa_family == AF_INET)
		return hash_bytes(span_of((const char *)&v4->sin_addr, sizeof v4->sin_addr)) | 1;
	if (peer->sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return hash_bytes(span_of((const char *)&v6->sin6_addr + 12, 4)) | 1;
	return hash_bytes(span_of((const char *)&v6->sin6_addr, 8)) | 1;
}

static bool on_loopback(const struct sockaddr *peer)
{
	const struct sockaddr_in6 *v6 = (const void *)peer;
	const struct sockaddr_in *v4 = (const void *)peer;

	if (peer->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return peer->sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
		(IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127);
}

static uint32_t delay_of(uint32_t failures)
{
	return failures > 4 ? DELAY_MAX_MS : FIRST_MS << (failures - 1);
}

uint32_t penalty_add(struct penalties *p, const struct sockaddr *peer, uint64_t now)
{
	uint64_t key = address_key(peer);
	struct penalty *place = &p->places[key / 2 % PENALTY_PLACES];
	uint32_t failures;

	pthread_mutex_lock(&p->lock);
	if (place->key != key || now - place->last > FORGIVEN_MS)
		*place = (struct penalty){ .key = key };
	place->last = now;
	failures = ++place->failures;
	pthread_mutex_unlock(&p->lock);
	return delay_of(failures);
}

bool penalty_turns_away(struct penalties *p, const struct sockaddr *peer, uint64_t now)
{
	uint64_t key = address_key(peer);
	struct penalty *place = &p->places[key / 2 % PENALTY_PLACES];
	bool away;

	pthread_mutex_lock(&p->lock);
	away = place->key == key && place->failures >= TURNED_AWAY_FROM && now - place->last < DELAY_MAX_MS;
	pthread_mutex_unlock(&p->lock);
	return away && !on_loopback(peer);
}
