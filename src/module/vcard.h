/* vcard.h - a vCard as XEP-0054's XML and as the row that jabberd2 makes of it.
 * Threads: any; values.
 * Owns: nothing.
 */
#ifndef SHARDSM_MODULE_VCARD_H
#define SHARDSM_MODULE_VCARD_H

#include "shardsm/store.h"
#include "shardsm/vcard_columns.h"
#include "shardsm/xml.h"

#define NS_VCARD "vcard-temp"

/* Bytes of one field's text. */
struct vcard_limits {
	uint32_t field, avatar; /* avatar: the BINVAL of PHOTO, LOGO and SOUND */
};

/* The columns of a vCard: of each element that has one, the first; null where it is absent or empty. The values point into text. False:
 * no memory. */
bool vcard_columns(const struct xml *vcard, struct buf *text, struct value columns[VCARD_COLUMNS]) MUST_USE;
/* The element that the row makes, in jabberd2's order. */
void vcard_write(struct buf *out, const struct value columns[VCARD_COLUMNS]);
/* The first element whose text is over its limit, which is put in *limit. NULL: none. text: for its use. */
const struct xml *vcard_over(const struct xml *vcard, const struct vcard_limits *limits, struct buf *text, uint32_t *limit);

#endif
