#!/usr/bin/python3
"""smuggling.py - stanzas that pretend: whoever sends them and however they are spelled, addressee, sender and session stay what they are.
Threads: one, and a log reader for each server.
Owns: the servers that it starts, one for each of the route parsers.
"""
import sys
sys.dont_write_bytecode = True

from component import Component, FakeC2S, Hub, LegacyComponent, attr
from servers import Report, World, need_shardsm
from xmltree import NS_CLIENT, NS_COMPONENT, NS_SESSION, Node

DOMAIN = 'true.test'
COMPONENT = 'gate.' + DOMAIN
ALICE, BOB, STRANGER = 'alice@%s/a' % DOMAIN, 'bob@%s/b' % DOMAIN, 'mallory@%s/m' % DOMAIN
CARRIED, CLOSED, DROPPED = 'carried', 'closed', 'dropped'
ROSTER = "<query xmlns='jabber:iq:roster'><item jid='mallory@%s' subscription='both'/></query>" % DOMAIN


class Bench:
    """Bob and a bystander on one link; alice, who sends what is odd, on another, which may be closed for it."""

    def __init__(self, world, parser):
        self.name = 'sm-%s-%d' % (parser, len(world.processes))
        self.process, port = world.listening_shardsm([DOMAIN], name=self.name, parser=parser, db=world.path(self.name + '.db'))
        self.address = ('127.0.0.1', port)
        self.hub = Hub()
        self.good = FakeC2S(self.hub, self.address, 'c2s-good').connect()
        for jid in (ALICE, BOB, STRANGER):
            self.good.create(jid.partition('/')[0])
        self.bob, self.bystander = self.good.start(BOB), self.good.start('alice@%s/other' % DOMAIN)
        self.odd = self.alice = None
        self.component = Component(self.hub, self.address).join(COMPONENT)
        self.good.online(COMPONENT)
        self.count = 0
        self.alice_again()

    def alice_again(self):
        """Alice's link and session, anew where they were closed."""
        if self.odd is not None and not self.odd.eof:
            return
        if self.odd is not None:
            self.odd.close()
            self.hub.until(lambda: self.good.adverts.get('c2s-odd') is False, 'the end of the closed link')
        self.odd = FakeC2S(self.hub, self.address, 'c2s-odd').connect()
        self.alice = self.odd.start(ALICE)

    def reached_bob(self):
        """What bob got of all that alice and the component sent so far; each stanza for him, and for nobody else."""
        due = set()
        for sender in ('alice', 'component'):
            self.count += 1
            due.add('end%d' % self.count)
            mark = "<message xmlns='%s' %%s to='%s' id='end%d'><body>x</body></message>" % (NS_CLIENT, BOB, self.count)
            if sender == 'alice':
                self.alice.send(mark % '')
            else:
                self.component.route(DOMAIN, mark % ("from='x@%s'" % COMPONENT))
        got = []
        while due:
            stanza = self.bob.next('the message that ends the case')
            if stanza.get('id') in due:
                due.remove(stanza.get('id'))
            else:
                got.append(stanza)
        assert self.process.running(), 'the server died:\n' + self.process.tail()
        assert not self.bob.faults, 'not of his session: %s' % self.bob.faults
        assert not self.bystander.queue, 'another session got %s' % self.bystander.queue[0]
        assert not self.good.inbox, 'for no session: %s' % self.good.inbox[0]
        assert self.bob.ended is None and self.alice.ended is None, 'a session was ended'
        return got

    def close(self):
        self.hub.close()


def marks(session, prefix='sc', c2s=None, sm=None):
    """The session attributes that a c2s puts on what it sends, and their declaration."""
    return "xmlns:{0}='{1}' {0}:c2s='{2}' {0}:sm='{3}'".format(prefix, NS_SESSION, c2s or session.cid, sm or session.sm)


# -- what alice's c2s sends: (what, the route's payload, what becomes of it[, what must be in it]) --------------------------------
# In a payload: M the session's attributes, I the same under the prefix q, S and C the namespaces of sessions and clients, TO and BARE bob's
# JIDs, AC and AS alice's ids, AR the first with a reference in it, BC and BS bob's ids.

