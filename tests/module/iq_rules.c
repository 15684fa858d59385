/* iq_rules.c - what every module that is linked in answers: a line for each kind of request, for the tests that must know them all.
 * Threads: one.
 * Owns: nothing.
 */
#include <stdio.h>

#include "shardsm/module.h"

static void print(const char *module, const struct iq_rule *rule)
{
	static const struct { unsigned bit; const char *name; } types[] = { { IQ_GET, "get" }, { IQ_SET, "set" } },
		scopes[] = { { TO_SELF, "self" }, { TO_SERVER, "server" }, { TO_ACCOUNT, "account" } };

	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
		for (size_t s = 0; s < sizeof(scopes) / sizeof(scopes[0]); s++)
			if ((rule->types & types[t].bit) && (rule->scope & scopes[s].bit))
				printf("%s %s %s %s\n", module, types[t].name, scopes[s].name, rule->ns);
}

int main(void)
{
	for (const struct module *const *m = modules_all; *m; m++)
		for (const struct iq_rule *rule = (*m)->iq; rule && rule->types; rule++)
			print((*m)->name, rule);
	return 0;
}
