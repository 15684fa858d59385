#!/usr/bin/python3
"""module_options.py - what settings of sm.xml change in a module, and rows that jabberd2's sm and shardsm write for each other.
Threads: one.
Owns: the servers that it starts.

usage: module_options.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import os
import sqlite3
import time
from datetime import datetime
from unittest.mock import patch

import servers
from run_transcripts import Server
from servers import SECONDS, World, need_jabberd2, run_cases
from transcript import Player

QUOTA = """
user alice bob carol
online alice/a
alice/a > <message to='bob@{d}' id='m1'><body>1</body></message>
alice/a > <message to='bob@{d}' id='m2' type='chat'><body>2</body></message>
alice/a > <message to='bob@{d}' id='m3'><body>3</body></message>
alice/a > <message to='bob@{d}' id='m4' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>
alice/a > <message to='carol@{d}' id='m5'><body>5</body></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m3' type='error'>{err:cancel:service-unavailable}...</message>
nothing
session bob/b
bob/b > <presence/>
bob/b <? <presence from='bob@{d}/b' to='{me}'/>
bob/b < <message from='alice@{d}/a' to='bob@{d}' id='m1'><body>1</body>...</message>
bob/b < <message from='alice@{d}/a' to='bob@{d}' id='m2' type='chat'><body>2</body>...</message>
nothing
# there is room again, also while a resource is connected
bob/b > <presence type='unavailable'/>
drop
alice/a > <message to='bob@{d}' id='m6'><body>6</body></message>
alice/a > <message to='bob@{d}' id='m7'><body>7</body></message>
alice/a > <message to='bob@{d}' id='m8'><body>8</body></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m8' type='error'>{err:cancel:service-unavailable}...</message>
nothing
"""

QUOTA_RESTARTED = """
user dave
online dave/d
dave/d > <message to='bob@{d}' id='n1'><body>1</body></message>
dave/d < <message from='bob@{d}' to='dave@{d}/d' id='n1' type='error'>{err:cancel:service-unavailable}...</message>
dave/d > <message to='carol@{d}' id='n2'><body>2</body></message>
dave/d > <message to='carol@{d}' id='n3'><body>3</body></message>
dave/d < <message from='carol@{d}' to='dave@{d}/d' id='n3' type='error'>{err:cancel:service-unavailable}...</message>
nothing
"""

HEADLINES = """
user alice bob
online alice/a
alice/a > <message to='bob@{d}' id='m1' type='headline'><body>news</body></message>
alice/a > <message to='bob@{d}' id='m2' type='error'>{err:cancel:gone}</message>
nothing
session bob/b
bob/b > <presence/>
bob/b <? <presence from='bob@{d}/b' to='{me}'/>
bob/b < <message from='alice@{d}/a' to='bob@{d}' id='m1' type='headline'><body>news</body><delay xmlns='urn:xmpp:delay' from='{d}' stamp='{any}'/></message>
nothing
"""

DROP = """
user alice bob
online alice/a bob/b
follows alice bob
bob/b end
drop
alice/a > <message to='bob@{d}' id='m1'><body>1</body></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m1' type='error'>{err:cancel:service-unavailable}...</message>
alice/a > <message to='bob@{d}' id='m2'><body>2</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='alert' condition='deliver' value='none'/></amp></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m2'>...</message>
session bob/b
bob/b > <presence/>
bob/b <? <presence from='bob@{d}/b' to='{me}'/>
alice/a < <presence from='bob@{d}/b' to='{any}'/>
nothing
"""

DROP_REQUESTS = """
user alice bob
online alice/a
alice/a > <presence type='subscribe' to='bob@{d}'/>
nothing
session bob/b
bob/b > <presence/>
bob/b <? <presence from='bob@{d}/b' to='{me}'/>
nothing
# who is there gets it
alice/a > <presence type='subscribe' to='bob@{d}'/>
bob/b < <presence type='subscribe' from='alice@{d}' to='{me}'/>
nothing
"""

AMP_OFF = """
user alice bob
online alice/a bob/b
alice/a > <message to='bob@{d}' id='m1'><body>x</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='alert' condition='deliver' value='direct'/></amp></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m1' type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unsupported-actions xmlns='http://jabber.org/protocol/amp'><rule action='alert' condition='deliver' value='direct'/></unsupported-actions></error>...</message>
alice/a > <message to='bob@{d}' id='m2'><body>x</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='drop' condition='expire-at' value='2004-01-01T00:00:00Z'/></amp></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m2' type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unsupported-conditions xmlns='http://jabber.org/protocol/amp'><rule action='drop' condition='expire-at' value='2004-01-01T00:00:00Z'/></unsupported-conditions></error>...</message>
alice/a > <iq type='get' id='d1' to='{d}'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/amp'/></iq>
alice/a < <iq type='result' id='d1' from='{d}' to='alice@{d}/a'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/amp'><identity name='{any}' category='im' type='server'/><feature var='http://jabber.org/protocol/amp'/><feature var='http://jabber.org/protocol/amp?action=drop'/><feature var='http://jabber.org/protocol/amp?action=error'/><feature var='http://jabber.org/protocol/amp?action=notify'/><feature var='http://jabber.org/protocol/amp?condition=deliver'/><feature var='http://jabber.org/protocol/amp?condition=match-resource'/></query></iq>
nothing
"""

AMP_ALERT_ONLY = """
user alice bob
online alice/a bob/b
alice/a > <message to='bob@{d}' id='m1'><body>x</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='alert' condition='match-resource' value='exact'/></amp></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m1' type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unsupported-conditions xmlns='http://jabber.org/protocol/amp'><rule action='alert' condition='match-resource' value='exact'/></unsupported-conditions></error>...</message>
alice/a > <iq type='get' id='d1' to='{d}'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/amp'/></iq>
alice/a < <iq type='result' id='d1' from='{d}' to='alice@{d}/a'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/amp'><identity name='{any}' category='im' type='server'/><feature var='http://jabber.org/protocol/amp'/><feature var='http://jabber.org/protocol/amp?action=alert'/><feature var='http://jabber.org/protocol/amp?condition=expire-at'/></query></iq>
nothing
"""

# The store is there all the same: the setting tells the rules only.
AMP_NO_STORAGE = """
user alice bob
online alice/a bob/b
follows alice bob
bob/b end
drop
alice/a > <message to='bob@{d}' id='m1'><body>x</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='drop' condition='deliver' value='stored'/><rule action='alert' condition='deliver' value='none'/></amp></message>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m1'><amp xmlns='http://jabber.org/protocol/amp' status='alert' from='alice@{d}/a' to='bob@{d}'><rule action='alert' condition='deliver' value='none'/></amp></message>
alice/a > <message to='bob@{d}' id='m2'><body>kept</body></message>
nothing
session bob/b
bob/b > <presence/>
alice/a <? <presence from='bob@{d}/b' to='{any}'/>
bob/b <? <presence from='bob@{d}/b' to='{me}'/>
bob/b < <message from='alice@{d}/a' to='bob@{d}' id='m2'><body>kept</body>...</message>
nothing
"""

# Chains that nobody would write. A twin has nothing left to do, but in disco-extend.
ODD_CHAINS = {
    'pkt-sm': 'echo none-such echo roster',
    "pkt-sm' again='": 'iq-ping disco',
    'none-such': 'echo',
    'sess-start': 'disco status status',
    'user-load': 'active active roster roster privacy vacation',
    'disco-extend': 'iq-version iq-version',
    'user-unload': 'echo',
}

ODD_CHAIN_CASES = """
user alice
session alice/a
alice/a > <message to='{d}/echo' id='e'><body>x</body></message>
alice/a < <message from='{d}/echo' to='{me}' id='e'><body>x</body></message>
alice/a > <iq type='get' id='p' to='{d}'><ping xmlns='urn:xmpp:ping'/></iq>
alice/a < <iq type='result' id='p' from='{d}' to='{me}'/>
alice/a > <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
alice/a < <iq type='result' id='r' to='{opt}'><query xmlns='jabber:iq:roster'/></iq>
nothing
"""

NO_CHAIN_CASES = """
user alice
session alice/a
alice/a > <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
alice/a < <iq type='error' id='r' to='{opt}'>{err:cancel:service-unavailable}...</iq>
nothing
"""

VCARD_LIMITS = """
user alice
session alice/a
alice/a > <iq type='set' id='v1'><vCard xmlns='vcard-temp'><FN>12345678</FN><PHOTO><BINVAL>123456789012</BINVAL></PHOTO></vCard></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v1'/>
alice/a > <iq type='set' id='v2'><vCard xmlns='vcard-temp'><FN>123456789</FN></vCard></iq>
alice/a < <iq type='error' to='{opt}' from='{opt}' id='v2'><error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>FN holds more than 8 bytes</text></error>...</iq>
alice/a > <iq type='set' id='v3'><vCard xmlns='vcard-temp'><PHOTO><BINVAL>1234567890123</BINVAL></PHOTO></vCard></iq>
alice/a < <iq type='error' to='{opt}' from='{opt}' id='v3'><error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>BINVAL holds more than 12 bytes</text></error>...</iq>
"""

LATER_BEFORE = """
user alice bob
online alice/a bob/b
follows alice bob
bob/b end
drop
alice/a > <message to='bob@{d}' id='m1'><body>1</body><x xmlns='jabber:x:expire' seconds='3600'/></message>
alice/a > <message to='bob@{d}' id='m2'><body>2</body><x xmlns='jabber:x:expire' seconds='36000'/></message>
alice/a > <message to='bob@{d}' id='m3'><body>3</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='alert' condition='expire-at' value='2035-01-01T00:00:00Z'/></amp></message>
alice/a > <message to='bob@{d}' id='m4'><body>4</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='drop' condition='expire-at' value='2099-01-01T00:00:00Z'/></amp></message>
nothing
"""

# Two hours later, and then when 2035 has come.
LATER_AFTER = """
session bob/b
alice/a nothing
bob/b > <presence/>
alice/a <? <presence from='bob@{d}/b' to='{any}'/>
bob/b <? <presence from='bob@{d}/b' to='{me}'/>
bob/b < <message from='alice@{d}/a' to='bob@{d}' id='m2'><body>2</body>...</message>
bob/b < <message from='alice@{d}/a' to='bob@{d}' id='m3'><body>3</body>...</message>
bob/b < <message from='alice@{d}/a' to='bob@{d}' id='m4'><body>4</body>...</message>
bob/b end
alice/a < <presence type='unavailable' from='bob@{d}/b' to='{any}'/>
alice/a > <message to='bob@{d}' id='m5'><body>5</body><amp xmlns='http://jabber.org/protocol/amp'><rule action='alert' condition='expire-at' value='2035-01-01T00:00:00Z'/></amp></message>
nothing
"""

LATER_2035 = """
session bob/b
bob/b > <presence/>
alice/a <? <presence from='bob@{d}/b' to='{any}'/>
bob/b <? <presence from='bob@{d}/b' to='{me}'/>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='m5'><amp xmlns='http://jabber.org/protocol/amp' status='alert' from='alice@{d}/a' to='bob@{d}'><rule action='alert' condition='expire-at' value='2035-01-01T00:00:00Z'/></amp></message>
nothing
"""

# Rows: jabberd2 writes, we read; we write, jabberd2 reads and edits, we read again.
STOCK_WRITES = """
user alice bob carol
online bob/b
session alice/a
alice/a > <iq type='set' id='v1'><vCard xmlns='vcard-temp'><FN>Alice</FN><TEL><HOME/><NUMBER>123</NUMBER></TEL><ORG><ORGNAME>O</ORGNAME><ORGUNIT>U</ORGUNIT></ORG><URL>http://x/?a&amp;b</URL></vCard></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v1'/>
alice/a > <iq type='set' id='p1'><query xmlns='jabber:iq:private'><s xmlns='urn:s' a='1'>old &lt;</s></query></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='p1'/>
alice/a end
bob/b > <message to='alice@{d}' id='m1' type='chat'><body>stored by jabberd2</body></message>
bob/b > <presence to='alice@{d}' type='subscribe' id='s1'/>
drop
"""

WE_READ = """
session alice/a
alice/a > <iq type='get' id='v1'><vCard xmlns='vcard-temp'/></iq>
# P22: no type of telephone that nobody gave
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v1'><vCard xmlns='vcard-temp'><FN>Alice</FN><TEL><NUMBER>123</NUMBER></TEL><ORG><ORGNAME>O</ORGNAME><ORGUNIT>U</ORGUNIT></ORG><URL>http://x/?a&amp;b</URL></vCard></iq>
alice/a > <iq type='get' id='p1'><query xmlns='jabber:iq:private'><s xmlns='urn:s'/></query></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='p1'><query xmlns='jabber:iq:private'><s xmlns='urn:s' a='1'>old &lt;</s></query></iq>
alice/a > <presence/>
alice/a <? <presence from='alice@{d}/a' to='{me}'/>
alice/a < <message from='bob@{d}/b' to='alice@{d}' id='m1' type='chat'><body>stored by jabberd2</body><delay xmlns='urn:xmpp:delay' from='{d}' stamp='{any}'/></message>
alice/a < <presence from='bob@{d}' to='alice@{d}' type='subscribe' id='s1'><delay xmlns='urn:xmpp:delay' from='{d}' stamp='{any}'/></presence>
nothing
alice/a > <iq type='set' id='v2'><vCard xmlns='vcard-temp'><FN>Alice</FN><TEL><HOME/><NUMBER>123</NUMBER></TEL><TEL><WORK/><NUMBER>456</NUMBER></TEL></vCard></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v2'/>
alice/a > <iq type='set' id='p2'><query xmlns='jabber:iq:private'><s xmlns='urn:s'>new</s></query></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='p2'/>
alice/a end
session bob/b
bob/b > <presence/>
drop
bob/b > <message to='carol@{d}' id='m2' type='chat'><body>stored by us</body></message>
nothing
"""

STOCK_READS = """
session alice/a
alice/a > <iq type='get' id='v1'><vCard xmlns='vcard-temp'/></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v1'><vCard xmlns='vcard-temp'><FN>Alice</FN><TEL><VOICE/><NUMBER>123</NUMBER></TEL></vCard></iq>
alice/a > <iq type='get' id='p1'><query xmlns='jabber:iq:private'><s xmlns='urn:s'/></query></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='p1'><query xmlns='jabber:iq:private'><s xmlns='urn:s'>new</s></query></iq>
online carol/c
session carol/d
drop
"""

STOCK_EDITS = """
session alice/a
alice/a > <iq type='set' id='v1'><vCard xmlns='vcard-temp'><FN>Alice Edited</FN></vCard></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v1'/>
"""

WE_READ_UNEDITED = """
session alice/a
alice/a > <iq type='get' id='v1'><vCard xmlns='vcard-temp'/></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v1'><vCard xmlns='vcard-temp'><FN>Alice</FN><TEL><HOME/><NUMBER>123</NUMBER></TEL><TEL><WORK/><NUMBER>456</NUMBER></TEL></vCard></iq>
"""

WE_READ_EDITED = """
session alice/a
alice/a > <iq type='get' id='v1'><vCard xmlns='vcard-temp'/></iq>
alice/a < <iq type='result' to='{opt}' from='{opt}' id='v1'><vCard xmlns='vcard-temp'><FN>Alice Edited</FN></vCard></iq>
"""


class WithOptions(Server):
    def __init__(self, world, extra):
        self.world, self.domains, self.stock, self.behind, self.router = world, ['t.test'], False, '', None
        self.options = dict(workers=2, parser='scan', extra=extra)
        self.start()


# Rows that nobody wrote with this server in mind.
ODD_BEFORE = """
user alice bob carol
"""

ODD_ROWS = """
INSERT INTO "vcard" ("collection-owner", "fn", "n-given", "note") VALUES ('alice@t.test', 'Alice', char(1), 'a<b');
INSERT INTO "vcard-xml" ("collection-owner", "xml") VALUES ('alice@t.test', '<vCard xmlns=''vcard-temp''><FN>Alice</FN>');
INSERT INTO "vcard-xml" ("collection-owner", "xml") VALUES ('bob@t.test', '<vCard xmlns=''vcard-temp''><FN>left over</FN></vCard>');
INSERT INTO "vcard" ("collection-owner", "fn") VALUES ('t.test', 'The server');
INSERT INTO "private" ("collection-owner", "ns", "xml") VALUES ('alice@t.test', 'urn:a', 'NAD<route>');
INSERT INTO "private" ("collection-owner", "ns", "xml") VALUES ('alice@t.test', 'urn:b', 'x');
INSERT INTO "private" ("collection-owner", "ns", "xml") VALUES ('alice@t.test', 'urn:c',
  'NAD<route xmlns=''http://jabberd.jabberstudio.org/ns/component/1.0'' to=''x'' from=''y''><iq xmlns=''jabber:client'' xmlns:sc=''http://jabberd.jabberstudio.org/ns/session/1.0'' sc:c2s=''11'' sc:sm=''ff89'' type=''set'' id=''p2''><query xmlns=''jabber:iq:private''><c xmlns=''urn:c'' sc:c2s=''12''>kept</c></query></iq></route>');
