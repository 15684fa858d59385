/* smtp.c - one mail to a relay, with libcurl, which has the dialogue, dot-stuffing, TLS and SASL.
 * Threads: the mailer's.
 * Owns: the library's handle. Every mail has a connection of its own, so that none is kept open for hours.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mail/smtp.h"
#include "shardsm/buf.h"
#include "shardsm/clock.h"

struct smtp {
	const struct smtp_settings *set;
	CURL *curl;
	char error[CURL_ERROR_SIZE];
	char reply[MAIL_ANSWER_MAX]; /* the relay's last line that says no */
	struct buf message;
	uint32_t sent;               /* bytes of message that the library took */
};

static void printable(char *out, size_t cap, const char *p, size_t n)
{
	size_t k = 0;

	while (n && (p[n - 1] == '\r' || p[n - 1] == '\n'))
		n--;
	for (size_t i = 0; i < n && k + 1 < cap; i++)
		out[k++] = p[i] >= 0x20 && p[i] < 0x7f ? p[i] : '?';
	out[k] = '\0';
}

/* --- what the library calls ------------------------------------------------------------------------------------------------ */

static size_t on_reply(char *p, size_t size, size_t n, void *arg)
{
	struct smtp *smtp = arg;

	if (size * n > 0 && (p[0] == '4' || p[0] == '5')) /* and not what it says to QUIT */
		printable(smtp->reply, sizeof(smtp->reply), p, size * n);
	return size * n;
}

static size_t on_content(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
	struct smtp *smtp = arg;
	size_t left = smtp->message.n - smtp->sent, take = size * n < left ? size * n : left;

	memcpy(out, smtp->message.p + smtp->sent, take);
	smtp->sent += (uint32_t)take;
	return take;
}

/* At least once a second. */
static int on_progress(void *arg, curl_off_t dl, curl_off_t dlnow, curl_off_t ul, curl_off_t ulnow)
{
	const struct smtp *smtp = arg;

	(void)dl, (void)dlnow, (void)ul, (void)ulnow;
	return atomic_load(&((struct smtp_settings *)(uintptr_t)smtp->set)->stopping);
}

/* --- opening --------------------------------------------------------------------------------------------------------------- */

static bool set_text(CURL *curl, CURLoption option, struct span text)
{
	char *copy = strndup(text.n ? text.p : "", text.n);
	bool ok = copy && curl_easy_setopt(curl, option, copy) == CURLE_OK;

	free(copy);
	return ok;
}

/* RFC 5321 section 4.1.1.1: a domain of ours behind EHLO; the library takes it from the path. */
static bool set_url(struct smtp *smtp)
{
	const struct smtp_settings *s = smtp->set;
	const char *at = memrchr(s->from.p, '@', s->from.n);
	bool v6 = memchr(s->host.p, ':', s->host.n) != NULL;
	struct buf url;

	buf_init(&url);
	buf_fmt(&url, "%s://%s" SPAN_FMT "%s:%u/" SPAN_FMT, s->tls == SMTP_TLS ? "smtps" : "smtp", v6 ? "[" : "", SPAN_ARG(s->host),
		v6 ? "]" : "", s->port, (int)(s->from.p + s->from.n - at - 1), at + 1);

	bool ok = !url.failed && set_text(smtp->curl, CURLOPT_URL, buf_span(&url));

	buf_free(&url);
	return ok;
}

static bool set_relay(struct smtp *smtp)
{
	const struct smtp_settings *s = smtp->set;
	CURL *curl = smtp->curl;

	return set_url(smtp) && set_text(curl, CURLOPT_MAIL_FROM, s->from) &&
		(!s->user.n || (set_text(curl, CURLOPT_USERNAME, s->user) && set_text(curl, CURLOPT_PASSWORD, s->pass))) &&
		(!s->cafile.n || set_text(curl, CURLOPT_CAINFO, s->cafile));
}

