/* names_threads.c - readers look names up while others bind and unbind them.
 * Threads: READERS readers and a writer. A plain main(), so that ThreadSanitizer can watch it.
 * Owns: everything until the end of main.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../check_or_exit.h"
#include "shardsm/hash.h"
#include "shardsm/names.h"
#include "shardsm/rcu.h"
#include "sink.h"

#define READERS 3
#define ROUNDS 2000

static struct names *names;
static _Atomic bool over;
static _Atomic unsigned long found;

static void *reader(void *arg)
{
	struct out_tray *tray = out_tray_new();

	(void)arg;
	rcu_thread_start();
	while (!atomic_load(&over)) {
		rcu_enter();
		for (int i = 0; i < 10; i++) {
			struct outbox *ob = names_find_rcu(names, SPAN("busy"), NULL);

			/* A freed link would be a use after free here, or a clash in its write. */
			if (ob) {
				CHECK(out_put(tray, ob, SPAN("x")));
				atomic_fetch_add(&found, 1);
			}
			CHECK(names_find_rcu(names, SPAN("steady"), NULL));
		}
		out_flush(tray);
		rcu_leave();
		rcu_quiet();
	}
	out_tray_free(&tray);
	rcu_thread_end();
	return NULL;
}

int main(void)
{
	static struct sink steady, links[ROUNDS];
	pthread_t threads[READERS];

	hash_init();
	rcu_thread_start();
	names = names_new();
	sink_init(&steady, 1000);
	CHECK(names_bind(names, SPAN("steady"), 0, &steady.ob) == NAMES_OK);
	for (int i = 0; i < READERS; i++)
		CHECK(pthread_create(&threads[i], NULL, reader, NULL) == 0);
	for (int i = 0; i < ROUNDS || !atomic_load(&found); i++) {
		struct sink *s = &links[i % ROUNDS];
		struct outbox *ob = &s->ob;

		if (i >= ROUNDS) {
			rcu_quiet();
			rcu_settle();
			sink_fini(s);
		}
		sink_init(s, 1u << 30);
		CHECK(names_bind(names, SPAN("busy"), 0, &s->ob) == NAMES_OK);
		rcu_quiet();
		CHECK(names_unbind(names, SPAN("busy"), &s->ob));
		outbox_close(ob);
		outbox_unref(&ob);
	}
	atomic_store(&over, true);
	rcu_sleep();
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	rcu_wake();
	names_free(&names);
	rcu_settle();
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(links[i].freed == 1);
		CHECK(links[i].clashes == 0);
		sink_fini(&links[i]);
	}
	sink_fini(&steady);
	rcu_thread_end();
	return 0;
}
