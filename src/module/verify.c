/* verify.c - jabberd2's e-mail verification: who has not shown that an e-mail address is theirs sends no messages.
 * Threads: shards.
 * Owns: nothing; what is under way is in the table verify, a user in memory knows only whether it is through (struct user.verified).
 * A message that begins with "email: " asks for a code to be mailed there, one that begins with "code: " brings it back, whoever they are to.
 * Every other message is held back and answered with what to do. IQ and presence pass.
 */
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "module/verify.h"
#include "shardsm/clock.h"
#include "shardsm/log.h"
#include "shardsm/module.h"

#define CODE_LEN 10u
#define CODE_MOST 64u /* jabberd2's may be longer */
#define MAILS_PER_HOUR 3

static struct verify_options { unsigned mails_per_hour; } options;

/* --- what the user is told ------------------------------------------------------------------------------------------------- */

#define HOW "write a message to this server that holds nothing but \"email: \" and your e-mail address, like this:\n\nemail: johndoe@example.com\n\n" \
	"A code will be mailed there, together with what to do next."

static struct jid domain_of(struct span bare)
{
	const char *at = memchr(bare.p, '@', bare.n);
	uint16_t n = (uint16_t)(at ? bare.p + bare.n - at - 1 : bare.n);

	return (struct jid){ bare.p + bare.n - n, 0, n, n };
}

static void put_message(struct buf *b, const char *subject, struct span text)
{
	buf_str(b, "<subject>");
	buf_str(b, subject);
	buf_str(b, "</subject><body>");
	buf_text(b, text);
	buf_str(b, "</body>");
}

static enum verdict tell(struct event *ev, const char *subject, struct span text)
{
	struct buf *b = scratch(ev->shard, 0);
	struct jid domain = domain_of(user_bare(ev->user));

	put_message(b, subject, text);
	if (b->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (ev->session)
		send_to_session(ev->shard, ev->session, &(struct stanza){ .tag = "message", .content = buf_span(b), .from = &domain });
	return V_HANDLED;
}

static enum verdict tell_how(struct event *ev)
{
	return tell(ev, "Please enter your email address",
		SPAN("Your messages are held back, this one too, until your e-mail address is verified. To have that done, " HOW));
}

/* The mail is back. Its user may be gone, or have asked for another one: then this is as true as it was. */
static void mail_failed(struct shard *shard, const struct mail *mail)
{
	struct buf *text = scratch(shard, 1), *b = scratch(shard, 0);
	struct jid domain = domain_of(mail->owner);
	struct jid user = { mail->owner.p, (uint16_t)(mail->owner.n - domain.len - 1), (uint16_t)mail->owner.n, (uint16_t)mail->owner.n };

	buf_fmt(text, "The mail with your code could not be brought to %s: ", mail->to);
	if (mail->refused)
		buf_fmt(text, "the mail server says \"%s\". If there is a mistake in the address, send \"email: \" with the right one.", mail->answer);
	else
		buf_str(text, "no mail server took it. Please try again later. If it fails again, tell the administrator of this server.");
	put_message(b, "Email verification failed", buf_span(text));
	if (!text->failed && !b->failed)
		send_stanza(shard, &(struct stanza){ .tag = "message", .content = buf_span(b), .from = &domain, .to = &user });
}

/* --- email: ---------------------------------------------------------------------------------------------------------------- */

struct request {
	char code[CODE_LEN + 1];
	uint32_t n;
	char address[];
};

/* Two mailboxes that differ in case are one, nearly everywhere. */
static uint64_t hash_address(struct shard *shard, struct span address)
{
	struct buf *b = scratch(shard, 2);

	buf_str(b, "mailto:");
	for (uint32_t i = 0; i < address.n; i++)
		buf_put(b, span_of((char[]){ (char)tolower((unsigned char)address.p[i]) }, 1));
	return b->failed ? 0 : hash_bytes(buf_span(b));
}

/* 50 bits. Letters and digits that nobody takes for one another. */
static bool make_code(char *code)
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t random[CODE_LEN];

	_Static_assert(sizeof(letters) - 1 == 32, "a power of two: every letter is as likely as any other");
	if (!hash_random(random, sizeof(random)))
		return false;
	for (unsigned i = 0; i < CODE_LEN; i++)
		code[i] = letters[random[i] % 32];
	code[CODE_LEN] = '\0';
	return true;
}

/* Nothing of what the user wrote stands in the mail but the code that was made: whoever registers an account cannot have texts mailed. */
static struct mail *compose(struct event *ev, const struct request *r)
{
	struct span owner = user_bare(ev->user);
	struct jid domain = domain_of(owner);
	struct buf *b = scratch(ev->shard, 1);
	bool ascii = true;

