"""request_table.py - the IQ requests that the server handles, and what each mistake in them must be answered with.
Threads: none; constant values.
Owns: nothing.

A Request is a right one. Its mutations are made by bad_requests.py; the first row of ROWS that fits (request, place, mistake) says which
answers are right. A place is `stanza`, `payload`, or a path below the payload: `item`, `item/group`, `item@jid`.
"""
import collections
import fnmatch

NS_ROSTER = 'jabber:iq:roster'
NS_PRIVATE = 'jabber:iq:private'
NS_VCARD = 'vcard-temp'
NS_VACATION = 'http://jabber.org/protocol/vacation'
NS_PRIVACY = 'jabber:iq:privacy'
NS_BLOCKING = 'urn:xmpp:blocking'
NS_LAST = 'jabber:iq:last'
NS_PING = 'urn:xmpp:ping'
NS_TIME = 'urn:xmpp:time'
NS_VERSION = 'jabber:iq:version'
NS_INFO = 'http://jabber.org/protocol/disco#info'
NS_ITEMS = 'http://jabber.org/protocol/disco#items'

# type: get or set. scopes: self (no `to`), server, account (a friend's bare JID). changes: the asker's state is another afterwards.
Request = collections.namedtuple('Request', 'name type scopes xml changes')


def get(name, scopes, xml):
    return Request(name, 'get', scopes.split(), xml, False)


def change(name, xml):
    return Request(name, 'set', ['self'], xml, True)


REQUESTS = (
    get('roster-get', 'self', "<query xmlns='%s'/>" % NS_ROSTER),
    change('roster-set', "<query xmlns='%s'><item jid='new@{d}' name='New'><group>g</group></item></query>" % NS_ROSTER),
    change('roster-remove', "<query xmlns='%s'><item jid='friend@{d}' subscription='remove'/></query>" % NS_ROSTER),
    get('private-get', 'self', "<query xmlns='%s'><s xmlns='urn:s'/></query>" % NS_PRIVATE),
    change('private-set', "<query xmlns='%s'><s xmlns='urn:s'>new</s></query>" % NS_PRIVATE),
    get('vcard-get', 'self account', "<vCard xmlns='%s'/>" % NS_VCARD),
    change('vcard-set', "<vCard xmlns='%s'><FN>new</FN><N><FAMILY>f</FAMILY></N></vCard>" % NS_VCARD),
    get('vacation-get', 'self', "<query xmlns='%s'/>" % NS_VACATION),
    change('vacation-set', "<query xmlns='%s'><start/><end/><message>new</message></query>" % NS_VACATION),
    get('privacy-names', 'self', "<query xmlns='%s'/>" % NS_PRIVACY),
    get('privacy-list', 'self', "<query xmlns='%s'><list name='work'/></query>" % NS_PRIVACY),
    change('privacy-set', "<query xmlns='%s'><list name='new'><item type='jid' value='x@y.test' action='deny' order='1'><message/></item>"
           "</list></query>" % NS_PRIVACY),
    change('privacy-remove', "<query xmlns='%s'><list name='work'/></query>" % NS_PRIVACY),
    change('privacy-active', "<query xmlns='%s'><active name='work'/></query>" % NS_PRIVACY),
    change('privacy-default', "<query xmlns='%s'><default name='work'/></query>" % NS_PRIVACY),
    get('blocklist', 'self', "<blocklist xmlns='%s'/>" % NS_BLOCKING),
    change('block', "<block xmlns='%s'><item jid='pest@y.test'/></block>" % NS_BLOCKING),
    change('unblock', "<unblock xmlns='%s'><item jid='blocked@y.test'/></unblock>" % NS_BLOCKING),
    get('last', 'server account', "<query xmlns='%s'/>" % NS_LAST),
    get('ping', 'self server', "<ping xmlns='%s'/>" % NS_PING),
    get('version', 'server', "<query xmlns='%s'/>" % NS_VERSION),
    get('time', 'server', "<time xmlns='%s'/>" % NS_TIME),
    get('info', 'self server account', "<query xmlns='%s'/>" % NS_INFO),
    get('agents', 'self server', "<query xmlns='jabber:iq:agents'/>"),
    get('items', 'self server account', "<query xmlns='%s'/>" % NS_ITEMS),
)