static void set_manners(struct smtp *smtp)
{
	CURL *curl = smtp->curl;
	long ms = (long)smtp->set->timeout * 1000;

	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)(smtp->set->tls == SMTP_STARTTLS ? CURLUSESSL_ALL : CURLUSESSL_NONE));
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* a name that is still looked up is not waited for */
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, ms);
	curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)smtp->set->timeout);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, smtp->error);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_reply);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_content);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(curl, CURLOPT_READDATA, smtp);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, smtp);
}

struct smtp *smtp_open(const struct smtp_settings *settings)
{
	struct smtp *smtp = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? calloc(1, sizeof(*smtp)) : NULL;

	if (!smtp)
		return NULL;
	smtp->set = settings;
	smtp->curl = curl_easy_init();
	buf_init(&smtp->message);
	if (!smtp->curl || !set_relay(smtp)) {
		smtp_close(&smtp);
		return NULL;
	}
	set_manners(smtp);
	return smtp;
}

void smtp_close(struct smtp **smtpp)
{
	struct smtp *smtp = *smtpp;

	*smtpp = NULL;
	if (!smtp)
		return;
	curl_easy_cleanup(smtp->curl);
	buf_free(&smtp->message);
	free(smtp);
	curl_global_cleanup();
}

/* --- a mail ---------------------------------------------------------------------------------------------------------------- */

/* RFC 5322; RFC 3834 section 5: nothing that answers by itself answers this. */
static void compose(struct smtp *smtp, const struct mail *mail)
{
	struct buf *b = &smtp->message;
	struct span from = smtp->set->from;
	const char *at = memrchr(from.p, '@', from.n);
	time_t now = (time_t)clock_wall();
	struct tm tm;
	char date[64];

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	buf_clear(b);
	buf_fmt(b, "From: <" SPAN_FMT ">\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%016llx%016llx@%.*s>\r\n", SPAN_ARG(from),
		mail->to, mail->subject, date, (unsigned long long)mail->id[0], (unsigned long long)mail->id[1],
		(int)(from.p + from.n - at - 1), at + 1);
	buf_str(b, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n");
	for (const char *line = mail->text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		buf_put(b, span_of(line, (size_t)(end - line)));
		buf_str(b, "\r\n");
	}
}

/* What refuses a mail stands in the answer to MAIL, RCPT, DATA or the mail itself. A relay that greets with 5yz, or wants another password,
 * says nothing about this mail. */
static enum smtp_outcome outcome_of(const struct smtp *smtp, CURLcode result, long code)
{
	bool about_mail = result == CURLE_SEND_ERROR || (result == CURLE_WEIRD_SERVER_REPLY && smtp->sent > 0);

	if (result == CURLE_OK)
		return SMTP_SENT;
	if (about_mail && code >= 500 && code < 600)
		return SMTP_REFUSED;
	return about_mail && code >= 400 && code < 500 && code != 421 ? SMTP_LATER : SMTP_UNAVAILABLE;
}

enum smtp_outcome smtp_send(struct smtp *smtp, struct mail *mail)
{
	struct curl_slist *to = curl_slist_append(NULL, mail->to);
	CURLcode result = CURLE_OUT_OF_MEMORY;
	long code = 0;

	compose(smtp, mail);
	smtp->error[0] = smtp->reply[0] = '\0';
	smtp->sent = 0;
	if (to && !smtp->message.failed) {
		curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, to);
		curl_easy_setopt(smtp->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)smtp->message.n);
		result = curl_easy_perform(smtp->curl);
		curl_easy_getinfo(smtp->curl, CURLINFO_RESPONSE_CODE, &code);
		curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, NULL);
	}
	curl_slist_free_all(to);

	enum smtp_outcome outcome = outcome_of(smtp, result, code);
	const char *why = smtp->error[0] ? smtp->error : curl_easy_strerror(result);

	/* The reply when that is what it failed for, whole; else what the library says. */
	if (code >= 400 && smtp->reply[0])
		why = smtp->reply;
	printable(mail->answer, sizeof(mail->answer), why, strlen(why));
	return outcome;
}
