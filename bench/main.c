/* main.c - shardsm-bench: puts a load on a session manager, checks every answer, and says what it cost.
 * Threads: one.
 * Owns: the peers and the report, for the run.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "scenario.h"

static const struct scenario *const scenarios[] = {&scenario_chat};
#define NSCENARIOS (sizeof scenarios / sizeof scenarios[0])

void bench_die(const char *fmt, ...)
{
	va_list ap;

	int why = errno; /* for %m */
	va_start(ap, fmt);
	fprintf(stderr, "shardsm-bench: ");
	errno = why;
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

void *bench_realloc(void *p, size_t n)
{
	void *q = realloc(p, n);
	if (!q)
		bench_die("out of memory (%zu bytes)", n);
	return q;
}

void *bench_calloc(size_t n, size_t size)
{
	void *q = calloc(n ? n : 1, size);
	if (!q)
		bench_die("out of memory (%zu x %zu bytes)", n, size);
	return q;
}

uint64_t bench_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const char usage_text[] =
	"usage: shardsm-bench --c2s IP:PORT | --router PORT [options]\n"
	"Loads a session manager and checks what comes back. Exit code 1: something was lost or wrong.\n"
	"\n"
	"  --c2s IP:PORT     dial a listening shardsm, as its c2s\n"
	"  --router PORT     wait for an sm to dial, playing its router and c2s (0: any free port)\n"
	"  --port-file FILE  with --router: write the port there once it listens\n"
	"  --user, --pass    of the component link (jabberd, secret)\n"
	"  --domain NAME     a domain that the sm serves (localhost)\n"
	"  --links N         with --c2s: how many c2s to be (1)\n"
	"  --pid PID         the sm: its processor time and memory are reported\n"
	"  --pid-file FILE   the same, read once the links stand\n"
	"  --scenario NAME   chat (the default): messages between random pairs of sessions\n"
	"  --sessions N      (200)\n"
	"  --messages N      (100000)\n"
	"  --window N        messages under way at most (2000)\n"
	"  --rate N          messages a second whatever the answers do; latency counts from the intended moment\n"
	"  --body N          bytes (40)\n"
	"  --partners N      recipients that one session writes to (all)\n"
	"  --to full|bare|mixed   how recipients are addressed (full); bare and mixed imply --presence\n"
	"  --presence        send initial presence first\n"
	"  --no-end          leave the sessions\n"
	"  --seed N          of the random choices (1)\n"
	"  --timeout N       seconds without progress that fail the run (30)\n"
	"  --json FILE       write the figures there; --tsv FILE: append them, one line a phase\n"
	"  --label TEXT      a name for this run in the output\n"
	"  --quiet           no progress lines\n";

enum {
	OPT_C2S = 256,
	OPT_ROUTER,
	OPT_PORT_FILE,
	OPT_USER,
	OPT_PASS,
	OPT_DOMAIN,
	OPT_LINKS,
	OPT_PID,
	OPT_PID_FILE,
	OPT_SCENARIO,
	OPT_SESSIONS,
	OPT_MESSAGES,
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
	OPT_TSV,
	OPT_LABEL,
	OPT_QUIET,
	OPT_HELP
};

