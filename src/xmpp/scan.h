/* scan.h - the gate's tokens: character classes, runs of plain bytes, UTF-8, references.
 * Threads: any; values.
 * Owns: nothing.
 */
#ifndef XMPP_SCAN_H
#define XMPP_SCAN_H

#include "shardsm/span.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum scan_class {
	SC_START = 1, /* begins a name; the colon is neither */
	SC_NAME = 2,  /* goes on in a name */
	SC_SPACE = 4,
	SC_PLAIN = 8, /* stands for itself in text and in values, whatever the quote, and needs no second look */
	SC_TEXT = 16, /* the same for text alone, where quotes mean nothing */
};
extern const uint8_t scan_classes[256];

static inline bool scan_is(char c, unsigned classes)
{
	return scan_classes[(unsigned char)c] & classes;
}

static inline const char *scan_space(const char *p, const char *end)
{
	while (p < end && scan_is(*p, SC_SPACE))
		p++;
	return p;
}

/* The portable twin of the two below. */
static inline const char *scan_run(const char *p, const char *end, unsigned classes)
{
	while (p < end && scan_is(*p, classes))
		p++;
	return p;
}

/* Passes bytes of a value that are nothing but themselves (SC_PLAIN), up to one that needs a look: markup, a quote, a control, a
 * non-ASCII byte. */
static inline const char *scan_plain(const char *p, const char *end)
{
#if defined(__SSE2__)
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* Signed: controls and everything from 0x80 up are below the blank. */
		__m128i stop = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
		/* 0x22 and 0x26 ("&) differ in one bit, as do 0x3c and 0x3e (<>): one comparison each. */
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)0xfb)), _mm_set1_epi8('"')));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_and_si128(v, _mm_set1_epi8((char)0xfd)), _mm_set1_epi8('<')));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, _mm_set1_epi8('\'')));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, _mm_set1_epi8(']')));
		unsigned mask = (unsigned)_mm_movemask_epi8(stop);
		if (mask)
			return p + __builtin_ctz(mask);
		p += 16;
	}
#endif
	return scan_run(p, end, SC_PLAIN);
}

/* The same for character data (SC_TEXT): up to markup, a bracket, a control, a non-ASCII byte. */
static inline const char *scan_text(const char *p, const char *end)
{
#if defined(__SSE2__)
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i stop = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, _mm_set1_epi8('<')));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, _mm_set1_epi8('&')));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(v, _mm_set1_epi8(']')));
		unsigned mask = (unsigned)_mm_movemask_epi8(stop);
		if (mask)
			return p + __builtin_ctz(mask);
		p += 16;
	}
#endif
	return scan_run(p, end, SC_TEXT);
}

/* Passes well-formed characters beyond ASCII: the common ones; any other, and what is ill-formed or cut off, is left to scan_utf8(). */
static inline const char *scan_beyond_ascii(const char *p, const char *end)
{
	while (end - p >= 3) {
		const unsigned char *u = (const unsigned char *)p;
		if (u[0] >= 0xc2 && u[0] <= 0xdf && (u[1] & 0xc0) == 0x80)
			p += 2;
		else if (u[0] >= 0xe1 && u[0] <= 0xee && u[0] != 0xed && (u[1] & 0xc0) == 0x80 && (u[2] & 0xc0) == 0x80)
			p += 3;
		else
			break;
	}
	return p;
}

/* One character at p, which is not ASCII: its length, 0: ill-formed or no XML character, -1: cut off by end. */
int scan_utf8(const char *p, const char *end, uint32_t *cp);
/* The same for a character beyond ASCII in a name; 0 too where a name can't hold it. */
int scan_name_char(const char *p, const char *end, bool first);
/* A reference at p, which is '&': its length, 0: not one of the five entities and no character's number, -1: cut off. */
int scan_reference(const char *p, const char *end, uint32_t *cp);
/* Writes cp as UTF-8; returns the length. */
int scan_put_utf8(char out[static 4], uint32_t cp);
/* An attribute's value as a parser reports it: references resolved, white space normalised. out has room for raw.n bytes. Returns
 * the length. raw passed the gate. */
size_t scan_decode(char *out, struct span raw);
/* True: well-formed UTF-8, and nothing that XML can't carry. */
bool scan_text_ok(struct span text);

/* Bytes that gate and cutter have looked at on this thread, for tests that count work. */
extern _Thread_local uint64_t scan_work;

#endif
