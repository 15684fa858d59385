/* mail.h - mails to people, given to a mail server (a relay) by one thread that tries again while it is away.
 * Threads: mailer_post() any; the rest main's. A mail that failed for good comes back to the mailbox that its poster named.
 * Owns: posting hands a mail over; coming back hands it back. What is queued is in memory alone: a stop loses it.
 */
#ifndef SHARDSM_MAIL_H
#define SHARDSM_MAIL_H

#include "shardsm/config.h"
#include "shardsm/mailbox.h"

#define MAIL_ADDRESS_MAX 254u /* RFC 5321 section 4.5.3.1.3, without the brackets */
#define MAIL_ANSWER_MAX 200

struct shard;

/* One block of memory, for free(). */
struct mail {
	struct letter letter;         /* first; comes back as a LETTER_MAIL */
	struct mailbox *back;         /* where to */
	void (*failed)(struct shard *here, const struct mail *mail); /* what to do there; here: the owner of that mailbox */
	bool refused;                 /* by the relay, for good; false: every try failed */
	char answer[MAIL_ANSWER_MAX]; /* why: what the relay said last, printable ASCII; else what went wrong with it */
	const char *to, *subject, *text; /* in bytes; text: lines that end with \n */
	struct span owner;            /* whom it is about, for the log and for failed() */
	/* the mailer's own */
	struct mail *next;
	uint64_t due_ms, id[2];
	unsigned tries;
	char bytes[];
};

/* All copied. to: one that mail_address_fault() lets pass; subject and text: ASCII of ours. NULL: no memory. */
struct mail *mail_new(struct span owner, struct span to, const char *subject, const char *text) MUST_USE;

/* What is wrong with an e-mail address, and what would be right: a sentence's second half ("it has no @, ..."). NULL: nothing.
 * RFC 5321's Mailbox without quoted local parts and address literals, in ASCII. */
const char *mail_address_fault(struct span address);

struct mailer;
/* Reads <user><verify>. NULL: logged, or a bad value that is counted in config_errors(). domain: whose noreply@ the sender is by default. */
struct mailer *mailer_open(struct config *config, struct span domain) MUST_USE;
bool mailer_start(struct mailer *m) MUST_USE;
/* Takes the mail. False: too many are waiting already, or it is stopping; the mail was freed. Never blocks. */
bool mailer_post(struct mailer *m, struct mail **mail) MUST_USE;
void mailer_stop(struct mailer *m); /* asks the thread to end, in the middle of a mail too; returns at once */
void mailer_close(struct mailer **m); /* waits for that: for a second, at most */
/* For --check: "localhost, port 25, from noreply@example.com". */
void mailer_describe(const struct mailer *m, char *out, size_t cap);

#endif