# (scope, namespace) that a module has rules for and that no request above shows: why not.
NOT_HERE = {
    ('account', NS_PING): 'jabberd2 has iq-ping in no chain for accounts; to one\'s own account it is self',
    ('server', NS_VCARD): 'jabberd2 has iq-vcard in no chain for the server; module_options.py puts it there',
}

# What a user has before each request; STATE shows it.
BASE = (
    "<query xmlns='%s'><item jid='friend@{d}' name='Friend'><group>friends</group></item></query>" % NS_ROSTER,
    "<query xmlns='%s'><s xmlns='urn:s'>old</s></query>" % NS_PRIVATE,
    "<vCard xmlns='%s'><FN>old</FN></vCard>" % NS_VCARD,
    "<query xmlns='%s'><start/><end/><message>old</message></query>" % NS_VACATION,
    "<block xmlns='%s'><item jid='blocked@y.test'/></block>" % NS_BLOCKING,
    "<query xmlns='%s'><list name='work'><item type='jid' value='a@y.test' action='deny' order='1'/></list></query>" % NS_PRIVACY,
)
STATE = (
    "<query xmlns='%s'/>" % NS_ROSTER,
    "<query xmlns='%s'><s xmlns='urn:s'/></query>" % NS_PRIVATE,
    "<query xmlns='%s'><s xmlns='urn:foreign'/></query>" % NS_PRIVATE,
    "<vCard xmlns='%s'/>" % NS_VCARD,
    "<query xmlns='%s'/>" % NS_VACATION,
    "<query xmlns='%s'/>" % NS_PRIVACY,
    "<query xmlns='%s'><list name='work'/></query>" % NS_PRIVACY,
    "<query xmlns='%s'><list name='new'/></query>" % NS_PRIVACY,
    "<blocklist xmlns='%s'/>" % NS_BLOCKING,
)

OK = 'result'
SILENCE = 'silence'
BAD = 'bad-request'
NOT_FOUND = 'item-not-found'
MALFORMED = 'jid-malformed'
TOO_MUCH = 'not-acceptable'
UNAVAILABLE = 'service-unavailable'
FOREIGN = (UNAVAILABLE, 'feature-not-implemented')
REFUSED = (UNAVAILABLE, 'feature-not-implemented', 'forbidden', 'not-allowed', BAD)

