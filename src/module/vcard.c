/* vcard.c - the mapping between vCard elements and jabberd2's columns.
 * Threads: any; values.
 * Owns: nothing.
 */
#include "module/vcard.h"

static const struct { const char *group, *name; } fields[VCARD_COLUMNS] = {
	[VCARD_FN] = { NULL, "FN" },
	[VCARD_NICKNAME] = { NULL, "NICKNAME" },
	[VCARD_URL] = { NULL, "URL" },
	[VCARD_TEL] = { "TEL", "NUMBER" },
	[VCARD_EMAIL] = { "EMAIL", "USERID" },
	[VCARD_JABBERID] = { NULL, "JABBERID" },
	[VCARD_MAILER] = { NULL, "MAILER" },
	[VCARD_TITLE] = { NULL, "TITLE" },
	[VCARD_ROLE] = { NULL, "ROLE" },
	[VCARD_BDAY] = { NULL, "BDAY" },
	[VCARD_TZ] = { NULL, "TZ" },
	[VCARD_N_FAMILY] = { "N", "FAMILY" },
	[VCARD_N_GIVEN] = { "N", "GIVEN" },
	[VCARD_N_MIDDLE] = { "N", "MIDDLE" },
	[VCARD_N_PREFIX] = { "N", "PREFIX" },
	[VCARD_N_SUFFIX] = { "N", "SUFFIX" },
	[VCARD_ADR_STREET] = { "ADR", "STREET" },
	[VCARD_ADR_EXTADD] = { "ADR", "EXTADD" },
	[VCARD_ADR_POBOX] = { "ADR", "POBOX" },
	[VCARD_ADR_LOCALITY] = { "ADR", "LOCALITY" },
	[VCARD_ADR_REGION] = { "ADR", "REGION" },
	[VCARD_ADR_PCODE] = { "ADR", "PCODE" },
	[VCARD_ADR_COUNTRY] = { "ADR", "CTRY" },
	[VCARD_GEO_LAT] = { "GEO", "LAT" },
	[VCARD_GEO_LON] = { "GEO", "LON" },
	[VCARD_ORG_ORGNAME] = { "ORG", "ORGNAME" },
	[VCARD_ORG_ORGUNIT] = { "ORG", "ORGUNIT" },
	[VCARD_AGENT_EXTVAL] = { "AGENT", "EXTVAL" },
	[VCARD_SORT_STRING] = { NULL, "SORT-STRING" },
	[VCARD_DESC] = { NULL, "DESC" },
	[VCARD_NOTE] = { NULL, "NOTE" },
	[VCARD_UID] = { NULL, "UID" },
	[VCARD_PHOTO_TYPE] = { "PHOTO", "TYPE" },
	[VCARD_PHOTO_BINVAL] = { "PHOTO", "BINVAL" },
	[VCARD_PHOTO_EXTVAL] = { "PHOTO", "EXTVAL" },
	[VCARD_LOGO_TYPE] = { "LOGO", "TYPE" },
	[VCARD_LOGO_BINVAL] = { "LOGO", "BINVAL" },
	[VCARD_LOGO_EXTVAL] = { "LOGO", "EXTVAL" },
	[VCARD_SOUND_PHONETIC] = { "SOUND", "PHONETIC" },
	[VCARD_SOUND_BINVAL] = { "SOUND", "BINVAL" },
	[VCARD_SOUND_EXTVAL] = { "SOUND", "EXTVAL" },
	[VCARD_KEY_TYPE] = { "KEY", "TYPE" },
	[VCARD_KEY_CRED] = { "KEY", "CRED" },
	[VCARD_REV] = { NULL, "REV" },
};

