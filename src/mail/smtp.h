/* smtp.h - one mail to a relay, over SMTP.
 * Threads: the mailer's; smtp_open() and smtp_close() while it does not run.
 * Owns: a struct smtp owns its library handle; the settings are the opener's and outlive it.
 */
#ifndef SHARDSM_SMTP_H
#define SHARDSM_SMTP_H

#include "shardsm/mail.h"

enum smtp_tls { SMTP_CLEAR, SMTP_STARTTLS, SMTP_TLS };

struct smtp_settings {
	struct span host, cafile, user, pass; /* cafile, user: empty for none */
	struct span from;                     /* envelope and header; mail_address_fault() lets it pass */
	uint16_t port;
	enum smtp_tls tls;
	unsigned timeout;                     /* seconds for a mail */
	_Atomic bool stopping;                /* set: a mail in hand is given up within a second */
};

enum smtp_outcome {
	SMTP_SENT,
	SMTP_REFUSED,     /* RFC 5321 section 4.2.1: 5yz, the same again would fail again */
	SMTP_LATER,       /* 4yz: this mail may pass later */
	SMTP_UNAVAILABLE, /* no relay, or none that speaks with us: no mail passes */
};

struct smtp;
struct smtp *smtp_open(const struct smtp_settings *settings) MUST_USE; /* NULL: no memory */
void smtp_close(struct smtp **smtp);
/* Unless it was sent, mail->answer says why. */
enum smtp_outcome smtp_send(struct smtp *smtp, struct mail *mail);

#endif