INSERT INTO "vacation-settings" ("collection-owner", "start", "end", "message") VALUES ('bob@t.test', 0, 0, char(7));
INSERT INTO "vacation-settings" ("collection-owner", "start", "end", "message") VALUES ('carol@t.test', 0, 0, NULL);
INSERT INTO "queue" ("collection-owner", "xml") VALUES ('carol@t.test', 'NAD<route');
INSERT INTO "queue" ("collection-owner", "xml") VALUES ('carol@t.test', '');
INSERT INTO "queue" ("collection-owner", "xml") VALUES ('carol@t.test',
  'NAD<route xmlns=''http://jabberd.jabberstudio.org/ns/component/1.0''><message xmlns=''jabber:client'' from=''alice@t.test/a'' to=''carol@t.test'' id=''q1''><x xmlns=''jabber:x:delay'' stamp=''20020910T23:08:25'' from=''alice@t.test/a''/><body>old</body><x xmlns=''jabber:x:expire'' seconds=''60''/></message></route>');
INSERT INTO "queue" ("collection-owner", "xml") VALUES ('carol@t.test',
  'NAD<route xmlns=''http://jabberd.jabberstudio.org/ns/component/1.0''><presence xmlns=''jabber:client'' from=''alice@t.test'' to=''carol@t.test'' type=''subscribed''/></route>');