# request, place, mistake (patterns); the answers that are right; where that is written.
ROWS = (
    # -- every IQ ---------------------------------------------------------------------------------------------------------
    ('*', 'stanza', 'no child', (BAD,), 'RFC 6120 8.2.3: a request holds exactly one child element; 8.3.3.1'),
    ('*', 'stanza', 'text', (BAD,), 'RFC 6120 8.2.3: exactly one child element'),
    ('*', 'stanza', 'twice', (BAD,), 'RFC 6120 8.2.3: exactly one child element'),
    ('*', 'stanza', 'another behind', (BAD,), 'RFC 6120 8.2.3: exactly one child element'),
    ('*', 'stanza', 'another in front', (BAD, UNAVAILABLE), 'RFC 6120 8.2.3; or 8.4 for the one in front'),
    ('*', 'stanza', 'no id', (OK, BAD), 'RFC 6120 8.2.3: the id is required; what lacks it may be answered all the same'),
    ('*', 'stanza', 'empty id', (OK, BAD), 'RFC 6120 8.1.3'),
    ('*', 'stanza', '* type', (BAD,), 'RFC 6120 8.2.3: what is no type must be answered with bad-request'),
    ('*', 'stanza', 'result', (SILENCE,), 'RFC 6120 8.2.3: a result is never answered'),
    ('*', 'stanza', 'error', (SILENCE,), 'RFC 6120 8.2.3: an error is never answered'),
    ('*', 'stanza', 'spoofed from', (OK,), "RFC 6120 8.1.2.1: the server puts the session's JID in its place"),
    ('*', 'stanza', 'to nobody', (MALFORMED,), 'RFC 6120 8.3.3.8: the to is no JID'),
    ('p*', 'stanza', 'to own bare', (OK, BAD), 'RFC 6120 10.3.3; XEP-0016 2.3 shows no addressee'),
    ('*block*', 'stanza', 'to own bare', (OK, BAD), 'RFC 6120 10.3.3; XEP-0191 3.2 shows no addressee'),
    ('vacation*', 'stanza', 'to own bare', (OK, BAD), 'RFC 6120 10.3.3'),
    ('*', 'stanza', 'to own bare', (OK,), 'RFC 6120 10.3.3: as without an addressee'),
    ('*', 'stanza', 'to another', REFUSED, "RFC 6120 8.3.3.4, RFC 6121 2.1.5: nobody else's state, and not one's own instead"),
    ('*', 'payload', 'misnamed', (BAD,) + FOREIGN, 'RFC 6120 8.3.3.1: not what the schema of the namespace has'),
    ('*', 'payload', 'foreign', FOREIGN, 'RFC 6120 8.4: a namespace that is not understood'),
    ('*', 'payload', 'no namespace', FOREIGN + (BAD,), 'RFC 6120 8.4'),
    ('*', 'payload', 'the other type', None, 'see WRONG_TYPE'),
    ('private*', 'payload', 'extra child', (TOO_MUCH, BAD), 'XEP-0049 2.3: one namespace at a time'),
    ('privacy*', 'payload', 'extra child', (OK, BAD), 'XEP-0016 2.3'),
    ('*', 'payload', 'extra child', (OK, BAD), 'RFC 6120 8.4: what is not understood may be ignored'),
    ('*', 'payload', 'extra text', (OK, BAD), 'RFC 6120 8.4'),
    ('*', 'payload', 'extra attribute', (OK,), 'RFC 6120 8.4: what is not understood is ignored'),
    # -- rosters ----------------------------------------------------------------------------------------------------------
    ('roster-*', 'item', 'extra child', (OK, BAD), 'RFC 6120 8.4'),
    ('roster-*', 'item', 'extra attribute', (OK,), 'RFC 6120 8.4'),
    ('roster-*', 'item', '*', (BAD,), 'RFC 6121 2.3.3: exactly one item, with a jid'),
    ('roster-*', 'item@jid', 'missing', (BAD,), 'RFC 6121 2.1.2.3: the jid is required'),
    ('roster-*', 'item@jid', 'empty', (BAD, MALFORMED), 'RFC 6121 2.1.2.3'),
    ('roster-remove', 'item@jid', 'unknown', (NOT_FOUND,), 'RFC 6121 2.5.3'),
    ('roster-set', 'item@jid', 'unknown', (OK,), 'RFC 6121 2.3.1'),
    ('roster-*', 'item@jid', '*', (MALFORMED, BAD), 'RFC 6120 8.3.3.8'),
    ('roster-*', 'item@name', 'over-long', (TOO_MUCH,), 'RFC 6121 2.3.3: a name longer than the server bears'),
    ('roster-*', 'item@name', '*', (OK,), 'RFC 6121 2.1.2.4: the name is optional, and any text'),
    ('roster-*', 'item@subscription', '*', (OK,), 'RFC 6121 2.1.2.5: what is not remove is ignored in a set'),
    ('roster-*', 'item/group', 'missing', (OK,), 'RFC 6121 2.1.2.6'),
    ('roster-*', 'item/group', 'doubled', (BAD,), 'RFC 6121 2.3.3: one group twice'),
    ('roster-*', 'item/group', 'empty', (TOO_MUCH,), 'RFC 6121 2.3.3: a group without characters'),
    ('roster-*', 'item/group', 'over-long text', (TOO_MUCH,), 'RFC 6121 2.3.3: a group longer than the server bears'),
    ('roster-*', 'item/group', '*', (OK, BAD), 'RFC 6120 8.4: what is not understood may be ignored'),
    # -- private storage --------------------------------------------------------------------------------------------------
    ('private-*', 's', 'missing', (BAD, TOO_MUCH), 'XEP-0049 2.3: nothing is asked for'),
    ('private-*', 's', 'no namespace', (TOO_MUCH, BAD), 'XEP-0049 2.3: a namespace of its own'),
    ('private-*', 's', 'doubled', (OK, BAD, TOO_MUCH), 'XEP-0049 2.3'),
    ('private-*', 's', '*', (OK,), 'XEP-0049 2.2: any element of any other namespace'),
    # -- vCards -----------------------------------------------------------------------------------------------------------
    ('vcard-set', '*', 'over-long text', (TOO_MUCH, 'resource-constraint'), 'XEP-0054 3.2; RFC 6120 8.3.3.9: more than the configuration allows'),
    ('vcard-set', '*', '*', (OK,), 'XEP-0054 3.2: every field is optional'),
    # -- vacation ---------------------------------------------------------------------------------------------------------
    ('vacation-set', '*', 'extra*', (OK, BAD), 'RFC 6120 8.4'),
    ('vacation-set', 'start', 'empty', (OK,), 'XEP-0109: an open beginning'),
    ('vacation-set', 'end', 'empty', (OK,), 'XEP-0109: an open end'),
    ('vacation-set', 'message', 'over-long text', (TOO_MUCH, BAD), 'RFC 6120 8.3.3.9'),
    ('vacation-set', '*', '*', (BAD,), 'XEP-0109: one start, one end, one message, and times that are some'),
    # -- privacy lists ----------------------------------------------------------------------------------------------------
    ('privacy-list', 'list', 'missing', (OK,), 'XEP-0016 2.3: without a list, all names'),
    ('privacy-list', 'list', 'doubled', (BAD,), 'XEP-0016 2.3: more than one list'),
    ('privacy-*', 'list', 'extra attribute', (OK,), 'RFC 6120 8.4'),
    ('privacy-list', 'list', 'extra child', (OK, BAD), 'RFC 6120 8.4'),
    ('privacy-remove', 'list', 'extra child', (BAD,), 'XEP-0016 2.6, 2.8: a list of no rules is no list without children'),
    ('privacy-*', 'list', 'extra child', (OK, BAD), 'RFC 6120 8.4'),
    ('privacy-list', 'list@name', 'missing', (BAD, NOT_FOUND), 'XEP-0016 2.3 (S9)'),
    ('privacy-*', 'list@name', 'missing', (BAD,), 'XEP-0016 2.6: a list has a name (S9)'),
    ('privacy-set', 'list@name', 'empty', (BAD, TOO_MUCH), 'XEP-0016 2.6'),
    ('privacy-*', 'list@name', 'empty', (BAD, NOT_FOUND), 'XEP-0016 2.3, 2.8'),
    ('privacy-set', 'list@name', 'over-long', (OK, BAD, TOO_MUCH, 'resource-constraint'), 'RFC 6120 8.3.3.9'),
    ('privacy-set', 'list@name', '*', (OK,), 'XEP-0016 2.6: any text is a name'),
    ('privacy-*', '*@name', 'over-long', (NOT_FOUND, BAD), 'XEP-0016 2.3, 2.8: there is no such list; RFC 6120 8.3.3.1'),
    ('privacy-*', 'list@name', '*', (NOT_FOUND,), 'XEP-0016 2.3, 2.8: there is no such list'),
    ('privacy-*', 'list', '*', (BAD,), 'XEP-0016 2.3: one list, with a name'),
    ('privacy-set', 'list/item', 'missing', (NOT_FOUND, BAD), 'XEP-0016 2.8: the removal of a list that is not there'),
    ('privacy-set', 'list/item', 'doubled', (BAD,), 'XEP-0016 2.2: each order once'),
    ('privacy-set', 'list/item', 'extra attribute', (OK,), 'RFC 6120 8.4'),
    ('privacy-set', 'list/item', 'extra child', (OK, BAD), 'RFC 6120 8.4'),
    ('privacy-set', 'list/item', '*', (BAD,), 'XEP-0016 2.2: action and order are required'),
    ('privacy-set', 'list/item@type', 'missing', (OK, BAD), 'XEP-0016 2.2: without a type, the fall-through rule'),
    ('privacy-set', 'list/item@value', '*', (BAD, MALFORMED), 'XEP-0016 2.2: the value is a JID'),
    ('privacy-set', 'list/item@*', '*', (BAD,), 'XEP-0016 2.2'),
    ('privacy-set', 'list/item/message', 'missing', (OK,), 'XEP-0016 2.2: without a kind, all kinds'),
    ('privacy-set', 'list/item/message', '*', (OK, BAD), 'RFC 6120 8.4'),
    ('privacy-*', '*@name', 'missing', (OK,), 'XEP-0016 2.4, 2.5: no list any more'),
    ('privacy-*', '*@name', 'empty', (OK, NOT_FOUND, BAD), 'XEP-0016 2.4, 2.5'),
    ('privacy-*', '*@name', '*', (NOT_FOUND,), 'XEP-0016 2.4, 2.5: there is no such list'),
    ('privacy-*', '*', 'empty', (OK,), 'XEP-0016 2.4, 2.5: no list any more'),
    ('privacy-*', '*', 'extra*', (OK, BAD), 'RFC 6120 8.4'),
    ('privacy-*', '*', '*', (BAD,), 'XEP-0016 2.3: exactly one of active, default and list'),
    # -- blocking ---------------------------------------------------------------------------------------------------------
    ('unblock', 'item', 'missing', (OK,), 'XEP-0191 3.5: everybody'),
    ('*block', 'item', 'doubled', (OK, BAD, NOT_FOUND), 'XEP-0191 3.3'),
    ('*block', 'item', 'extra*', (OK, BAD), 'RFC 6120 8.4'),
    ('*block', 'item', '*', (BAD,), 'XEP-0191 3.3: at least one item, each with a jid'),
    ('block', 'item@jid', 'unknown', (OK,), 'XEP-0191 3.3'),
    ('unblock', 'item@jid', 'unknown', (NOT_FOUND,), 'XEP-0191 3.4'),
    ('*block', 'item@jid', 'missing', (BAD,), 'XEP-0191 3.3'),
    ('*block', 'item@jid', '*', (MALFORMED, BAD), 'RFC 6120 8.3.3.8'),
)