	for (uint16_t i = 0; i < domain.len; i++)
		ascii = ascii && !(domain.s[i] & 0x80);
	buf_fmt(b, "Somebody who has an account with the XMPP server%s" SPAN_FMT " says that this is\ntheir e-mail address.\n\n",
		ascii ? " " : "", ascii ? (int)domain.len : 0, domain.s);
	buf_fmt(b, "If that was you, write this line as a message to the server:\n\ncode: %s\n\n", r->code);
	buf_str(b, "If it was not, there is nothing to do: delete this mail.\n");
	buf_put(b, span_of("", 1));
	return b->failed ? NULL : mail_new(owner, span_of(r->address, r->n), "XMPP email verification", b->p);
}

/* The row is there: the mail may go, and nobody waits for it. */
static enum verdict on_stored(struct event *ev, struct store_req *answer)
{
	const struct request *r = ev->state;
	struct mail *mail;
	struct buf *text;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "an e-mail address could not be written");
	mail = compose(ev, r);
	if (!mail)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (!mail_send(ev->shard, &mail, mail_failed)) {
		log_limited(LOG_LEVEL_ERROR, "%.*s: no code was mailed (too many mails are waiting)", SPAN_ARG(user_bare(ev->user)));
		return tell(ev, "Error", SPAN("Your code could not be mailed now. Please try again later."));
	}
	verify_count_mail(ev->user->hash);
	verify_count_mail(hash_address(ev->shard, span_of(r->address, r->n)));
	text = scratch(ev->shard, 1);
	buf_fmt(text, "A mail is on its way to " SPAN_FMT ". Please look into your mailbox, and do what it says there.", (int)r->n, r->address);
	return text->failed ? V_HANDLED : tell(ev, "Verification email sent", buf_span(text));
}

static enum verdict write_row(struct event *ev, struct span address, struct span code, bool verified, resume_fn *then, void *state)
{
	struct store_req *req = store_req_new(user_bare(ev->user));

	if (req) {
		store_delete(req, T_VERIFY, STORE_ALL, value_null());
		store_put(req, T_VERIFY, (struct value[]){ [VERIFY_EMAIL] = value_text(address), [VERIFY_CODE] = value_text(code),
			[VERIFY_STATE] = value_int(verified) });
	}
	return event_ask(ev, &req, then, 0, state);
}

static enum verdict on_email(struct event *ev, struct span address)
{
	const char *fault = mail_address_fault(address);
	struct buf *text = scratch(ev->shard, 3);
	struct request *r;
	unsigned wait, wait2;

	if (!address.n)
		return tell_how(ev);
	if (fault) {
		buf_fmt(text, "This is not an e-mail address that mail can be sent to: %s. To try again, " HOW, fault);
		return tell(ev, "Please enter your email address", buf_span(text));
	}
	wait = verify_wait_mail(ev->user->hash, options.mails_per_hour);
	wait2 = verify_wait_mail(hash_address(ev->shard, address), options.mails_per_hour);
	wait = wait > wait2 ? wait : wait2;
	if (wait) {
		buf_fmt(text, "Too many mails have been asked for. Please look into your mailbox (and its folder for spam), or try again in %u minutes.",
			wait);
		return tell(ev, "Error", buf_span(text));
	}
	r = malloc(sizeof(*r) + address.n);
	if (!r || !make_code(r->code)) {
		free(r);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	r->n = address.n;
	memcpy(r->address, address.p, address.n);
	return write_row(ev, span_of(r->address, r->n), span_of(r->code, CODE_LEN), false, on_stored, r);
}

/* --- code: ----------------------------------------------------------------------------------------------------------------- */

struct guess {
	uint32_t n;
	char code[];
};

static enum verdict on_verified(struct event *ev, struct store_req *answer)
{
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a verified e-mail address could not be written");
	ev->user->verified = true;
	log_notice("%.*s: e-mail address verified", SPAN_ARG(user_bare(ev->user)));
	return tell(ev, "Code accepted", SPAN("Your code is right, and your e-mail address is verified. Your messages are no longer held back."));
}

static enum verdict tell_used_up(struct event *ev)
{
	return tell(ev, "Code rejected", SPAN("There were too many wrong codes, and yours is no longer good. For another one, " HOW));
}

static enum verdict on_used_up(struct event *ev, struct store_req *answer)
{
	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a code that was guessed at too often could not be deleted");
	return tell_used_up(ev);
}

static enum verdict wrong(struct event *ev)
{
	unsigned left = verify_guesses_left(ev->user->hash);
	struct buf *text = scratch(ev->shard, 1);

