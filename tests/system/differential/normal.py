"""normal.py - what is left of a stanza or of a database row when everything that carries no meaning is taken away.
Threads: none; values only.
Owns: nothing.

Gone are prefixes, the order of attributes, generated ids, stamps of today, session ids, and the order of an answer's entries.
Whatever else differs between two servers is a difference.
"""
import datetime
import re
import time
from xml.sax.saxutils import quoteattr

from xmltree import NS_CLIENT, NS_SESSION, NS_STANZAS, NS_XML, Node, StreamReader, escape

STAMP = re.compile(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z')
SUFFIX = re.compile(r'\.\d+@')   # every scenario has users of its own: alice.17@example.test
ENTRIES = {'jabber:iq:roster', 'http://jabber.org/protocol/disco#info', 'http://jabber.org/protocol/disco#items',
           'jabber:iq:privacy', 'urn:xmpp:blocking', 'vcard-temp', 'urn:xmpp:time', 'jabber:iq:version',
           'http://jabber.org/protocol/vacation', 'jabber:x:data', 'jabber:iq:agents'}
DAY = 86400


def value(text):
    """A text or an attribute's value: stamps of today are all alike, scenarios too."""
    def today(m):
        then = datetime.datetime.strptime(m.group(1), '%Y-%m-%dT%H:%M:%S').replace(tzinfo=datetime.timezone.utc)
        return '{stamp}' if abs(then.timestamp() - time.time()) < DAY else m.group(0)
    return SUFFIX.sub('@', STAMP.sub(today, text))


def attribute(node, key, text, ids):
    ns, name = key
    if name == 'id' and not ns and node.name in ('iq', 'message', 'presence') and text not in ids:
        return '{id}'
    if name == 'ver' and node.ns == 'jabber:iq:roster' and text:
        return '{ver}'   # RFC 6121 section 2.6.1: nobody else may read anything out of it
    if name == 'seconds' and node.ns == 'jabber:iq:last' and text.isdigit() and int(text) < 100:
        return '{few}'
    return value(text)


def shown(node, ids, outer=NS_CLIENT):
    """One line of XML. ids: those that the scenario chose itself."""
    attrs = sorted((k if k[0] else ('', k[1]), v) for k, v in node.attrs.items() if k[0] != NS_SESSION)
    head = '' if node.ns == outer else ' xmlns=' + quote(node.ns)
    head += ''.join(' %s=%s' % (name_of(k), quote(attribute(node, k, v, ids))) for k, v in attrs)
    inner = [shown(c, ids, node.ns) if isinstance(c, Node) else escape(value(c)) for c in ordered(node)]
    if says_who_it_is(node):
        inner = ['{own}']
    if (node.ns in ENTRIES or node.name == 'error') and not ''.join(c for c in node.children if isinstance(c, str)).strip():
        inner.sort()
    inside = ''.join(inner)
    return '<%s%s>%s</%s>' % (node.name, head, inside, node.name) if inside else '<%s%s/>' % (node.name, head)


def says_who_it_is(node):
    """XEP-0092 and XEP-0232: a server's own name and version."""
    return (node.ns, node.name) in (('jabber:iq:version', 'name'), ('jabber:iq:version', 'version')) or (
        node.ns == 'jabber:x:data' and node.get('var') in ('software', 'software_version'))


def ordered(node):
    """Where in a stanza a server puts what it adds says nothing: first here."""
    if node.ns != NS_CLIENT or node.name not in ('iq', 'message', 'presence'):
        return node.children
    added = [explained(c) for c in node.children if isinstance(c, Node) and c.name in ('error', 'delay')]
    rest = [c for c in node.children if not isinstance(c, Node) or c.name not in ('error', 'delay')]
    own = [c for c in rest if isinstance(c, Node) and c.ns == NS_CLIENT]   # subject, body: RFC 6120 orders none of them
    return added + sorted(own, key=lambda c: c.name) + [c for c in rest if c not in own]


def explained(node):
    """RFC 6120 section 8.3.2: an error's text is for people, and may be there or not."""
    children = [c for c in node.children if not isinstance(c, Node) or (c.ns, c.name) != (NS_STANZAS, 'text')]
    return Node(node.ns, node.name, node.attrs, children)


def name_of(key):
    ns, name = key
    return name if not ns else 'xml:' + name if ns == NS_XML else '{%s}%s' % key


def quote(text):
    quoted = quoteattr(text, {"'": '&apos;'})
    return "'%s'" % quoted[1:-1] if quoted[0] == '"' else quoted


def sender(node):
    """Whose order a stanza stands in, see in_order()."""
    kind = node.get('type') if node.name == 'presence' else ''
    return node.get('from', '') + ('#' + kind if kind == 'probe' else '')


def in_order(arrivals):
    """RFC 6120 section 10.1 orders what one sender sent to one recipient, and nothing else.

    arrivals: (sender, text) in the order of arrival. An account's own stanzas stand in the order of all its resources
    (RFC 6121 section 3.1.5: first the approval, then the presence); each resource is a sender of its own between them.
    """
    accounts = {}
    for who, text in arrivals:
        accounts.setdefault(who.partition('/')[0], []).append((who, text))
    result = []
    for account in sorted(accounts):
        run = []
        for who, text in accounts[account] + [('', None)]:
            if '/' in who:
                run.append((who, text))
                continue
            result += [t for _, t in sorted(run, key=lambda r: r[0])]
            run = []
            if text is not None:
                result.append(text)
    return result


# -- rows -----------------------------------------------------------------------------------------------------------------

def parse_nad(text):
    """The stanza in a stored packet: NAD and a route."""
    reader = StreamReader()
    reader.feed(('<w>' + text[3:] + '</w>').encode())
    route = reader.take()[0]
    return route.elements()[0] if route.name == 'route' and route.elements() else route


def cell(table, name, content, ids):
    if name == 'xml' and isinstance(content, str):
        if not content.startswith('NAD'):
            return 'not a stored packet: ' + content
        stanza = parse_nad(content)
        if table == 'status':
            stanza.attrs.pop(('', 'from'), None)   # the owner: whoever answers a probe with it says from whom
        return shown(stanza, ids)
    if isinstance(content, bool):
        content = int(content)
    if isinstance(content, int) and abs(content - time.time()) < DAY:
        return '{now}'
    return value(str(content))


def row(table, columns, ids):
    """columns: name -> content of one row. None for a row that says what no row would say."""
    owner = value(columns['collection-owner'])
    cells = ' '.join('%s=%s' % (k, cell(table, k, v, ids)) for k, v in sorted(columns.items())
                     if k not in ('collection-owner', 'object-sequence') and v is not None)
    empty = {'vcard': '', 'motd-times': 'time=0'}.get(table)   # nothing known, nothing seen yet
    return None if cells == empty else '%s %s: %s' % (table, owner, cells)