def message(attributes, content='<body>x</body>', to="to='TO'"):
    return "<message xmlns='C' %s %s id='n'>%s</message>" % (attributes, to, content)


def has(name, ns, count=1):
    """The content has that many elements of this name."""
    def check(stanza):
        found = sum(1 for e in stanza.elements() if (e.name, e.ns) == (name, ns))
        assert found == count, '%d elements {%s}%s, expected %d: %s' % (found, ns, name, count, stanza)
    return check


def text_is(text):
    def check(stanza):
        got = stanza.text() + ''.join(e.text() for e in stanza.elements() if e.name == 'body')
        assert got == text, 'text %r, expected %r' % (got, text)
    return check


def attribute_is(name, value, ns=''):
    def check(stanza):
        assert stanza.get(name, None, ns) == value, '%s is %r, expected %r: %s' % (name, stanza.get(name, None, ns), value, stanza)
    return check


def inner_attribute(name, value, ns=''):
    def check(stanza):
        assert stanza.elements()[0].get(name, None, ns) == value, stanza
    return check


SPELLINGS = (
    ('a forged sender', message("M from='BARE'"), CARRIED),
    ('a sender written with references', message("M from='&#98;ob&#x40;%s'" % DOMAIN), CARRIED),
    ('the sender twice', message("M from='x' from='y'"), CLOSED),
    ('the sender twice, once under a reference', message("M from='x' fro&#109;='y'"), CLOSED),
    ('the addressee twice', message("M to='ALICE'"), CLOSED),
    ('the addressee with a decimal reference', message('M', to="to='bob&#64;%s/b'" % DOMAIN), CARRIED),
    ('the addressee with a hexadecimal reference', message('M', to="to='bob&#x40;%s&#x2f;b'" % DOMAIN), CARRIED),
    ('the addressee in capitals', message('M', to="to='BOB@%s/b'" % DOMAIN.upper()), CARRIED),
    ('a quote in an id', message('M', to="to='TO'").replace("id='n'", '''id="n' from='BARE"'''), CARRIED,
     attribute_is('id', "n' from='bob@" + DOMAIN)),
    ('references to quotes in an id', message('M').replace("id='n'", "id='n&apos; from=&#39;BARE'"), CARRIED,
     attribute_is('id', "n' from='bob@" + DOMAIN)),
    ('a quote in another attribute', message('''M type='chat' q="' from='BARE"'''), CARRIED, attribute_is('q', "' from='bob@" + DOMAIN)),
    ('an end of the tag in an attribute', message('''M q="'>&lt;/message>&lt;message from='BARE'>"'''), CARRIED),
    ('session attributes by another name', message("M sc:to='ALICE' sc:from='BARE'"), CARRIED, attribute_is('to', None, NS_SESSION)),
    ('addresses of another namespace', message("M xmlns:q='urn:q' q:to='ALICE' q:from='BARE'"), CARRIED,
     attribute_is('from', 'bob@' + DOMAIN, 'urn:q')),
    ('xml:base and xml:lang', message("M xml:base='http://x/' xml:lang='de'"), CARRIED,
     attribute_is('base', 'http://x/', 'http://www.w3.org/XML/1998/namespace')),
    # prefixes of the session's namespace
    ('sc is another namespace, the ids are under q', message("xmlns:sc='urn:x' sc:c2s='BC' sc:sm='BS' I"), CARRIED,
     attribute_is('c2s', '{BC}', 'urn:x')),
    ('sm is another namespace', message("M xmlns:sm='urn:x' sm:c2s='BC'"), CARRIED, attribute_is('c2s', '{BC}', 'urn:x')),
    ('the namespace under two prefixes', message("M xmlns:q='S'", "<body q:c2s='BC' sc:sm='BS'/>"), CARRIED,
     inner_attribute('c2s', '{BC}', NS_SESSION)),
    ('an id under each of two prefixes', message("M xmlns:q='S' q:c2s='BC'"), CLOSED),
    ('the prefix declared twice', message("M xmlns:sc='urn:x'"), CLOSED),
    ('the namespace with a reference', message("xmlns:sc='%s' sc:c2s='AC' sc:sm='AS'" % NS_SESSION.replace(':', '&#58;')), CARRIED),
    ('an id with a reference', message("xmlns:sc='S' sc:c2s='AR' sc:sm='AS'"), CARRIED),
    ('the prefix redeclared inside', message('M', "<body xmlns:sc='urn:x' sc:c2s='BC'>x</body>"), CARRIED, inner_attribute('c2s', '{BC}', 'urn:x')),
    ('the ids of bob inside', message('M', "<body sc:c2s='BC' sc:sm='BS'>x</body>"), CARRIED, inner_attribute('sm', '{BS}', NS_SESSION)),
    ('a session command inside', message('M', "<sc:session sc:c2s='BC' sc:sm='BS' action='end'/>"), CARRIED, has('session', NS_SESSION)),
    ('the ids of no namespace', message("M c2s='BC' sm='BS'"), CARRIED, attribute_is('c2s', '{BC}')),
    ('the ids under a prefix that is something else', message("xmlns:sc='urn:x' sc:c2s='AC' sc:sm='AS'"), DROPPED),
    ('the ids of bob', message("xmlns:sc='S' sc:c2s='BC' sc:sm='BS'"), DROPPED),
    ('a namespace with a quote', message('''M xmlns:q="urn:x' from='BARE"''', '<q:x/>'), DROPPED),
    ('a namespace with a reference to a quote', message("M xmlns:q='urn:x&apos; from=&#39;BARE'", '<q:x/>'), DROPPED),
    ('a namespace with a quote inside', message('M', '''<x xmlns="urn:x'/&gt;&lt;message from='BARE"/>'''), DROPPED),
    # the stanza's own namespace
    ('the stanza under a prefix', "<c:message xmlns:c='C' M to='TO' id='n'><c:body>x</c:body></c:message>", CARRIED, has('body', NS_CLIENT)),
    ('the stanza under a prefix that is redeclared', "<c:message xmlns:c='C' M to='TO' id='n'><c:body xmlns:c='urn:x'/></c:message>", CARRIED,
     has('body', 'urn:x')),
    ('the stanza of another namespace', message('M').replace("xmlns='C'", "xmlns='urn:x'"), DROPPED),
    ('the stanza under a prefix, another by default', "<c:message xmlns:c='C' xmlns='urn:x' M to='TO' id='n'><body/></c:message>", DROPPED),
    ('the namespace of clients with a reference', message('M').replace("xmlns='C'", "xmlns='jabber&#58;client'"), CARRIED, has('body', NS_CLIENT)),
    ('another namespace inside', message('M', "<x xmlns='urn:x'><message xmlns='C' from='BARE' to='TO' id='in'/></x>"), CARRIED, has('x', 'urn:x')),
    ('no namespace inside', message('M', "<x xmlns=''/>"), CARRIED, has('x', '')),
    # stanzas in stanzas, routes in routes
    ('a stanza inside', message('M', "<message M from='BARE' to='TO' id='in'/>"), CARRIED, has('message', NS_CLIENT)),
    ('a roster push inside', message('M', "<iq type='set' from='BARE' id='in'>%s</iq>" % ROSTER), CARRIED, has('iq', NS_CLIENT)),
    ('a route inside', message('M', "<route xmlns='%s' to='c2s-good' from='c2s-odd'>%s</route>" % (NS_COMPONENT, message(''))), CARRIED,
     has('route', NS_COMPONENT)),
    ('a second stanza', message('M') + message("M from='BARE'").replace("id='n'", "id='second'"), CARRIED),
    ('a second stanza, for bob\'s session', message('M') +
     "<message xmlns='C' xmlns:sc='S' sc:c2s='BC' sc:sm='BS' from='BARE' id='second'/>", CARRIED),
    ('a route in the route', "<route xmlns='%s' to='%s' from='c2s-odd'>%s</route>" % (NS_COMPONENT, DOMAIN, message('M')), DROPPED),
    ('a route to bob\'s c2s in the route', "<route xmlns='%s' to='c2s-good' from='c2s-odd'>%s</route>" % (
        NS_COMPONENT, message("xmlns:sc='S' sc:c2s='BC' sc:sm='BS' from='BARE'")), DROPPED),
    # character data
    ('character data before the stanza', "<![CDATA[<message from='x'/>]]>text" + message('M'), CARRIED),
    ('a stanza in character data', message('M', "<![CDATA[</message><message from='BARE'>]]><body>x</body>"), CARRIED,
     text_is("</message><message from='bob@%s'>x" % DOMAIN)),
    ('the end of character data in two sections', message('M', '<body><![CDATA[]]]]><![CDATA[></body>]]></body>'), CARRIED, text_is(']]></body>')),
    ('the end of character data without its beginning', message('M', '<body>]]></body>'), CLOSED),
    ('a tag in references', message('M', "<body>&lt;/body&gt;&#60;/message></body>"), CARRIED, text_is('</body></message>')),
)


