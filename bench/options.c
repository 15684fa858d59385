/* options.c - the command line.
 * Threads: one.
 * Owns: nothing; options borrow the command line.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "peer.h"

static const char usage_text[] =
	"usage: shardsm-bench --c2s IP:PORT | --router PORT | --relay IP:PORT [options]\n"
	"       shardsm-bench --sql [options]\n"
	"Loads a session manager and checks what comes back. Exit code 1: something was lost or wrong.\n"
	"\n"
	"  --c2s IP:PORT     dial a listening shardsm, as its c2s\n"
	"  --router PORT     wait for an sm to dial, playing its router and c2s (0: any free port)\n"
	"  --relay IP:PORT   send both ways through a program that gives back what it gets (chat alone)\n"
	"  --sql             print the statements that make the users of such a run in jabberd2's tables, and exit\n"
	"  --port-file FILE  with --router: write the port there once it listens\n"
	"  --user, --pass    of the component link (jabberd, secret)\n"
	"  --domain NAME     a domain that the sm serves (localhost)\n"
	"  --links N         with --c2s: how many c2s to be (1)\n"
	"  --name TEXT       what they are called, with a number behind it (c2s)\n"
	"  --pid PID         the sm: its processor time and memory are reported\n"
	"  --pid-file FILE   the same, read once the links stand\n"
	"  --scenario NAME   chat (the default), login, iq, presence, roster, offline, idle, mix\n"
	"  --sessions N      (200)\n"
	"  --contacts N      online contacts of each session (0); --sql makes their rosters\n"
	"  --ops N           operations: messages, pings, presence changes, ... (100000)\n"
	"  --messages N      the same\n"
	"  --window N        operations under way at most (2000)\n"
	"  --rate N          operations a second whatever the answers do; latency counts from the intended moment\n"
	"  --login-rate N    the same for starts, first presence and ends of sessions\n"
	"  --duration S      seconds after which no more is sent\n"
	"  --hold S          seconds of silence in the scenario idle (10)\n"
	"  --rounds N        of a thousand users who come and go in the scenario idle (10)\n"
	"  --body SPEC       bytes: 40 (the default), 20-2000, 40x70,200-800x25,4000x5 (with weights)\n"
	"  --partners N      recipients that one session writes to (all)\n"
	"  --to full|bare|mixed   how recipients are addressed (full); bare and mixed imply --presence\n"
	"  --presence        send initial presence first\n"
	"  --no-end          leave the sessions\n"
	"  --seed N          of the random choices (1)\n"
	"  --timeout N       seconds without progress that fail the run (30)\n"
	"  --json FILE       write the figures there; shardsm-bench-report makes a page of one or more such files\n"
	"  --label TEXT      a name for this run in the output\n"
	"  --quiet           no progress lines\n";

enum {
	OPT_C2S = 256,
	OPT_RELAY,
	OPT_SQL,
	OPT_ROUTER,
	OPT_PORT_FILE,
	OPT_USER,
	OPT_PASS,
	OPT_DOMAIN,
	OPT_LINKS,
	OPT_NAME,
	OPT_PID,
	OPT_PID_FILE,
	OPT_SCENARIO,
	OPT_SESSIONS,
	OPT_CONTACTS,
	OPT_OPS,
	OPT_LOGIN_RATE,
	OPT_DURATION,
	OPT_HOLD,
	OPT_ROUNDS,
	OPT_WINDOW,
	OPT_RATE,
	OPT_BODY,
	OPT_PARTNERS,
	OPT_TO,
	OPT_PRESENCE,
	OPT_NO_END,
	OPT_SEED,
	OPT_TIMEOUT,
	OPT_JSON,
	OPT_LABEL,
	OPT_QUIET,
	OPT_HELP
};

static const struct option long_options[] = {{"c2s", required_argument, NULL, OPT_C2S},
	{"router", required_argument, NULL, OPT_ROUTER}, {"port-file", required_argument, NULL, OPT_PORT_FILE},
	{"user", required_argument, NULL, OPT_USER}, {"pass", required_argument, NULL, OPT_PASS},
	{"domain", required_argument, NULL, OPT_DOMAIN}, {"links", required_argument, NULL, OPT_LINKS},
	{"name", required_argument, NULL, OPT_NAME},
	{"pid", required_argument, NULL, OPT_PID}, {"pid-file", required_argument, NULL, OPT_PID_FILE},
	{"scenario", required_argument, NULL, OPT_SCENARIO}, {"sessions", required_argument, NULL, OPT_SESSIONS},
	{"messages", required_argument, NULL, OPT_OPS}, {"ops", required_argument, NULL, OPT_OPS},
	{"contacts", required_argument, NULL, OPT_CONTACTS}, {"relay", required_argument, NULL, OPT_RELAY},
	{"sql", no_argument, NULL, OPT_SQL}, {"login-rate", required_argument, NULL, OPT_LOGIN_RATE},
	{"duration", required_argument, NULL, OPT_DURATION}, {"hold", required_argument, NULL, OPT_HOLD},
	{"rounds", required_argument, NULL, OPT_ROUNDS}, {"window", required_argument, NULL, OPT_WINDOW},
	{"rate", required_argument, NULL, OPT_RATE}, {"body", required_argument, NULL, OPT_BODY},
	{"partners", required_argument, NULL, OPT_PARTNERS}, {"to", required_argument, NULL, OPT_TO},
	{"presence", no_argument, NULL, OPT_PRESENCE}, {"no-end", no_argument, NULL, OPT_NO_END},
	{"seed", required_argument, NULL, OPT_SEED}, {"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"json", required_argument, NULL, OPT_JSON}, {"label", required_argument, NULL, OPT_LABEL},
	{"quiet", no_argument, NULL, OPT_QUIET}, {"help", no_argument, NULL, OPT_HELP}, {0}};

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || v < min || v > max)
		bench_die("--%s %s: must be a number from %llu to %llu", option, text, (unsigned long long)min,
			(unsigned long long)max);
	return v;
}

/* IP:PORT, cut in place. */
static void parse_address(struct options *o, const char *name, char *text)
{
	char *colon = strrchr(text, ':');
	if (!colon)
		bench_die("--%s %s: must be IP:PORT", name, text);
	*colon = '\0';
	if (o->host)
		bench_die("--%s: one of --c2s and --relay is enough, and only once", name);
	o->host = text;
	o->port = (uint16_t)number(name, colon + 1, 1, 65535);
}

