/* other_thread.c - what another thread than the shard's does with its users. Not built: tests/shard/roles.sh shows it to clang.
 * Threads: as MAY says.
 * Owns: nothing.
 */
#include "shard/shard.h"

uint32_t look_at_user(const struct user *u);
void change_session(struct session *s);
struct user *find(struct shard *shard, struct span bare);

#ifdef SHARDS_OWN
SHARD_THREAD_BEGIN
#endif

uint32_t look_at_user(const struct user *u)
{
	return u->nwaiting;
}

void change_session(struct session *s)
{
	s->priority = 1;
}

struct user *find(struct shard *shard, struct span bare)
{
	return user_find(shard, bare, hash_bytes(bare));
}

#ifdef SHARDS_OWN
SHARD_THREAD_END
#endif