def spelled(bench, payload):
    """The payload with everything in it filled in."""
    alice, bob = bench.alice, bench.bob
    referred = '&#%d;%s' % (ord(alice.cid[0]), alice.cid[1:])
    for short, full in (("xmlns='C'", "xmlns='%s'" % NS_CLIENT), (":c='C'", ":c='%s'" % NS_CLIENT), ("='S'", "='%s'" % NS_SESSION),
                        (' M ', ' %s ' % marks(alice)), (' I ', ' %s ' % marks(alice, 'q')),
                        ("'BARE", "'bob@" + DOMAIN), ("BARE'", "bob@" + DOMAIN + "'"), ('BARE"', 'bob@' + DOMAIN + '"'),
                        ('ALICE', ALICE), ("'TO'", attr(BOB)),
                        ("'AR'", "'%s'" % referred),
                        ("'BC'", attr(bob.cid)), ("'BS'", attr(bob.sm)), ("'AC'", attr(alice.cid)), ("'AS'", attr(alice.sm))):
        payload = payload.replace(short, full)
    return payload


def filled(bench, check):
    """A check whose value is one of bob's ids."""
    def run(stanza):
        shown = Node(stanza.ns, stanza.name, dict(stanza.attrs), [
            c if isinstance(c, str) else Node(c.ns, c.name, dict(c.attrs), c.children) for c in stanza.children])
        for node in [shown] + shown.elements():
            for key, value in node.attrs.items():
                if key[1] in ('c2s', 'sm') and not (node is shown and key[0] == NS_SESSION):
                    node.attrs[key] = {bench.bob.cid: '{BC}', bench.bob.sm: '{BS}'}.get(value, value)
        check(shown)
    return run