static enum address parse_to(const char *text)
{
	static const char *const names[] = {
		[ADDRESS_FULL] = "full", [ADDRESS_BARE] = "bare", [ADDRESS_MIXED] = "mixed"};
	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(text, names[i]) == 0)
			return (enum address)i;
	bench_die("--to %s: must be full, bare or mixed", text);
}

static bool parse_number(struct options *o, int c, const char *name)
{
	switch (c) {
	case OPT_NAME:
		o->name = optarg;
		return true;
	case OPT_LINKS:
		o->links = (unsigned)number(name, optarg, 1, PEER_LINKS);
		return true;
	case OPT_PID:
		o->pid = (int)number(name, optarg, 1, INT32_MAX);
		return true;
	case OPT_SESSIONS:
		o->sessions = (uint32_t)number(name, optarg, 1, 20000000);
		return true;
	case OPT_CONTACTS:
		o->contacts = (uint32_t)number(name, optarg, 0, 10000);
		return true;
	case OPT_OPS:
		o->ops = number(name, optarg, 0, 1000000000);
		return true;
	case OPT_WINDOW:
		o->window = (uint32_t)number(name, optarg, 1, 10000000);
		return true;
	case OPT_RATE:
		o->rate = number(name, optarg, 1, 100000000);
		return true;
	case OPT_LOGIN_RATE:
		o->login_rate = number(name, optarg, 1, 100000000);
		return true;
	case OPT_DURATION:
		o->duration_s = (double)number(name, optarg, 1, 1000000);
		return true;
	case OPT_ROUNDS:
		o->rounds = (unsigned)number(name, optarg, 1, 1000000);
		return true;
	case OPT_HOLD:
		o->hold_s = (double)number(name, optarg, 0, 1000000);
		return true;
	case OPT_PARTNERS:
		o->partners = (uint32_t)number(name, optarg, 1, UINT32_MAX);
		return true;
	case OPT_SEED:
		o->seed = number(name, optarg, 0, UINT64_MAX);
		return true;
	case OPT_TIMEOUT:
		o->timeout_s = (unsigned)number(name, optarg, 1, 86400);
		return true;
	default:
		return false;
	}
}

