/* mailer.c - the mails that wait for a relay: a bounded queue, one thread that tries, and tries again.
 * Threads: mailer_main() is the mailer's own; mailer_post() any; the rest main's.
 * Owns: every mail posted, until it is sent or goes back to who posted it.
 */
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail/smtp.h"
#include "shardsm/clock.h"
#include "shardsm/hash.h"
#include "shardsm/log.h"

#define QUEUE_MAX 1000u /* mails that wait, a kilobyte each */

struct mailer {
	/* fixed for life */
	struct smtp_settings set;
	char *from;
	unsigned attempts, sleep;
	bool by_default; /* no relay is named */
	pthread_t thread;
	bool started;
	/* any thread's */
	struct mailbox box;
	_Atomic uint32_t queued;
	struct letter stop;
	/* the mailer's own */
	struct smtp *smtp;
	struct mail *first, **last; /* in order of arrival */
};

struct mail *mail_new(struct span owner, struct span to, const char *subject, const char *text)
{
	size_t nsubject = strlen(subject) + 1, ntext = strlen(text) + 1;
	struct mail *mail = calloc(1, sizeof(*mail) + owner.n + to.n + 1 + nsubject + ntext);

	if (!mail || !hash_random(mail->id, sizeof(mail->id))) {
		free(mail);
		return NULL;
	}
	mail->letter.kind = LETTER_MAIL;
	char *at = mail->bytes;

	mail->owner = span_of(at, owner.n);
	at = (char *)mempcpy(at, owner.p, owner.n);
	mail->to = at;
	at = (char *)mempcpy(at, to.p, to.n) + 1;
	mail->subject = at;
	at = (char *)mempcpy(at, subject, nsubject);
	mail->text = memcpy(at, text, ntext);
	return mail;
}

/* --- settings ---------------------------------------------------------------------------------------------------------------- */

/* It stands in a URL. */
static void read_host(struct mailer *m, struct config *config)
{
	const struct config_value *v = config_get(config, "user.verify.smtp.host", 0);
	struct span host = config_text(config, "user.verify.smtp.host", "localhost");
	bool ok = host.n > 0;

	for (uint32_t i = 0; i < host.n; i++)
		ok = ok && (isalnum((unsigned char)host.p[i]) || strchr(".-_:", host.p[i]));
	if (v && !ok)
		config_bad(config, v, "is not a host: a name like mail.example.com, or a numeric address");
	m->set.host = host;
	m->by_default = !v;
}

static void read_tls(struct mailer *m, struct config *config)
{
	struct span tls = config_text(config, "user.verify.smtp.tls", "none");

	if (span_is(tls, "starttls"))
		m->set.tls = SMTP_STARTTLS;
	else if (span_is(tls, "tls"))
		m->set.tls = SMTP_TLS;
	else if (!span_is(tls, "none"))
		config_bad(config, config_get(config, "user.verify.smtp.tls", 0), "must be none, starttls, or tls (from the first byte on)");
	m->set.cafile = config_text(config, "user.verify.smtp.cafile", "");
	m->set.user = config_text(config, "user.verify.smtp.user", "");
	m->set.pass = config_text(config, "user.verify.smtp.pass", "");
	if (m->set.user.n && m->set.tls == SMTP_CLEAR)
		log_warning("%s: user.verify.smtp.pass goes to the mail server in clear: <tls>starttls</tls> protects it", config_path(config));
}

static bool read_from(struct mailer *m, struct config *config, struct span domain)
{
	const struct config_value *v = config_get(config, "user.verify.from", 0);
	struct span from = v ? config_value_text(v) : span_of(NULL, 0);
	const char *fault = v ? mail_address_fault(from) : NULL;

	if (fault)
		config_bad(config, v, "is not an e-mail address: %s", fault);
	if (v)
		return (m->from = strndup(from.n ? from.p : "", from.n)) != NULL && !fault;
	if (asprintf(&m->from, "noreply@" SPAN_FMT, SPAN_ARG(domain)) < 0) {
		m->from = NULL;
		return false;
	}
	fault = mail_address_fault(span_str(m->from));
	v = config_has(config, "local.id") ? config_get(config, "local.id", 0) : config_get(config, "id", 0);
	if (fault && v)
		config_bad(config, v, "no mail can come from %s (%s): name a sender in user.verify.from", m->from, fault);
	return !fault;
}

struct mailer *mailer_open(struct config *config, struct span domain)
{
	struct mailer *m = calloc(1, sizeof(*m));
	bool ok = m && mailbox_init(&m->box, "mail");

	if (!ok) {
		log_error("mail: cannot start (out of memory or file descriptors)");
		free(m);
		return NULL;
	}
	m->last = &m->first;
	read_host(m, config);
	read_tls(m, config);
	m->set.port = (uint16_t)config_int(config, "user.verify.smtp.port", 25, 1, UINT16_MAX);
	m->set.timeout = (unsigned)config_int(config, "user.verify.smtp.timeout", 60, 1, 600);
	m->attempts = (unsigned)config_int(config, "user.verify.smtp.retry.attempts", 10, 1, 1000);
	m->sleep = (unsigned)config_int(config, "user.verify.smtp.retry.sleep", 60, 1, 86400);
	ok = read_from(m, config, domain) && !config_errors(config);
	if (ok) {
		m->set.from = span_str(m->from);
		m->smtp = smtp_open(&m->set);
		if (!m->smtp)
			log_error("mail: libcurl cannot be used (no memory, or it has no SMTP)");
		ok = m->smtp != NULL;
	}
	if (!ok)
		mailer_close(&m);
	return m;
}