INSERT INTO "queue" ("collection-owner", "xml") VALUES ('bob@t.test', 'NAD<route');
INSERT INTO "queue" ("collection-owner", "xml") VALUES ('bob@t.test',
  'NAD<route xmlns=''http://jabberd.jabberstudio.org/ns/component/1.0''><message xmlns=''jabber:client'' from=''alice@t.test/a'' to=''bob@t.test'' id=''q2''><body>unread</body></message></route>');
"""

ODD_AFTER = """
session alice/a
alice/a > <iq type='get' id='v1'><vCard xmlns='vcard-temp'/></iq>
alice/a < <iq type='result' to='{opt}' id='v1'><vCard xmlns='vcard-temp'><FN>Alice</FN><NOTE>a&lt;b</NOTE></vCard></iq>
alice/a > <iq type='get' id='v2' to='bob@{d}'><vCard xmlns='vcard-temp'/></iq>
alice/a < <iq type='error' from='bob@{d}' to='alice@{d}/a' id='v2'>{err:cancel:service-unavailable}...</iq>
alice/a > <iq type='get' id='v3' to='{d}'><vCard xmlns='vcard-temp'/></iq>
alice/a < <iq type='result' from='{d}' to='alice@{d}/a' id='v3'><vCard xmlns='vcard-temp'><FN>The server</FN></vCard></iq>
alice/a > <iq type='set' id='v4' to='{d}'><vCard xmlns='vcard-temp'><FN>Mallory</FN></vCard></iq>
alice/a < <iq type='error' from='{d}' to='alice@{d}/a' id='v4'>{err:auth:forbidden}...</iq>
alice/a > <iq type='get' id='p1'><query xmlns='jabber:iq:private'><s xmlns='urn:a'/></query></iq>
alice/a < <iq type='result' to='{opt}' id='p1'><query xmlns='jabber:iq:private'><s xmlns='urn:a'/></query></iq>
alice/a > <iq type='get' id='p2'><query xmlns='jabber:iq:private'><s xmlns='urn:b'/></query></iq>
alice/a < <iq type='result' to='{opt}' id='p2'><query xmlns='jabber:iq:private'><s xmlns='urn:b'/></query></iq>
alice/a > <iq type='get' id='p3'><query xmlns='jabber:iq:private'><s xmlns='urn:c'/></query></iq>
alice/a < <iq type='result' to='{opt}' id='p3'><query xmlns='jabber:iq:private'><c xmlns='urn:c'>kept</c></query></iq>
session bob/b
bob/b > <iq type='get' id='x0'><query xmlns='http://jabber.org/protocol/vacation'/></iq>
bob/b < <iq type='result' to='{opt}' id='x0'/>
bob/b end
session carol/c
carol/c > <iq type='get' id='x1'><query xmlns='http://jabber.org/protocol/vacation'/></iq>
carol/c < <iq type='result' to='{opt}' id='x1'/>
carol/c > <presence/>
carol/c <? <presence from='carol@{d}/c' to='{me}'/>
carol/c < <presence from='alice@{d}' to='carol@{d}' type='subscribed'/>
nothing
c2s >> <route from='c2s-{d}' to='{d}'><sc:session xmlns:sc='{S}' action='delete' target='bob@{d}' id='x'/></route>
alice/a < <message from='bob@{d}' to='alice@{d}/a' id='q2' type='error'>{err:cancel:item-not-found}<body>unread</body></message>
c2s << <route to='c2s-{d}' from='{d}'><sc:session xmlns:sc='{S}' action='deleted' target='bob@{d}' id='x'/></route>
nothing
"""

# Tables without a key take twins, and columns of others' making; of a rule's type jabberd2 reads the first letter.
TWIN_ROWS = """
ALTER TABLE "roster-items" ADD COLUMN "colour" TEXT;
ALTER TABLE "privacy-items" ADD COLUMN "colour" TEXT;
INSERT INTO "roster-items" ("collection-owner", "jid", "name", "to", "from", "ask", "colour") VALUES
  ('alice@t.test', 'x@w.test', 'first', 0, 0, 1, 'red'), ('alice@t.test', 'x@w.test', 'last', 1, 1, 0, NULL);