static void parse_option(struct options *o, int c, const char *name, bool *router)
{
	if (parse_number(o, c, name))
		return;
	switch (c) {
	case OPT_C2S:
	case OPT_RELAY:
		parse_address(o, name, optarg);
		o->relay = c == OPT_RELAY;
		break;
	case OPT_SQL:
		o->sql = true;
		break;
	case OPT_BODY:
		if (!bodies_parse(&o->bodies, optarg))
			bench_die("--body %s: must be bytes (40), a range (20-2000), or up to %d of these with weights "
				  "(40x70,4000x5); %d bytes at most",
				optarg, BODIES_MAX, BODY_MAX);
		break;
	case OPT_ROUTER:
		o->port = (uint16_t)number(name, optarg, 0, 65535);
		*router = true;
		break;
	case OPT_PORT_FILE:
		o->port_file = optarg;
		break;
	case OPT_USER:
		o->user = optarg;
		break;
	case OPT_PASS:
		o->pass = optarg;
		break;
	case OPT_DOMAIN:
		o->domain = optarg;
		break;
	case OPT_PID_FILE:
		o->pid_file = optarg;
		break;
	case OPT_SCENARIO:
		o->scenario = optarg;
		break;
	case OPT_TO:
		o->address = parse_to(optarg);
		break;
	case OPT_PRESENCE:
		o->presence = true;
		break;
	case OPT_NO_END:
		o->end_sessions = false;
		break;
	case OPT_JSON:
		o->json = optarg;
		break;
	case OPT_LABEL:
		o->label = optarg;
		break;
	case OPT_QUIET:
		o->quiet = true;
		break;
	case OPT_HELP:
		fputs(usage_text, stdout);
		exit(0);
	default:
		fputs(usage_text, stderr);
		exit(2);
	}
}

/* What no option says by itself. */
static void check(const struct options *o, bool router)
{
	if (!o->sql && router == (o->host != NULL))
		bench_die("one of --c2s IP:PORT, --router PORT and --relay IP:PORT must be given");
	if (o->relay && (strcmp(o->scenario, "chat") != 0 || o->presence || o->address != ADDRESS_FULL))
		bench_die("--relay: knows messages to full JIDs alone: --scenario chat, no --presence, no --to");
	if (strlen(o->domain) >= PEER_NAME)
		bench_die("--domain %s: over %d bytes", o->domain, PEER_NAME - 1);
}

void options_parse(struct options *o, int argc, char **argv)
{
	bool router = false;
	int c, which = 0;

	*o = (struct options){.scenario = "chat",
		.user = "jabberd",
		.pass = "secret",
		.domain = "localhost",
		.links = 1,
		.name = "c2s",
		.sessions = 200,
		.ops = 100000,
		.window = 2000,
		.hold_s = 10,
		.rounds = 10,
		.bodies = {.n = 1, .part = {{40, 40, 1}}},
		.seed = 1,
		.end_sessions = true,
		.timeout_s = 30};
	while ((c = getopt_long(argc, argv, "h", long_options, &which)) != -1)
		parse_option(o, c == 'h' ? OPT_HELP : c, long_options[which].name, &router);
	if (optind < argc)
		bench_die("%s: unexpected", argv[optind]);
	check(o, router);

	if (o->address != ADDRESS_FULL)
		o->presence = true; /* a bare JID reaches available sessions alone */
}
