/* xml_text.c - text that did not come through the gate: may it be written into a document?
 * Threads: any.
 * Owns: nothing.
 */
#include "shardsm/xml.h"
#include "xmpp/scan.h"

bool xml_text_ok(struct span text)
{
	return scan_text_ok(text);
}
