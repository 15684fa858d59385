/* address.c - which e-mail addresses a mail may go to.
 * Threads: any.
 * Owns: nothing.
 * Source: RFC 5321 sections 4.1.2 and 4.5.3.1. What passes holds no byte that means anything to SMTP, to a header, or to a URL.
 */
#include "shardsm/mail.h"

#define LOCAL_MAX 64u
#define LABEL_MAX 63u

static bool alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool atext(char c)
{
	return alnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static const char *local_fault(struct span local)
{
	if (!local.n)
		return "there is nothing in front of its @";
	if (local.n > LOCAL_MAX)
		return "in front of its @ stand more than 64 characters";
	for (uint32_t i = 0; i < local.n; i++)
		if (local.p[i] == '.' ? i == 0 || i + 1 == local.n || local.p[i - 1] == '.' : !atext(local.p[i]))
			return "in front of an @ stand letters, digits, signs like + - _ and single dots between them";
	return NULL;
}

static const char *domain_fault(struct span domain)
{
	static const char wrong[] = "behind an @ stands a domain like example.com: letters, digits, and hyphens and dots between them";
	uint32_t label = 0;

	for (uint32_t i = 0; i <= domain.n; i++) {
		bool end = i == domain.n || domain.p[i] == '.';

		if (end ? label == 0 || label > LABEL_MAX || domain.p[i - 1] == '-'
			: !alnum(domain.p[i]) && !(domain.p[i] == '-' && label > 0))
			return wrong;
		label = end ? 0 : label + 1;
	}
	return NULL;
}

const char *mail_address_fault(struct span address)
{
	const char *at = address.n ? memrchr(address.p, '@', address.n) : NULL, *fault;

	for (uint32_t i = 0; i < address.n; i++)
		if (address.p[i] & 0x80)
			return "it holds characters that are not ASCII; a domain can be written in its xn-- form";
	if (address.n > MAIL_ADDRESS_MAX)
		return "it is longer than 254 characters";
	if (!at)
		return "it has no @; one looks like johndoe@example.com";
	fault = local_fault(span_of(address.p, (size_t)(at - address.p)));
	return fault ? fault : domain_fault(span_of(at + 1, (size_t)(address.p + address.n - at - 1)));
}
