/* cmdline.c - the command line: jabberd2's, and --version and --check.
 * Threads: main, at start.
 * Owns: nothing; the result points into argv.
 */
#include "shardsm/options.h"

#include <getopt.h>
#include <stdio.h>

#include "config.h"

enum { OPT_VERSION = 256, OPT_CHECK };

static const struct option long_options[] = {
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static void usage(void)
{
	puts("usage: shardsm [-c FILE] [-i ID] [-D] [--check]\n"
	     "  -c FILE    configuration, jabberd2's sm.xml [" SYSCONFDIR "/sm.xml]\n"
	     "  -i ID      component id, instead of the file's <id>\n"
	     "  -D         debug lines in the log\n"
	     "  --check    read the configuration, open the database, say what was found, exit\n"
	     "  --version  print the version, exit\n"
	     "  -h         print this, exit");
}

bool cmdline_read(struct cmdline *c, int argc, char **argv, int *status)
{
	int opt;
	*c = (struct cmdline){ .config_path = SYSCONFDIR "/sm.xml" };
	*status = 1; /* also for -h, as jabberd2 */
	opterr = 0;  /* usage says it, and on stdout */
	optind = 0;  /* from the start, also when called twice */
	while ((opt = getopt_long(argc, argv, "c:i:Dh?", long_options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			c->config_path = optarg;
			break;
		case 'i':
			c->id = optarg;
			break;
		case 'D':
			c->debug = true;
			break;
		case OPT_CHECK:
			c->check = true;
			break;
		case OPT_VERSION:
			puts(PACKAGE_STRING);
			*status = 0;
			return false;
		default:
			usage();
			return false;
		}
	}
	if (optind < argc) {
		usage();
		return false;
	}
	return true;
}