INSERT INTO "roster-groups" ("collection-owner", "jid", "group") VALUES ('alice@t.test', 'x@w.test', 'g');
INSERT INTO "privacy-items" ("collection-owner", "list", "type", "value", "deny", "order", "block", "colour") VALUES
  ('alice@t.test', 'l', 'j', 'x@w.test', 1, 1, 0, 'red'), ('alice@t.test', 'l', 'gr', 'g', 0, 2, 1, NULL),
  ('alice@t.test', 'l', 's', 'none', 1, 3, 10, NULL);
"""

TWIN_CASES = """
session alice/a
alice/a > <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
alice/a < <iq type='result' id='r' to='{opt}'><query xmlns='jabber:iq:roster'><item jid='x@w.test' name='last' subscription='both'><group>g</group></item></query></iq>
alice/a > <iq type='get' id='l'><query xmlns='jabber:iq:privacy'><list name='l'/></query></iq>
alice/a < <iq type='result' id='l' to='{opt}'><query xmlns='jabber:iq:privacy'><list name='l'><item type='jid' value='x@w.test' action='deny' order='1'/><item type='group' value='g' action='allow' order='2'><message/></item><item type='subscription' value='none' action='deny' order='3'><presence-in/><iq/></item></list></query></iq>
nothing
"""


def play(world, player, text):
    player.play(world.write('case.txt', text))


def with_options(extra, *texts):
    """Plays texts on one server with these settings, started anew between two of them."""
    with World() as world:
        server = WithOptions(world, extra)
        for i, text in enumerate(texts):
            if i:
                server.restart(False)
            player = Player(server, 't.test')
            try:
                play(world, player, text)
            finally:
                player.close()


def later():
    with World() as world:
        clock = world.write('clock', '0')
        os.environ['SHARDSM_CLOCK_OFFSET_FILE'] = clock
        try:
            server = WithOptions(world, '')
        finally:
            del os.environ['SHARDSM_CLOCK_OFFSET_FILE']
        player = Player(server, 't.test')
        try:
            play(world, player, LATER_BEFORE)
            for offset, text in ((7200, LATER_AFTER), (10 * 366 * 86400, LATER_2035)):
                step_clock(world, player, offset)
                continue_with(world, player, text)
        finally:
            player.close()


def step_clock(world, player, offset):
    """The clock's file is looked at once a second: asks the server for its time, again and again, until that has moved."""
    session, end = next(iter(player.sessions.values())), time.monotonic() + SECONDS
    before = server_time(player, session)
    world.write('clock', str(offset))
    while server_time(player, session) - before < 3600:
        assert time.monotonic() < end, 'the clock stands still'