def spelling(bench, payload, outcome, check=None):
    bench.alice_again()
    odd = bench.odd
    odd.inbox.clear()
    odd.route(bench.alice.home, spelled(bench, payload))
    if outcome == CLOSED:
        bench.hub.until(lambda: odd.eof, 'the link to be closed')
        bench.alice_again()
    got = bench.reached_bob()
    assert odd.eof == (outcome == CLOSED), 'the link was closed: %s' % [str(e) for e in odd.elements]
    assert len(got) == (outcome == CARRIED), 'bob got %s' % [str(s) for s in got]
    for stanza in got:
        assert (stanza.get('from'), stanza.get('to')) == (ALICE, BOB), 'from %s to %s' % (stanza.get('from'), stanza.get('to'))
        assert stanza.ns == NS_CLIENT and stanza.get('id', '').startswith('n'), stanza
        if check:
            filled(bench, check)(stanza)


# -- what components send ---------------------------------------------------------------------------------------------------------

MANY = ' '.join("a%d='%d'" % (i, i) for i in range(20))
FROM_COMPONENTS = (   # what, on the route, on the stanza, its content, what must be in what bob gets
    ('sm and sc are other namespaces', '', "xmlns:sm='urn:x' xmlns:sc='urn:y' sm:c2s='1' sc:c2s='2'", '', attribute_is('c2s', '1', 'urn:x')),
    ('sm is another namespace behind many attributes', '', MANY + " xmlns:sm='urn:x' sm:c2s='1' sm:sm='2'", '', attribute_is('c2s', '1', 'urn:x')),
    ('every free prefix behind many attributes', '', MANY + ' ' + ' '.join("xmlns:%s='urn:x'" % p for p in (
        'sm sc s0 s1 s2 s3 s4 s5 s6 s7 s8 s9 sa sb sd se sf sg'.split())), '', None),
    ('sm of the route is another on the stanza', " xmlns:sm='S'", "xmlns:sm='urn:x' sm:c2s='1' sm:sm='2'", '<sm:x/>', has('x', 'urn:x')),
    ('a prefix of the route, another on the stanza', " xmlns:q='S'", "xmlns:q='urn:x' q:failed='1'", '<q:x/>', attribute_is('failed', '1', 'urn:x')),
    ('the session\'s namespace of the route inside', " xmlns:q='S'", '', "<q:x q:c2s='1'/>", has('x', NS_SESSION)),
    ('failed in the session\'s namespace', '', "xmlns:q='S' q:failed='1'", '', attribute_is('failed', None, NS_SESSION)),
)


