/* session.c - jabberd2's name in the chains for what dispatch does itself: sessions and the packets in them.
 * Threads: constant.
 * Owns: nothing.
 */
#include "shardsm/module.h"

const struct module module_session = { .name = "session" };