def server_time(player, session):
    session.send("<iq type='get' id='t' to='%s'><time xmlns='urn:xmpp:time'/></iq>" % player.domain)
    answer = session.next('the time')
    text = answer.find('time').find('utc').text()
    return datetime.strptime(text, '%Y-%m-%dT%H:%M:%SZ').timestamp()


def continue_with(world, player, text):
    for number, line in enumerate(l for l in text.splitlines() if l.strip()):
        if not line.startswith('#'):
            player.line(number, line)
    player.settle()
    player.nothing_for_all()


def rows():
    """Both servers in turn on one database; the accounts stay."""
    need_jabberd2('router', 'sm')
    with World() as world:
        world.make_schema()
        for stock, text in ((True, STOCK_WRITES), (False, WE_READ), (True, STOCK_READS), (False, WE_READ_UNEDITED),
                            (True, STOCK_EDITS), (False, WE_READ_EDITED)):
            server = StandIn(world, stock)
            player = Player(server, 't.test')
            player.users = ['alice', 'bob', 'carol'] if 'user alice' not in text else []
            try:
                play(world, player, text)
            finally:
                player.close()
                server.stop()


def odd_rows():
    with World() as world:
        server = WithOptions(world, "<modules><chain id='pkt-sm'><module>iq-vcard</module></chain></modules>")
        for text in (ODD_BEFORE, ODD_AFTER):
            player = Player(server, 't.test')
            try:
                play(world, player, text)
            finally:
                player.close()
            if text == ODD_BEFORE:
                with sqlite3.connect(world.db) as db:
                    db.executescript(ODD_ROWS)
                db.close()