	if (!left) {
		struct store_req *req = store_req_new(user_bare(ev->user));

		if (req)
			store_delete(req, T_VERIFY, STORE_ALL, value_null());
		return event_ask(ev, &req, on_used_up, 0, NULL);
	}
	buf_fmt(text, "This is not the code that was mailed to you. It can be tried %u more time%s. For another one, " HOW, left,
		left == 1 ? "" : "s");
	return tell(ev, "Code rejected", buf_span(text));
}

static enum verdict on_row(struct event *ev, struct store_req *answer)
{
	const struct guess *guess = ev->state;
	struct span code, email;

	if (store_status(answer) != STORE_OK)
		return event_store_error(ev, answer, "a code could not be read");
	if (!store_rows(answer, 0))
		return tell_how(ev);
	email = store_value(answer, 0, 0, VERIFY_EMAIL).s;
	code = store_value(answer, 0, 0, VERIFY_CODE).s;
	if (!verify_may_guess(ev->user->hash))
		return tell_used_up(ev);
	/* What was guessed is never empty, and so no row without a code is anybody's. */
	if (!hash_equal_secret(code, span_of(guess->code, guess->n)))
		return wrong(ev);
	return write_row(ev, email, code, true, on_verified, NULL);
}

static enum verdict on_code(struct event *ev, struct span code)
{
	struct guess *guess;
	struct store_req *req;

	if (!code.n || code.n > CODE_MOST)
		return tell(ev, "Code rejected", SPAN("This is no code. Please write \"code: \" and behind it what was mailed to you."));
	guess = malloc(sizeof(*guess) + code.n);
	req = guess ? store_req_new(user_bare(ev->user)) : NULL;
	if (!req) {
		free(guess);
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	}
	guess->n = code.n;
	memcpy(guess->code, code.p, code.n);
	store_get(req, T_VERIFY, STORE_ALL, value_null());
	return event_ask(ev, &req, on_row, 0, guess);
}

/* --- the chains ------------------------------------------------------------------------------------------------------------- */

/* The word behind a prefix that the text begins with. */
static bool word_behind(struct span text, struct span prefix, struct span *word)
{
	if (text.n < prefix.n || strncasecmp(text.p, prefix.p, prefix.n) != 0)
		return false;
	const char *p = text.p + prefix.n, *end = text.p + text.n;

	while (p < end && isspace((unsigned char)*p))
		p++;
	const char *from = p;

	while (p < end && !isspace((unsigned char)*p))
		p++;
	*word = span_of(from, (size_t)(p - from));
	return true;
}

static enum verdict in_sess(struct event *ev)
{
	struct buf *body;
	struct xml *message;
	struct span word;

	if (likely(ev->user->verified) || !event_is(ev, PL_MESSAGE))
		return V_PASS;
	/* RFC 6120 section 8.3.1: an error is not answered. What has no body (that somebody is typing) was not written by hand: neither. */
	if (ev->type == ST_ERROR)
		return V_HANDLED;
	message = event_payload(ev);
	if (!message)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	body = scratch(ev->shard, 1);
	if (!xml_child_text(message, NS_CLIENT, "body", body))
		return V_HANDLED;
	if (body->failed)
		return event_error(ev, SE_RESOURCE_CONSTRAINT);
	if (word_behind(buf_span(body), SPAN("email:"), &word))
		return on_email(ev, word);
	if (word_behind(buf_span(body), SPAN("code:"), &word))
		return on_code(ev, word);
	return tell_how(ev);
}

static int load_ask(struct store_req *req)
{
	return store_get(req, T_VERIFY, STORE_ALL, value_null());
}

static bool load_done(struct user *u, const struct store_req *req, int first)
{
	u->verified = store_rows(req, first) > 0 && store_value(req, first, 0, VERIFY_STATE).i != 0;
	return true;
}

static void user_delete(struct event *ev, struct store_req *req)
{
	(void)ev;
	store_delete(req, T_VERIFY, STORE_ALL, value_null());
}

static bool read_options(struct config *config, void *into)
{
	((struct verify_options *)into)->mails_per_hour = (unsigned)config_int(config, "user.verify.mails-per-hour", MAILS_PER_HOUR, 1, 1000);
	return true;
}

const struct module module_verify = {
	.name = "verify",
	.about = ABOUT_MESSAGES,
	.mails = true,
	.options = { &options, sizeof(options), read_options, NULL },
	.in_sess = in_sess,
	.part = PART_ACCOUNT,
	.load_ask = load_ask,
	.load_done = load_done,
	.user_delete = user_delete,
};