# A request as the other type.
WRONG_TYPE = {
    'roster-get': (BAD,),                    # RFC 6121 2.3.3: a set without an item
    'roster-set': (OK, BAD),                 # RFC 6121 2.1.3: a get holds no item
    'roster-remove': (OK, BAD),
    'private-get': (OK,),                    # XEP-0049 2.2: the set of an empty element
    'private-set': (OK,),
    'vcard-get': (OK,) + REFUSED,            # XEP-0054 3.2: the set of an empty one, where it is one's own
    'vcard-set': (OK,),
    'vacation-get': (OK, BAD),               # no vacation
    'vacation-set': (OK, BAD),
    'privacy-names': (BAD,),                 # XEP-0016 2.3
    'privacy-list': (OK, BAD),               # the removal of the list
    'privacy-set': (OK, BAD, NOT_FOUND),
    'privacy-remove': (OK,),
    'privacy-active': (BAD, OK),
    'privacy-default': (BAD, OK),
}

# Further requests that are refused. name, type, scope, payload, answers, where that is written.
MORE = (
    ('a node that nobody has', 'get', 'server', "<query xmlns='%s' node='urn:x'/>" % NS_INFO, (NOT_FOUND,), 'XEP-0030 7'),
    ('a node of an account', 'get', 'account', "<query xmlns='%s' node='urn:x'/>" % NS_INFO, (NOT_FOUND,), 'XEP-0030 7'),
    ('items of a node that nobody has', 'get', 'server', "<query xmlns='%s' node='urn:x'/>" % NS_ITEMS, (NOT_FOUND, OK), 'XEP-0030 7'),
    ('active and default at once', 'set', 'self', "<query xmlns='%s'><active/><default/></query>" % NS_PRIVACY, (BAD,), 'XEP-0016 2.3'),
    ('a list and active at once', 'set', 'self', "<query xmlns='%s'><list name='work'/><active/></query>" % NS_PRIVACY, (BAD,), 'XEP-0016 2.3'),
    ('a list of foreign rules', 'set', 'self', "<query xmlns='%s'><list name='work'><item xmlns='urn:x'/></list></query>" % NS_PRIVACY,
     (BAD,), 'XEP-0016 2.6: it is not the removal of that list'),
    ('a group that the roster lacks', 'set', 'self', "<query xmlns='%s'><list name='new'><item type='group' value='nobody' action='deny'"
     " order='1'/></list></query>" % NS_PRIVACY, (NOT_FOUND,), 'XEP-0016 2.1'),
    ('a subscription that is none', 'set', 'self', "<query xmlns='%s'><list name='new'><item type='subscription' value='remove' action='deny'"
     " order='1'/></list></query>" % NS_PRIVACY, (BAD,), 'XEP-0016 2.1'),
    ('a negative order', 'set', 'self', "<query xmlns='%s'><list name='new'><item action='deny' order='-1'/></list></query>" % NS_PRIVACY,
     (BAD,), 'XEP-0016 2.2'),
    ('an order beyond 32 bits', 'set', 'self', "<query xmlns='%s'><list name='new'><item action='deny' order='4294967297'/></list></query>"
     % NS_PRIVACY, (BAD,), 'XEP-0016 2.2'),
    ('an order and more', 'set', 'self', "<query xmlns='%s'><list name='new'><item action='deny' order='1x'/></list></query>" % NS_PRIVACY,
     (BAD,), 'XEP-0016 2.2'),
    ('one of two blocked JIDs is none', 'set', 'self', "<block xmlns='%s'><item jid='fine@y.test'/><item jid='@@@'/></block>" % NS_BLOCKING,
     (MALFORMED, BAD), 'XEP-0191 3.3: nothing of it is done'),
    ('one of two unblocked JIDs is not there', 'set', 'self', "<unblock xmlns='%s'><item jid='blocked@y.test'/><item jid='fine@y.test'/></unblock>"
     % NS_BLOCKING, (NOT_FOUND, OK), 'XEP-0191 3.4'),
    ('a blocklist as a set', 'set', 'self', "<blocklist xmlns='%s'/>" % NS_BLOCKING, REFUSED, 'XEP-0191 3.2'),
    ('block as a get', 'get', 'self', "<block xmlns='%s'><item jid='pest@y.test'/></block>" % NS_BLOCKING, REFUSED, 'XEP-0191 3.3'),
    ('unblock as a get', 'get', 'self', "<unblock xmlns='%s'/>" % NS_BLOCKING, REFUSED, 'XEP-0191 3.5'),
    ('an item for a domain that cannot be', 'set', 'self', "<query xmlns='%s'><item jid='a@b@c'/></query>" % NS_ROSTER, (MALFORMED, OK), 'RFC 6120 8.3.3.8'),
    ('an item with an empty resource', 'set', 'self', "<query xmlns='%s'><item jid='a@y.test/'/></query>" % NS_ROSTER, (MALFORMED,), 'RFC 6122 2.1'),
    ('a roster version that is none', 'get', 'self', "<query xmlns='%s' ver='no version'/>" % NS_ROSTER, (OK,), 'RFC 6121 2.6.2: the whole roster'),
    ('a roster version of no server', 'get', 'self', "<query xmlns='%s' ver='%s'/>" % (NS_ROSTER, '9' * 4000), (OK,), 'RFC 6121 2.6.2'),
    ('too many groups', 'set', 'self', "<query xmlns='%s'><item jid='a@y.test'>%s</item></query>"
     % (NS_ROSTER, ''.join('<group>%d</group>' % i for i in range(500))), (TOO_MUCH, OK), 'RFC 6121 2.3.3'),
    ('a vacation in another calendar', 'set', 'self', "<query xmlns='%s'><start>2026-02-30T00:00:00Z</start><end/><message>x</message></query>"
     % NS_VACATION, (BAD,), 'XEP-0082'),
    ('private storage of private storage', 'set', 'self', "<query xmlns='%s'><query xmlns='%s'/></query>" % (NS_PRIVATE, NS_PRIVATE),
     (TOO_MUCH, BAD), 'XEP-0049 2.3'),
)


def row(request, place, mistake):
    """(answers, where that is written); AssertionError when the table does not say."""
    if mistake == 'the other type':
        return WRONG_TYPE.get(request, REFUSED), 'RFC 6120 8.3.3'
    for name, where, what, answers, source in ROWS:
        if fnmatch.fnmatchcase(request, name) and fnmatch.fnmatchcase(place, where) and fnmatch.fnmatchcase(mistake, what):
            return answers, source
    raise AssertionError('the table has no row for %s: %s %s' % (request, place, mistake))