static const struct option long_options[] = {{"c2s", required_argument, NULL, OPT_C2S},
	{"router", required_argument, NULL, OPT_ROUTER}, {"port-file", required_argument, NULL, OPT_PORT_FILE},
	{"user", required_argument, NULL, OPT_USER}, {"pass", required_argument, NULL, OPT_PASS},
	{"domain", required_argument, NULL, OPT_DOMAIN}, {"links", required_argument, NULL, OPT_LINKS},
	{"pid", required_argument, NULL, OPT_PID}, {"pid-file", required_argument, NULL, OPT_PID_FILE},
	{"scenario", required_argument, NULL, OPT_SCENARIO}, {"sessions", required_argument, NULL, OPT_SESSIONS},
	{"messages", required_argument, NULL, OPT_MESSAGES}, {"window", required_argument, NULL, OPT_WINDOW},
	{"rate", required_argument, NULL, OPT_RATE}, {"body", required_argument, NULL, OPT_BODY},
	{"partners", required_argument, NULL, OPT_PARTNERS}, {"to", required_argument, NULL, OPT_TO},
	{"presence", no_argument, NULL, OPT_PRESENCE}, {"no-end", no_argument, NULL, OPT_NO_END},
	{"seed", required_argument, NULL, OPT_SEED}, {"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"json", required_argument, NULL, OPT_JSON}, {"tsv", required_argument, NULL, OPT_TSV},
	{"label", required_argument, NULL, OPT_LABEL}, {"quiet", no_argument, NULL, OPT_QUIET},
	{"help", no_argument, NULL, OPT_HELP}, {0}};

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
static void parse_address(struct options *o, char *text)
{
	char *colon = strrchr(text, ':');
	if (!colon)
		bench_die("--c2s %s: must be IP:PORT", text);
	*colon = '\0';
	o->c2s_host = text;
	o->port = (uint16_t)number("c2s", colon + 1, 1, 65535);
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
	case OPT_LINKS:
		o->links = (unsigned)number(name, optarg, 1, PEER_LINKS);
		return true;
	case OPT_PID:
		o->pid = (int)number(name, optarg, 1, INT32_MAX);
		return true;
	case OPT_SESSIONS:
		o->sessions = (uint32_t)number(name, optarg, 1, 20000000);
		return true;
	case OPT_MESSAGES:
		o->messages = number(name, optarg, 0, UINT32_MAX - 1);
		return true;
	case OPT_WINDOW:
		o->window = (uint32_t)number(name, optarg, 1, 10000000);
		return true;
	case OPT_RATE:
		o->rate = number(name, optarg, 1, 100000000);
		return true;
	case OPT_BODY:
		o->body = (uint32_t)number(name, optarg, 0, 60000);
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
		parse_address(o, optarg);
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
	case OPT_TSV:
		o->tsv = optarg;
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

static void parse_options(struct options *o, int argc, char **argv)
{
	bool router = false;
	int c, which = 0;

	*o = (struct options){.scenario = "chat",
		.user = "jabberd",
		.pass = "secret",
		.domain = "localhost",
		.links = 1,
		.sessions = 200,
		.messages = 100000,
		.window = 2000,
		.body = 40,
		.seed = 1,
		.end_sessions = true,
		.timeout_s = 30};
	while ((c = getopt_long(argc, argv, "h", long_options, &which)) != -1)
		parse_option(o, c == 'h' ? OPT_HELP : c, long_options[which].name, &router);
	if (optind < argc)
		bench_die("%s: unexpected", argv[optind]);
	if (router == (o->c2s_host != NULL))
		bench_die("one of --c2s IP:PORT and --router PORT must be given");
	if (o->address != ADDRESS_FULL)
		o->presence = true; /* a bare JID reaches available sessions alone */
	if (strlen(o->domain) >= PEER_NAME)
		bench_die("--domain %s: over %d bytes", o->domain, PEER_NAME - 1);
}

static const struct scenario *find_scenario(const char *name)
{
	for (unsigned i = 0; i < NSCENARIOS; i++)
		if (strcmp(scenarios[i]->name, name) == 0)
			return scenarios[i];
	fprintf(stderr, "shardsm-bench: --scenario %s: must be one of\n", name);
	for (unsigned i = 0; i < NSCENARIOS; i++)
		fprintf(stderr, "  %-10s %s\n", scenarios[i]->name, scenarios[i]->help);
	exit(2);
}

/* The sm has dialled, so the file was written or is about to be. */
static int read_pid_file(const char *path)
{
	const struct timespec tick = {0, 10000000};
	for (int tries = 0; tries < 500; tries++) {
		FILE *f = fopen(path, "re");
		int pid = 0;
		if (f) {
			if (fscanf(f, "%d", &pid) != 1)
				pid = 0;
			fclose(f);
		}
		if (pid > 0)
			return pid;
		nanosleep(&tick, NULL);
	}
	bench_die("%s: holds no pid", path);
}

int main(int argc, char **argv)
{
	struct options opt;
	struct peers peers;

	parse_options(&opt, argc, argv);
	const struct scenario *scenario = find_scenario(opt.scenario);
	struct report report = {.opt = &opt};

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	peers_open(&peers, &opt);
	report.pid = opt.pid_file ? read_pid_file(opt.pid_file) : opt.pid;
	scenario->run(&peers, &report);
	peers_close(&peers);
	report_print(&report);
	bool failed = report.failure[0] != '\0';
	if (!report_save(&report))
		failed = true;
	report_free(&report);
	return failed ? 1 : 0;
}