def twin_rows(stock):
    if stock:
        need_jabberd2('router', 'sm')
    with World() as world:
        world.make_schema()
        for text in ('user alice\n', TWIN_CASES):
            server = StandIn(world, stock)
            player = Player(server, 't.test')
            player.users = ['alice'] if text == TWIN_CASES else []
            try:
                play(world, player, text)
            finally:
                player.close()
                server.stop()
            if text != TWIN_CASES:
                with sqlite3.connect(world.db) as db:
                    db.executescript(TWIN_ROWS)
                db.close()


def with_chains(chains, stock, told, text):
    """Plays text on a server with other chains, and looks for what its log says of them."""
    with patch.dict(servers.CHAINS, chains), World() as world:
        if stock:
            need_jabberd2('router', 'sm')
            world.make_schema()
        server = StandIn(world, stock)
        for line in told:
            server.process.wait_line(line)
        player = Player(server, 't.test')
        try:
            play(world, player, text)
        finally:
            player.close()


class StandIn(Server):
    """A Server on a database that is there already."""

    def __init__(self, world, stock):
        self.world, self.router = world, None
        if stock:
            self.router, self.port = world.router()
            self.process = world.stock_sm(world.sm_config(['t.test'], router=self.port, workers=0))
        else:
            self.process, self.port = world.listening_shardsm(['t.test'], workers=2)

    def stop(self):
        for process in (self.process, self.router):
            if process is not None:
                process.cleanup()
                self.world.processes.remove(process)


