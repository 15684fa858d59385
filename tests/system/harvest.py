#!/usr/bin/python3
"""harvest.py - a stranger cannot find out which accounts exist: whatever he asks, one that exists answers like one that does not.
Threads: one.
Owns: the server that it starts.

XEP-0054 section 3.3 asks it of vCards, XEP-0030 section 8 of service discovery; RFC 6121 section 8.5.1 says what a name without an account
answers. Everything is asked of three names by somebody of the same server and by somebody of another: an account that was never used,
one whose user is away, and one that does not exist. The answers must be the same, word for word, but for the name. Each request is asked
as it should be and with every mistake of request_table.py.

A message for an account is kept, one for nobody is refused (RFC 6121 sections 8.5.2.2.1 and 8.5.1): that much can be found out, and the
test says so of exactly those.
"""
import sys
sys.dont_write_bytecode = True

from bad_requests import mutations
from component import FakeC2S, Hub, Marks, attr
from request_table import REQUESTS
from servers import Report, World, need_shardsm
from xmltree import NS_CLIENT, parse

DOMAIN, FAR = 'harvest.test', 'far.test'
NAMES = ('never', 'away', 'nobody')
AMP = 'http://jabber.org/protocol/amp'
ERROR = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
# Somebody else's requests, to which no module of jabberd2's answers for an account.
OTHERS = ("<x xmlns='urn:test:unknown'/>", "<time xmlns='urn:xmpp:time'/>", "<query xmlns='jabber:iq:version'/>", "<ping xmlns='urn:xmpp:ping'/>",
          "<query xmlns='http://jabber.org/protocol/disco#info' node='sessions'/>",
          "<query xmlns='http://jabber.org/protocol/disco#items' node='sessions'/>",
          "<query xmlns='jabber:iq:register'/>", "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub>", '')
PLACES = ('{bare}', '{bare}/none')


def requests():
    """(kind, content) of every IQ."""
    for r in REQUESTS:
        right = r.xml.replace('{d}', DOMAIN)
        yield from ((kind, right) for kind in ('get', 'set'))
        for _, _, payload in mutations(parse(right)):
            yield r.type, payload
    yield from ((kind, other) for other in OTHERS for kind in ('get', 'set'))


def questions():
    for place in PLACES:
        for kind, content in requests():
            yield "<iq type='%s' to='%s' id='q'>%s</iq>" % (kind, place, content)
        yield "<iq to='%s' id='q'><ping xmlns='urn:xmpp:ping'/></iq>" % place
        for kind, content in (('result', ''), ('error', ERROR), ('get', ERROR)):
            yield "<iq type='%s' to='%s' id='q'>%s</iq>" % (kind, place, content)
        for kind in ('probe', 'subscribed', 'unsubscribe', 'unsubscribed', 'unavailable', 'odd', 'subscribe'):
            yield "<presence type='%s' to='%s' id='q'/>" % (kind, place)
        yield "<presence to='%s' id='q'/>" % place
        yield "<presence type='error' to='%s' id='q'>%s</presence>" % (place, ERROR)
        for kind in ('headline', 'groupchat'):
            yield message(kind, place)
        yield "<message type='error' to='%s' id='q'><body>x</body>%s</message>" % (place, ERROR)
    yield message('normal', '{bare}/none')   # to a resource that is not there: RFC 6121 section 8.5.3.2.1


def message(kind, place, more=''):
    return "<message type='%s' to='%s' id='q'><body>x</body>%s</message>" % (kind, place, more)


KEPT = tuple(message(*which) for which in (('normal', '{bare}'), ('chat', '{bare}'), ('chat', '{bare}/none')))


class Bench:
    def __init__(self, world):
        _, port = world.listening_shardsm([DOMAIN])
        self.hub = Hub()
        self.c2s = FakeC2S(self.hub, ('127.0.0.1', port)).connect()
        self.c2s.online(DOMAIN)
        self.far = FakeC2S(self.hub, ('127.0.0.1', port), FAR).connect()
        self.marks = Marks(self.hub)
        for name in ('asker',) + NAMES[:2]:
            self.c2s.create('%s@%s' % (name, DOMAIN))
        self.asker = self.c2s.start('asker@%s/a' % DOMAIN)
        self.asker.send('<presence/>')
        was_here = self.c2s.start('away@%s/a' % DOMAIN)
        was_here.send("<presence><status>secret</status></presence>")
        self.marks.flush([self.asker, was_here], [was_here.bare])
        self.c2s.end(was_here)
        self.pings = 0
        self.local('never', '')

    def local(self, name, stanza):
        if stanza:
            self.asker.send(stanza)
        self.marks.flush([self.asker], ['%s@%s' % (name, DOMAIN)])
        return self.taken(self.asker.queue)

    def remote(self, name, stanza):
        self.send_far(stanza)
        for _ in range(Marks.ROUNDS):
            self.pings += 1
            ident = 'mark-far-%d' % self.pings
            self.send_far("<iq type='get' id='%s' to='%s@%s'><mark xmlns='urn:test:mark'/></iq>" % (ident, name, DOMAIN))
            self.hub.until(lambda ident=ident: ident in self.far.marks or self.far.eof, 'the answer to ' + ident)
        came = [n for route in self.far.inbox for n in route.elements()]
        self.far.inbox.clear()
        return [str(n) for n in came]

    def send_far(self, stanza):
        kind, rest = stanza.split(' ', 1)
        self.far.route(DOMAIN, "%s xmlns='%s' from='asker@%s/a' %s" % (kind, NS_CLIENT, FAR, rest))

    @staticmethod
    def taken(queue):
        came = [str(n) for n in queue]
        queue.clear()
        return came


def answers(ask, question):
    """The answers for each name, the name taken out."""
    for name in NAMES:
        bare = '%s@%s' % (name, DOMAIN)
        yield name, [text.replace(bare, '{bare}') for text in ask(name, question.replace('{bare}', bare))]


def alike(ask, must_answer):
    wrong, answered = [], 0
    for question in questions():
        got = dict(answers(ask, question))
        if len(set(map(tuple, got.values()))) != 1:
            wrong.append('%s\n#     %s' % (question, '\n#     '.join('%s: %s' % pair for pair in got.items())))
        answered += bool(got['nobody'])
    assert not wrong, '%d questions tell:\n#   %s' % (len(wrong), '\n#   '.join(wrong))
    assert answered >= must_answer, 'only %d questions were answered: the test shows nothing' % answered


def kept(ask):
    for question in KEPT:
        got = dict(answers(ask, question))
        assert got['never'] == got['away'] == [], '%s: %s' % (question, got)
        assert len(got['nobody']) == 1 and 'service-unavailable' in got['nobody'][0], '%s: %s' % (question, got)


def main():
    need_shardsm()
    report = Report()
    with World() as world:
        bench = Bench(world)
        asked = 2 * len(list(requests()))
        for who, ask in (('one of this server', bench.local), ('one of another server', bench.remote)):
            report.case('to %s an account that exists looks like none' % who, alike, ask, asked)
            report.case('messages of %s are kept, or refused' % who, kept, ask)
        bench.hub.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
