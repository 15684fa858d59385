#!/usr/bin/python3
"""presence_leak.py - who may not see a user's presence learns nothing of it: every pair of subscription states, every question.
Threads: one.
Owns: the server that it starts.

Two users of one server, the one's roster in each of the nine states of RFC 6121 appendix A towards the other, crossed with the
other's nine: also the pairs that no honest exchange leads to (a roster edited by hand, a lost stanza). What the asker may learn
depends on the roster of the one who is asked alone (RFC 6121 section 4.3.2). All that he can ask is asked while the other is
away and while he is here: without a subscription the answers must be the same, word for word. A third, on another server, is to
the one who is asked what the second is, and asks the same; he can send probes too, which no client here may.
"""
import sys
sys.dont_write_bytecode = True
import signal
import sqlite3

from component import FakeC2S, Hub, Marks, attr
from servers import Report, World, need_shardsm
from subscriptions import STATES
from xmltree import NS_CLIENT

DOMAIN, FAR = 'leak.test', 'far.test'
MAY_SEE = ('from', 'both')
AMP = 'http://jabber.org/protocol/amp'

# What the one who asks sends to the other's bare JID. A request's answer tells; so does whether one comes at all.
PROBES = (
    "<presence type='probe' to='{bare}' id='{n}'/>",
    "<presence type='probe' to='{bare}/one' id='{n}'/>",
    "<presence type='probe' to='{bare}/none' id='{n}'/>",
)
QUESTIONS = PROBES + (
    "<iq type='get' to='{bare}' id='{n}'><query xmlns='jabber:iq:last'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><query xmlns='jabber:iq:version'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><query xmlns='jabber:iq:roster'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><vCard xmlns='vcard-temp'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><time xmlns='urn:xmpp:time'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    "<iq type='get' to='{bare}' id='{n}'><query xmlns='http://jabber.org/protocol/disco#items' node='sessions'/></iq>",
    "<iq type='get' to='{bare}/none' id='{n}'><query xmlns='jabber:iq:last'/></iq>",
    "<iq type='get' to='{bare}/none' id='{n}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    "<message type='groupchat' to='{bare}' id='{n}'><body>x</body></message>",
    "<message type='headline' to='{bare}/none' id='{n}'><body>x</body></message>",
) + tuple(
    "<message type='chat' to='{bare}' id='{n}'><body>x</body><amp xmlns='%s'>"
    "<rule action='%s' condition='deliver' value='%s'/></amp></message>" % (AMP, action, value)
    for action in ('alert', 'error', 'notify') for value in ('direct', 'stored', 'none'))


class Side:
    """One of a pair: his account, the state of his roster towards the other."""

    def __init__(self, name, state):
        self.bare = '%s@%s' % (name, DOMAIN)
        self.state = state
        self.subscription, self.out, self.pending, _ = STATES[state]
        self.session = None

    def shows(self):
        return self.subscription in MAY_SEE

    def wants(self):
        return self.subscription in ('to', 'both')


class Pair:
    def __init__(self, number, states):
        self.seen, self.asker = Side('seen%d' % number, states[0]), Side('asker%d' % number, states[1])
        self.far = 'far%d@%s' % (number, FAR)
        self.name = '%s towards %s' % states

    def rows(self, db, request):
        for one, other in ((self.seen, self.asker.bare), (self.asker, self.seen.bare), (self.seen, self.far)):
            if one.subscription != 'none' or one.out:
                db.execute('INSERT INTO "roster-items" ("collection-owner", jid, name, "to", "from", ask) VALUES (?,?,?,?,?,?)',
                           (one.bare, other, '', one.wants(), one.shows(), 1 if one.out else 0))
            if one.pending:
                db.execute('INSERT INTO "roster-pending" ("collection-owner", jid, xml) VALUES (?,?,?)',
                           (one.bare, other, request.replace('model@' + DOMAIN, other).replace('asked@' + DOMAIN, one.bare)))