CASES = {
    'quota': lambda: with_options('<offline><userquota>2</userquota></offline>', QUOTA, QUOTA_RESTARTED),
    'headlines': lambda: with_options('<offline><storeheadlines/></offline>', HEADLINES),
    'dropmessages': lambda: with_options('<offline><dropmessages/></offline>', DROP),
    'dropsubscriptions': lambda: with_options('<offline><dropsubscriptions/></offline>', DROP_REQUESTS),
    'amp': lambda: with_options('<amp><disableactions><alert/></disableactions><disableconditions><expireat/>'
                                '</disableconditions></amp>', AMP_OFF),
    'amp alert only': lambda: with_options('<amp><disableactions><drop/><error/><notify/></disableactions><disableconditions><deliver/>'
                                           '<matchresource/></disableconditions></amp>', AMP_ALERT_ONLY),
    'amp no storage': lambda: with_options('<amp><offlinestoragedisabled/></amp>', AMP_NO_STORAGE),
    'odd chains': lambda: with_chains(ODD_CHAINS, False, (r"sm\.xml:\d+: module 'none-such' in chain 'pkt-sm' is not one of",
                                                          r"sm\.xml:\d+: no module chain is called 'none-such'"), ODD_CHAIN_CASES),
    'odd chains, jabberd2': lambda: with_chains(ODD_CHAINS, True, (r"unknown chain type 'none-such'",), ODD_CHAIN_CASES),
    'no chains': lambda: with_chains({'in-sess': '', 'pkt-user': ''}, False, ('no in-sess chain: ', 'no pkt-user chain: '), NO_CHAIN_CASES),
    'vcard': lambda: with_options('<user><vcard><max-field-size><default>8</default><avatar>12</avatar></max-field-size>'
                                  '</vcard></user>', VCARD_LIMITS),
    'later': later,
    'rows': rows,
    'odd rows': odd_rows,
    'twin rows': lambda: twin_rows(False),
    'twin rows, jabberd2': lambda: twin_rows(True),
}


if __name__ == '__main__':
    sys.exit(run_cases(CASES))