/* COMPAT: the order in which jabberd2 gives them out; a group's columns stand together. */
static const uint8_t order[] = {
	VCARD_FN, VCARD_N_FAMILY, VCARD_N_GIVEN, VCARD_N_MIDDLE, VCARD_N_PREFIX, VCARD_N_SUFFIX, VCARD_NICKNAME,
	VCARD_PHOTO_TYPE, VCARD_PHOTO_BINVAL, VCARD_PHOTO_EXTVAL, VCARD_BDAY, VCARD_ADR_POBOX, VCARD_ADR_EXTADD,
	VCARD_ADR_STREET, VCARD_ADR_LOCALITY, VCARD_ADR_REGION, VCARD_ADR_PCODE, VCARD_ADR_COUNTRY, VCARD_TEL, VCARD_EMAIL,
	VCARD_JABBERID, VCARD_MAILER, VCARD_TZ, VCARD_GEO_LAT, VCARD_GEO_LON, VCARD_TITLE, VCARD_ROLE, VCARD_LOGO_TYPE,
	VCARD_LOGO_BINVAL, VCARD_LOGO_EXTVAL, VCARD_AGENT_EXTVAL, VCARD_ORG_ORGNAME, VCARD_ORG_ORGUNIT, VCARD_NOTE, VCARD_REV,
	VCARD_SORT_STRING, VCARD_SOUND_PHONETIC, VCARD_SOUND_BINVAL, VCARD_SOUND_EXTVAL, VCARD_UID, VCARD_URL, VCARD_DESC,
	VCARD_KEY_TYPE, VCARD_KEY_CRED,
};
_Static_assert(sizeof(order) == VCARD_COLUMNS, "every column once");

bool vcard_columns(const struct xml *vcard, struct buf *text, struct value columns[VCARD_COLUMNS])
{
	uint32_t ends[VCARD_COLUMNS], begin = text->n;

	for (int i = 0; i < VCARD_COLUMNS; i++) {
		const struct xml *at = fields[i].group ? xml_child(vcard, NS_VCARD, fields[i].group) : vcard;

		if (at)
			xml_child_text(at, NS_VCARD, fields[i].name, text);
		ends[i] = text->n;
	}
	if (text->failed)
		return false;
	/* Only now: the buffer stays where it is. */
	for (int i = 0; i < VCARD_COLUMNS; i++) {
		columns[i] = ends[i] > begin ? value_text(span_of(text->p + begin, ends[i] - begin)) : value_null();
		begin = ends[i];
	}
	return true;
}

static void tag(struct buf *out, const char *before, const char *name)
{
	buf_str(out, before);
	buf_str(out, name);
	buf_str(out, ">");
}

void vcard_write(struct buf *out, const struct value columns[VCARD_COLUMNS])
{
	const char *open = NULL;

	buf_str(out, "<vCard xmlns='" NS_VCARD "'>");
	for (size_t i = 0; i < sizeof(order); i++) {
		const char *group = fields[order[i]].group, *name = fields[order[i]].name;
		struct span text = columns[order[i]].s;

		/* A column did not come through the gate. */
		if (columns[order[i]].kind != VALUE_TEXT || !text.n || !xml_text_ok(text))
			continue;
		if (open && (!group || strcmp(open, group) != 0)) {
			tag(out, "</", open);
			open = NULL;
		}
		if (group && !open)
			tag(out, "<", group);
		open = group;
		tag(out, "<", name);
		buf_text(out, text);
		tag(out, "</", name);
	}
	if (open)
		tag(out, "</", open);
	buf_str(out, "</vCard>");
}

static bool is_picture(const struct xml *group)
{
	return xml_is(group, NS_VCARD, "PHOTO") || xml_is(group, NS_VCARD, "LOGO") || xml_is(group, NS_VCARD, "SOUND");
}

const struct xml *vcard_over(const struct xml *vcard, const struct vcard_limits *limits, struct buf *text, uint32_t *limit)
{
	/* As deep as the gate lets elements nest. */
	for (const struct xml *e = xml_child(vcard, NULL, NULL); e; e = xml_next(e, NULL, NULL)) {
		const struct xml *inner;

		*limit = is_picture(vcard) && xml_is(e, NS_VCARD, "BINVAL") ? limits->avatar : limits->field;
		buf_clear(text);
		xml_text(e, text);
		if (text->n > *limit)
			return e;
		inner = vcard_over(e, limits, text, limit);
		if (inner)
			return inner;
	}
	return NULL;
}