void mailer_describe(const struct mailer *m, char *out, size_t cap)
{
	snprintf(out, cap, SPAN_FMT ", port %u, from %s%s", SPAN_ARG(m->set.host), m->set.port, m->from,
		m->by_default ? " (no mail server is named: user.verify.smtp.host)" : "");
}

/* --- the queue ---------------------------------------------------------------------------------------------------------------- */

bool mailer_post(struct mailer *m, struct mail **mailp)
{
	struct letter *l = &(*mailp)->letter;
	struct mail *mail = *mailp;

	*mailp = NULL;
	if (atomic_fetch_add(&m->queued, 1) >= QUEUE_MAX || atomic_load(&m->set.stopping)) {
		atomic_fetch_sub(&m->queued, 1);
		free(mail);
		return false;
	}
	mailbox_post(&m->box, &l);
	return true;
}

static void take_letters(struct mailer *m)
{
	struct letter *last, *l = mailbox_take(&m->box, &last), *next;

	for (; l; l = next) {
		next = mailbox_next(l, last);
		if (l->kind != LETTER_MAIL)
			continue; /* the one that only wakes */
		struct mail *mail = (struct mail *)l;

		mail->next = NULL;
		mail->due_ms = clock_mono_ms();
		*m->last = mail;
		m->last = &mail->next;
	}
}

static void unlink_mail(struct mailer *m, struct mail *mail)
{
	struct mail **at = &m->first;

	while (*at != mail)
		at = &(*at)->next;
	*at = mail->next;
	if (!*at)
		m->last = at;
	atomic_fetch_sub(&m->queued, 1);
}

static void fail(struct mailer *m, struct mail *mail, bool refused)
{
	struct letter *l = &mail->letter;

	log_limited(LOG_LEVEL_ERROR, SPAN_FMT ": mail to %s %s (%s)", SPAN_ARG(mail->owner), mail->to,
		refused ? "was refused" : "could not be sent", mail->answer);
	unlink_mail(m, mail);
	mail->refused = refused;
	mailbox_post(mail->back, &l);
}

static void later(struct mailer *m, struct mail *mail, uint64_t now)
{
	if (++mail->tries >= m->attempts) {
		fail(m, mail, false);
		return;
	}
	log_limited(LOG_LEVEL_WARNING, SPAN_FMT ": mail to %s waits for another try, %u of %u (%s)", SPAN_ARG(mail->owner), mail->to,
		mail->tries + 1, m->attempts, mail->answer);
	mail->due_ms = now + (uint64_t)m->sleep * 1000;
}

/* What is wrong with the relay is so for all who are due: one that hangs is not tried for each of them. */
static void all_later(struct mailer *m, const char *answer)
{
	uint64_t now;
	char why[MAIL_ANSWER_MAX];

	memcpy(why, answer, sizeof(why));
	take_letters(m); /* while it hung, more came */
	now = clock_mono_ms();
	for (struct mail *mail = m->first, *next; mail; mail = next) {
		next = mail->next;
		if (mail->due_ms <= now) {
			memcpy(mail->answer, why, sizeof(why));
			later(m, mail, now);
		}
	}
}

static void attempt(struct mailer *m, struct mail *mail)
{
	enum smtp_outcome outcome = smtp_send(m->smtp, mail);

	if (outcome == SMTP_SENT) {
		log_info(SPAN_FMT ": mail to %s was sent", SPAN_ARG(mail->owner), mail->to);
		unlink_mail(m, mail);
		free(mail);
	} else if (outcome == SMTP_REFUSED) {
		fail(m, mail, true);
	} else if (outcome == SMTP_LATER) {
		later(m, mail, clock_mono_ms());
	} else if (!atomic_load(&m->set.stopping)) {
		all_later(m, mail->answer);
	}
}

/* Who is due first; NULL: nobody is, for *ms milliseconds (-1: there is nobody). */
static struct mail *due(const struct mailer *m, int *ms)
{
	struct mail *best = m->first;
	uint64_t now = clock_mono_ms();

	for (struct mail *mail = m->first; mail; mail = mail->next)
		if (mail->due_ms < best->due_ms)
			best = mail;
	if (best && best->due_ms <= now)
		return best;
	*ms = best ? (int)(best->due_ms - now) : -1;
	return NULL;
}

static void *mailer_main(void *arg)
{
	struct mailer *m = arg;
	int ms;

	while (!atomic_load(&m->set.stopping)) {
		take_letters(m);
		struct mail *mail = due(m, &ms);

		if (mail)
			attempt(m, mail);
		else
			mailbox_wait(&m->box, ms);
	}
	return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

bool mailer_start(struct mailer *m)
{
	int error = pthread_create(&m->thread, NULL, mailer_main, m);

	if (error) {
		log_error("mail: cannot start its thread (%s)", strerror(error));
		return false;
	}
	pthread_setname_np(m->thread, "mail");
	m->started = true;
	return true;
}

void mailer_stop(struct mailer *m)
{
	struct letter *l = &m->stop;

	atomic_store(&m->set.stopping, true);
	l->kind = LETTER_STOP;
	mailbox_post(&m->box, &l);
}

void mailer_close(struct mailer **mp)
{
	struct mailer *m = *mp;
	unsigned lost = 0;

	*mp = NULL;
	if (m->started)
		pthread_join(m->thread, NULL);
	take_letters(m);
	while (m->first) {
		struct mail *mail = m->first;

		unlink_mail(m, mail);
		free(mail);
		lost++;
	}
	if (lost)
		log_warning("mail: %u that had not been sent yet are lost", lost);
	smtp_close(&m->smtp);
	mailbox_fini(&m->box);
	free(m->from);
	free(m);
}