class Bench:
    def __init__(self, world):
        self.world = world
        self.pairs = [Pair(i, (a, b)) for i, (a, b) in enumerate((a, b) for a in STATES for b in STATES)]
        self.prepare()
        self.connect()

    def connect(self):
        self.process, port = self.world.listening_shardsm([DOMAIN])
        self.hub = Hub()
        self.c2s = FakeC2S(self.hub, ('127.0.0.1', port)).connect()
        self.c2s.online(DOMAIN)
        self.far = FakeC2S(self.hub, ('127.0.0.1', port), FAR).connect()
        self.marks = Marks(self.hub)
        self.pings = 0

    def prepare(self):
        """Accounts, and one real request whose row the others are made after; then the rosters, while no server runs."""
        self.connect()
        for name in ['model@' + DOMAIN, 'asked@' + DOMAIN] + [s.bare for p in self.pairs for s in (p.seen, p.asker)]:
            self.c2s.create(name)
        model = self.c2s.start('model@%s/m' % DOMAIN)
        model.send("<presence type='subscribe' to='asked@%s'/>" % DOMAIN)
        self.marks.flush([model], ['asked@' + DOMAIN])
        self.hub.close()
        assert self.process.stop(signal.SIGTERM) == 0
        db = sqlite3.connect(self.world.db)
        (request,), = db.execute('SELECT xml FROM "roster-pending"').fetchall()
        for pair in self.pairs:
            pair.rows(db, request)
        db.commit()
        db.close()

    def take(self, pair):
        """What came for the asker, for the one far away, and for the one asked, since the last time."""
        sessions = [s.session for s in (pair.asker, pair.seen) if s.session is not None]
        self.marks.flush(sessions, [pair.asker.bare, pair.seen.bare], [(self.far, 'mark@' + FAR)])
        self.far_ping(pair)
        far = [r.elements()[0] for r in self.far.inbox]
        self.far.inbox.clear()
        came = [list(s.queue) for s in sessions]
        for session in sessions:
            session.queue.clear()
        return came[0], far

    def far_ping(self, pair):
        """Behind everything that the one far away has sent, and behind what was made of it."""
        self.pings += 1
        ident = 'mark-far-%d' % self.pings
        self.send_far(pair, "<iq type='get' id='%s' to=%s><mark xmlns='urn:test:mark'/></iq>" % (ident, attr(pair.seen.bare)))
        self.hub.until(lambda: ident in self.far.marks or self.far.eof, 'the answer to ' + ident)

    def send_far(self, pair, stanza):
        kind, rest = stanza.split(' ', 1)
        self.far.route(DOMAIN, "%s xmlns='%s' from=%s %s" % (kind, NS_CLIENT, attr(pair.far + '/one'), rest))

    def ask(self, pair):
        """The answers to every question, as text: the asker's, then his who is far away."""
        answers = []
        for number, question in enumerate(QUESTIONS):
            question = question.format(bare=pair.seen.bare, n='q%d' % number)
            pair.asker.session.send(question)
            self.send_far(pair, question)
            answers.append([[str(n) for n in nodes] for nodes in self.take(pair)])
        return answers


def presences(nodes, bare):
    """The types of what shows somebody's presence."""
    return [n.get('type', 'available') for n in nodes if n.name == 'presence' and n.get('from', '').partition('/')[0] == bare
            and n.get('type') in (None, 'unavailable')]


def run(bench, pair):
    seen, asker = pair.seen, pair.asker
    asker.session = bench.c2s.start(asker.bare + '/one')
    asker.session.send('<presence/>')
    bench.take(pair)
    away = bench.ask(pair)
    assert [len(answers) for answers in away[len(PROBES)]] == [1, 1], 'a request without an answer: the test shows nothing'
    seen.session = bench.c2s.start(seen.bare + '/one')
    bench.take(pair)
    bound = bench.ask(pair)   # a session that has sent no presence is not online for anybody
    if not seen.shows():
        compare(pair, away, bound, 'a session without presence is told apart from none')
    seen.session.send('<presence><show>dnd</show><status>secret</status></presence>')
    initial = presences(bench.take(pair)[0], seen.bare)
    here = bench.ask(pair)
    if not seen.shows():
        compare(pair, away, here, 'presence is told apart from absence')
    else:
        shown = ''.join(here[0][1])
        assert 'secret' in shown, 'a contact who may see, and asks, is shown: %s' % shown
    seen.session.send('<presence><show>xa</show></presence>')
    change = presences(bench.take(pair)[0], seen.bare)
    seen.session.send("<presence type='unavailable'/>")
    gone = presences(bench.take(pair)[0], seen.bare)
    if not seen.shows():
        assert not initial + change + gone, 'presence was shown: %s' % [initial, change, gone]
    elif asker.wants():
        assert [initial, change, gone] == [['available'], ['available'], ['unavailable']], [initial, change, gone]
    directed(bench, pair)


def compare(pair, before, after, what):
    for question, one, two in zip(QUESTIONS, before, after):
        assert one == two, '%s by %s: %s, then %s' % (what, question.format(bare=pair.seen.bare, n='?'), one, two)


def directed(bench, pair):
    """Presence that is sent to him he gets, and its end; it opens nothing else."""
    seen, asker = pair.seen, pair.asker
    seen.session.send('<presence/>')
    bench.take(pair)
    before = bench.ask(pair)
    seen.session.send('<presence to=%s><status>for you</status></presence>' % attr(asker.bare))
    got = presences(bench.take(pair)[0], seen.bare)
    assert got == ['available'], 'directed presence: %s' % got
    if not seen.shows():
        compare(pair, before, bench.ask(pair), 'directed presence opens the door')
    bench.c2s.end(seen.session)
    seen.session = None
    got = presences(bench.take(pair)[0], seen.bare)
    assert got == ['unavailable'], 'the end of directed presence: %s' % got
    bench.c2s.end(asker.session)


def main():
    need_shardsm()
    report = Report()
    with World() as world:
        bench = Bench(world)
        for pair in bench.pairs:
            report.case(pair.name, run, bench, pair)
        bench.hub.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
