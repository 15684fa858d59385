#!/usr/bin/python3
"""order.py - RFC 6120 10.1: what one session sends to one recipient arrives in the order sent, each thing once.
Threads: one.
Owns: the servers that it starts.

Random interleavings, seeded: many sessions on one or on several links send messages (to full and bare JIDs), directed and
broadcast presence, and requests, in bursts; some end, and their unavailable presence must be the last that is heard of them.
Every stanza carries its number in its id. usage: order.py [SEED]
"""
import sys
sys.dont_write_bytecode = True
import random

from component import FakeC2S, Hub, Marks, attr
from servers import Report, World, need_shardsm

DOMAIN = 'order.test'
USERS, STANZAS, BURST = 12, 12000, 40
KINDS = ('message', 'message', 'message', 'bare', 'iq', 'directed', 'directed-gone', 'broadcast')


class Crowd:
    """Sessions, who is whose friend, and what each must still hear from each."""

    def __init__(self, hub, address, links, rng):
        self.hub, self.rng = hub, rng
        self.links = [FakeC2S(hub, address, 'c2s-%d' % i).connect() for i in range(links)]
        self.links[0].online(DOMAIN)
        self.sessions = []
        self.due = {}       # (sender's JID, receiver's JID) -> ids in the order sent
        self.directed = {}  # sender's JID -> receivers that hold its directed presence
        self.friends = set()  # pairs of bare JIDs
        self.count = 0
        self.marks = Marks(hub)
        self.join()

    def join(self):
        for i in range(USERS):
            bare = 'user%d@%s' % (i, DOMAIN)
            self.links[0].create(bare)
            for k in range(1 + i % 2):
                session = self.rng.choice(self.links).start('%s/r%d' % (bare, k))
                session.top = k == 0
                session.send('<presence><priority>%d</priority></presence>' % (5 - k))
                self.sessions.append(session)
        self.flush()
        for _ in range(USERS):
            a, b = self.rng.sample(self.sessions, 2)
            if a.bare != b.bare:
                self.befriend(a, b)
                self.befriend(b, a)
        self.flush()
        for session in self.sessions:
            session.queue.clear()

    def befriend(self, a, b):
        """b's presence goes to a."""
        a.send("<presence type='subscribe' to=%s/>" % attr(b.bare))
        self.flush()
        b.send("<presence type='subscribed' to=%s/>" % attr(a.bare))
        self.flush()
        self.friends.add((b.bare, a.bare))

    def flush(self):
        self.marks.flush(self.sessions, [])

    def expect(self, sender, receiver, token):
        self.due.setdefault((sender.jid, receiver.jid), []).append(token)

    def audience(self, sender):
        """Who gets what the sender broadcasts."""
        return [s for s in self.sessions if s.bare == sender.bare or (sender.bare, s.bare) in self.friends]

    def say(self, sender, receiver, kind):
        self.count += 1
        if kind == 'bare' and not receiver.top:
            kind = 'message'
        ident = '%s-%d' % (kind, self.count)
        to = attr(receiver.jid)
        if kind == 'message':
            sender.send("<message to=%s id='%s' type='chat'><body>%s</body></message>" % (to, ident, 'x' * self.rng.choice((1, 1, 500))))
        elif kind == 'bare':
            sender.send("<message to=%s id='%s'><body>x</body></message>" % (attr(receiver.bare), ident))
        elif kind == 'iq':
            sender.send("<iq to=%s id='%s' type='%s'><x xmlns='urn:x'/></iq>" % (to, ident, self.rng.choice(('get', 'set'))))
        elif kind == 'directed':
            sender.send("<presence to=%s id='%s'/>" % (to, ident))
            self.directed.setdefault(sender.jid, set()).add(receiver.jid)
        elif kind == 'directed-gone':
            sender.send("<presence to=%s id='%s' type='unavailable'/>" % (to, ident))
            self.directed.setdefault(sender.jid, set()).discard(receiver.jid)
        elif kind == 'broadcast':
            sender.send("<presence id='%s'><show>away</show><priority>%d</priority></presence>" % (ident, 5 if sender.top else 4))
            for other in self.audience(sender):
                self.expect(sender, other, ident)
            return
        self.expect(sender, receiver, ident)

    def talk(self):
        """Everybody to everybody, in bursts, with reading in between. Nobody directs presence to those who have it anyway."""
        for _ in range(STANZAS // BURST):
            sender = self.rng.choice(self.sessions)
            others = self.rng.sample(self.sessions, 3)
            for _ in range(BURST):
                receiver = self.rng.choice(others)
                kind = self.rng.choice(KINDS)
                if kind.startswith('directed') and receiver in self.audience(sender):
                    kind = 'message'
                self.say(sender, receiver, kind)
            self.hub.pump(0)

    def leave(self):
        """Every third session says a last word to some of the others, and ends."""
        self.flush()   # what is on its way to one who leaves may go to another resource
        leaving = self.rng.sample(self.sessions, len(self.sessions) // 3)
        self.sessions = [s for s in self.sessions if s not in leaving]
        for sender in leaving:
            for _ in range(20):
                self.say(sender, self.rng.choice(self.sessions), 'message')
            sender.end()
            for other in self.sessions:
                if other in self.audience(sender) or other.jid in self.directed.get(sender.jid, ()):
                    self.expect(sender, other, 'unavailable')
        self.hub.until(lambda: all(s.ended for s in leaving) or any(l.eof for l in self.links), 'the end of those who leave')

    def check(self):
        """What came, by sender, against what was due."""
        self.flush()
        total = 0
        for receiver in self.sessions:
            assert not receiver.faults, receiver.faults[0]
            came = {}
            for node in receiver.queue:
                sender = node.get('from')
                token = node.get('id') or node.get('type')
                if sender is not None and token is not None:
                    came.setdefault(sender, []).append(token)
            senders = {s for s, r in self.due if r == receiver.jid} | set(came)
            for sender in senders:
                due, got = self.due.get((sender, receiver.jid), []), came.get(sender, [])
                total += len(due)
                if due != got:
                    raise AssertionError(differ(sender, receiver.jid, due, got))
        assert total > STANZAS // 2, 'only %d stanzas were looked at' % total


def differ(sender, receiver, due, got):
    at = next((i for i, (a, b) in enumerate(zip(due, got)) if a != b), min(len(due), len(got)))
    lost, twice = set(due) - set(got), len(got) - len(set(got))
    return '%s to %s: at %d of %d: sent %s, got %s (%d missing, %d repeated)' % (
        sender, receiver, at, len(due), due[at:at + 4], got[at:at + 4], len(lost), twice)


def run(workers, parser, links, seed):
    with World() as world:
        process, port = world.listening_shardsm([DOMAIN], workers=workers, parser=parser)
        hub = Hub()
        try:
            crowd = Crowd(hub, ('127.0.0.1', port), links, random.Random(seed))
            crowd.talk()
            crowd.leave()
            crowd.check()
            assert process.running(), process.tail()
        finally:
            hub.close()


def main():
    need_shardsm()
    seed = int(sys.argv[1]) if sys.argv[1:] else 1
    report = Report()
    for workers, parser, links in ((8, 'scan', 1), (8, 'scan', 3), (3, 'mxml', 2), (1, 'scan', 2)):
        for s in (seed, seed + 1):
            report.case('%d workers, %s, %d links, seed %d' % (workers, parser, links, s), run, workers, parser, links, s)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