def from_component(bench, on_route, attributes, content, check):
    bench.component.route(DOMAIN, "<message xmlns='%s' to='%s' from='x@%s' id='n' %s>%s</message>" % (
        NS_CLIENT, BOB, COMPONENT, attributes.replace("'S'", attr(NS_SESSION)), content), extra=on_route.replace("'S'", attr(NS_SESSION)))
    got = bench.reached_bob()
    assert not bench.component.eof and len(got) == 1, 'bob got %s' % [str(s) for s in got]
    assert (got[0].get('from'), got[0].get('to')) == ('x@' + COMPONENT, BOB), got[0]
    if check:
        check(got[0])


def refused_prefixes(bench):
    """An error that goes back holds what was sent: its prefixes are declared however many attributes stood before them."""
    bench.component.inbox.clear()
    bench.component.route(DOMAIN, "<iq xmlns='%s' type='get' to='nobody@%s' from='x@%s' id='e' %s xmlns:q='urn:q' xmlns:sm='urn:x'>"
                                  "<q:x sm:c2s='1'/></iq>" % (NS_CLIENT, DOMAIN, COMPONENT, MANY))
    error = bench.component.next_route('the error').elements()[0]
    assert (error.get('type'), error.get('id')) == ('error', 'e') and error.find('x', 'urn:q') is not None, error
    assert not bench.reached_bob()


def behind_many(bench):
    """What a presence is stays what it is behind many attributes: it is told on, once, and its end is one."""
    bench.alice_again()
    other = bench.odd.start('alice@%s/many' % DOMAIN)
    other.send("<presence %s id='p1' xmlns:sm='urn:x' sm:c2s='1'/>" % MANY)
    other.send("<presence to='%s' %s id='p2' xmlns:sm='urn:x' sm:c2s='1'/>" % (BOB, MANY))
    other.send("<presence %s id='p3' type='unavailable' xmlns:sm='urn:x' sm:c2s='1'/>" % MANY)
    for kind in (None, 'unavailable'):
        got = bench.bob.next('presence %s' % kind)
        assert (got.get('from'), got.get('type'), got.get('c2s', None, 'urn:x')) == (other.jid, kind, '1'), got
    bench.reached_bob()
    bench.odd.end(other)


def bound_names(bench):
    """Nobody sends from a name that it did not bind: not another's, not ours, not a part of its own, not in another spelling."""
    stanza = "<message xmlns='%s' to='%s' from='%s' id='n'/>" % (NS_CLIENT, BOB, BOB)
    for name in ('c2s-good', DOMAIN, bench.name, 'x.' + COMPONENT, DOMAIN + '/' + COMPONENT, 'x@c2s-good', 'c2s-good&#x20;', 'C2S-GOOD'):
        bench.component.inbox.clear()
        bench.component.send("<route xmlns='%s' to='%s' from='%s'>%s</route>" % (NS_COMPONENT, DOMAIN, name, stanza))
        back = bench.component.next_route('the route from ' + name)
        assert back.get('error') == '401', '%s: %s' % (name, back)
    assert not bench.reached_bob()
    bench.component.route(DOMAIN, stanza.replace("from='%s'" % BOB, "from='x@%s'" % COMPONENT), source=COMPONENT.upper())
    assert len(bench.reached_bob()) == 1, 'a bound name in capitals is the same name'


def inner_names(bench):
    """Nor does a stanza: what stands in a route is from a name of the link that sent it, and from a stranger's only over the default route."""
    hub, server, far = bench.hub, bench.address, 'x@far.example/r'
    other, s2s = Component(hub, server).join('other.' + DOMAIN), Component(hub, server).join('s2s', child='<default/>')
    user = FakeC2S(hub, server, 'c2s-inner').connect()
    stanza = "<message xmlns='%s' to='%%s' from='%%s' id='n'><body>x</body></message>" % NS_CLIENT
    names = (BOB, DOMAIN, 'x@other.' + DOMAIN, 'x@' + COMPONENT.upper(), 'X@S2S')
    cases = [(bench.component, COMPONENT, name) for name in names[:3] + names[4:] + (far, 'x@y.' + COMPONENT)]
    cases += [(user, 'c2s-inner', name) for name in names + (far,)] + [(s2s, 's2s', name) for name in names[:4]]
    for link, own, name in cases:
        for to, addressee in ((DOMAIN, BOB), ('other.' + DOMAIN, 'y@other.' + DOMAIN)):
            link.inbox.clear()
            link.route(to, stanza % (addressee, name), source=own)
            back = link.next_route('the stanza from %s to %s' % (name, to))
            assert back.get('error') == '401', 'from %s by %s: %s' % (name, own, back)
        # As an answer of the network to what bob never sent: an error from anybody.
        link.route(DOMAIN, stanza % (name, BOB), source=own, extra=" error='404'")
    assert not bench.reached_bob()
    assert not other.inbox, 'the other component got %s' % other.inbox[0]
    for link, own, name in ((bench.component, COMPONENT, names[3]), (s2s, 's2s', far), (s2s, 's2s', names[4]), (other, other.names[0], other.names[0])):
        link.route(DOMAIN, stanza % (BOB, name), source=own)
        hub.until(lambda: bench.bob.queue, 'the message from ' + name)
        assert len(bench.reached_bob()) == 1, name
    for link in (other, s2s, user):
        link.close()


def legacy_names(bench):
    """A XEP-0114 component that sends from another name than its own is closed; nothing of it arrives."""
    for sender in ('bob@' + DOMAIN, BOB, DOMAIN, 'x@' + COMPONENT, 'x@y.old.' + DOMAIN, 'old.%s@%s' % (DOMAIN, DOMAIN), None):
        old = LegacyComponent(bench.hub, bench.address, 'old.' + DOMAIN)
        assert old.handshake()
        old.send("<iq type='set' to='%s' id='n'%s>%s</iq>" % (BOB, ' from=' + attr(sender) if sender else '', ROSTER))
        bench.hub.until(lambda old=old: old.eof, 'the link to be closed after a stanza from %s' % sender)
        assert any(e.find('invalid-from') is not None for e in old.elements if e.name == 'error'), 'closed without invalid-from'
        old.close()
        bench.hub.until(lambda: bench.good.adverts.get('old.' + DOMAIN) is False, 'the end of the component')
        bench.good.adverts.pop('old.' + DOMAIN)
        assert not bench.reached_bob(), sender


# -- roster pushes and results that are none -----------------------------------------------------------------------------------------

def pushes(bench):
    """RFC 6121 section 2.1.6: a client takes a roster push from its own account alone. Whoever else sends one is named as its sender."""
    bench.alice_again()
    stranger = bench.odd.start(STRANGER)
    for session in (bench.alice, stranger):
        for sender in ('', "from='bob@%s'" % DOMAIN, "from='%s'" % BOB, "from='%s'" % DOMAIN, "from=''"):
            for kind in ('set', 'result'):
                session.send("<iq type='%s' to='%s' %s id='n'>%s</iq>" % (kind, BOB, sender, ROSTER))
                session.send("<message to='%s' id='after'/>" % BOB)
                while True:
                    got = bench.bob.next('what follows the push')
                    assert got.get('from') == session.jid, '%s with %s: bob got %s' % (session.jid, sender or 'no from', got)
                    if got.get('id') == 'after':
                        break
    bench.reached_bob()
    for session in (bench.alice, stranger):
        for stanza in ("<presence type='subscribe' to='bob@%s' from='%s'/>" % (DOMAIN, DOMAIN), "<presence to='%s' from='%s'/>" % (BOB, BOB),
                       "<message to='%s' from='%s'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='%s' from='%s' to='%s'/>"
                       "</forwarded></message>" % (BOB, 'bob@' + DOMAIN, NS_CLIENT, ALICE, BOB)):
            session.send(stanza)
            session.send("<message to='%s' id='after'/>" % BOB)
            while True:
                got = bench.bob.next('what follows')
                assert got.get('from') in (session.jid, session.bare), got
                if got.get('id') == 'after':
                    break
    bench.reached_bob()
    bench.odd.end(stranger)
    got = bench.bob.next('the end of the stranger')   # who sent him presence
    assert (got.get('from'), got.get('type')) == (STRANGER, 'unavailable'), got


# -- who speaks for a session ---------------------------------------------------------------------------------------------------------

def other_link(bench):
    """Both ids of bob's session, or one of them, on a link that did not start it: nothing happens to the session."""
    bench.alice_again()
    bob = bench.bob
    for cid in (bob.cid, '0', '', bob.cid + ' '):
        for sm in (bob.sm, bob.sm[:-1] + ('0' if bob.sm[-1] != '0' else '1'), bob.sm.upper() + ' ', bob.sm[:8], '', bench.alice.sm):
            if (cid, sm) == (bench.alice.cid, bench.alice.sm):
                continue
            ids = "xmlns:sc='%s' sc:c2s=%s sc:sm=%s" % (NS_SESSION, attr(cid), attr(sm))
            for payload in ("<message xmlns='%s' %s to='%s' id='n'/>" % (NS_CLIENT, ids, BOB),
                            "<message xmlns='%s' %s from='%s' to='%s' id='n'/>" % (NS_CLIENT, ids, BOB, BOB),
                            "<presence xmlns='%s' %s type='unavailable'/>" % (NS_CLIENT, ids),
                            "<iq xmlns='%s' %s type='set' id='n'>%s</iq>" % (NS_CLIENT, ids, ROSTER),
                            "<sc:session %s action='end'/>" % ids):
                for link, name in ((bench.odd, 'c2s-odd'), (bench.component, COMPONENT)):
                    for to in (bob.home, DOMAIN):
                        link.route(to, payload, source=name)
    got = bench.reached_bob()
    assert not got, 'bob got %s' % got[0]
    assert not bench.odd.eof and not bench.component.eof, 'a link was closed'
    bob.send("<iq type='get' id='mine' to='%s'><query xmlns='jabber:iq:roster'/></iq>" % bob.bare)
    roster = bob.next('the roster')
    assert roster.get('id') == 'mine' and not roster.find('query').elements(), roster
    bench.odd.inbox.clear()
    bench.odd.actions.clear()
    bench.component.inbox.clear()


def cases():
    for name, payload, outcome, *check in SPELLINGS:
        yield name, spelling, (payload, outcome, *check)
    for name, *row in FROM_COMPONENTS:
        yield 'from a component: ' + name, from_component, row
    for case in (refused_prefixes, behind_many, bound_names, inner_names, legacy_names, pushes, other_link):
        yield case.__name__.replace('_', ' '), case, ()


def main():
    need_shardsm()
    report = Report()
    with World() as world:
        for parser in ('scan', 'mxml'):
            bench = Bench(world, parser)
            for name, case, row in cases():
                if not report.case('%s, %s' % (parser, name), case, bench, *row):
                    bench.close()   # what a failure leaves behind is no other case's
                    bench = Bench(world, parser)
            bench.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
