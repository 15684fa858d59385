#!/usr/bin/python3
"""overload.py - more than can be taken: whatever was sent is delivered, stored or answered, each exactly once, and what waits is bounded.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: overload.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import collections
import re
import socket
import sqlite3

from component import FakeC2S, Hub, LegacyComponent, attr, with_session
from servers import METRICS, World, metrics, run_cases

DOMAIN = 'over.test'
MIB = 1 << 20
SECONDS = 120   # for floods, on machines that do other things too


class Site:
    """A server with small limits, a c2s whose clients behave, and one that may not read."""

    def __init__(self, limits, workers=2, more='', acceptors=1):
        self.world = World()
        self.extra = '<limits>%s</limits>%s<user><auto-create/></user>' % (limits, more) + METRICS
        try:
            self.process, self.port = self.world.listening_shardsm([DOMAIN], extra=self.extra, workers=workers, acceptors=acceptors)
            self.hub = Hub()
            self.c2s = self.connect('c2s', self.hub)
        except BaseException:
            self.world.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.world.close()

    def connect(self, name, hub, room=None):
        """room: of the socket, so that little is under way in the kernel."""
        c2s = FakeC2S(hub, ('127.0.0.1', self.port), name)
        if room:
            c2s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        return c2s.connect()

    def online(self, user, c2s=None):
        session = (c2s or self.c2s).start('%s@%s/r' % (user, DOMAIN))
        session.send('<presence/>')
        assert session.next('its own presence').name == 'presence'
        return session

    def metrics(self):
        return metrics(self.process)

    def hits(self, limit):
        return int(self.metrics()['shardsm_limit_hits_total{limit="%s"}' % limit])

    def waiting_in_database(self):
        db = sqlite3.connect(self.world.db, timeout=30)
        rows = [row[0] for row in db.execute('SELECT "xml" FROM "queue"')]
        db.close()
        return ids(rows)


def ids(texts):
    return [re.search(r" id=['\"](\w+)['\"]", text).group(1) for text in texts]


def flood(session, to, numbers, size=1000, kind='chat'):
    """Messages, rendered at once: the link is what is slow, not the sender."""
    one = "<route xmlns='http://jabberd.jabberstudio.org/ns/component/1.0' to=%s from=%s>%s</route>" % (
        attr(session.home), attr(session.c2s.names[0]),
        with_session("<message to=%s type='%s' id='%%s'><body>%s</body></message>" % (attr(to), kind, 'x' * size), session.cid, session.sm))
    session.c2s.send(''.join(one % n for n in numbers))


def presences(session, to, number, size=1000):
    """Directed: what goes on to a link that takes nothing when messages are refused already."""
    for _ in range(number):
        session.send('<presence to=%s><status>%s</status></presence>' % (attr(to), 'x' * size))


def behind(site, sender, bare):
    """Until what the sender sent has come to that account's worker, and what that answered is in the sender's queue."""
    sender.send("<iq type='get' id='behind' to='%s'><query xmlns='urn:test:nothing'/></iq>" % bare)
    site.hub.until(lambda: any(s.get('id') == 'behind' for s in sender.queue), 'what was sent behind it', SECONDS)


def take(session, found, errors):
    """Sorts what has come: bodies of others, and one's own that came back."""
    while session.queue:
        stanza = session.queue.popleft()
        if stanza.name == 'message':
            (errors if stanza.get('type') == 'error' else found).append(stanza.get('id'))


def exactly_once(sent, **where):
    """Everything that was sent is in one place, and in one only."""
    count = collections.Counter()
    for place in where.values():
        count.update(place)
    summary = ', '.join('%d %s' % (len(v), k) for k, v in where.items())
    missing, twice = [i for i in sent if not count[i]], [i for i in count if count[i] > 1]
    assert not missing, '%d of %d are nowhere (%s): %s' % (len(missing), len(sent), summary, missing[:5])
    assert not twice, '%d came twice (%s): %s' % (len(twice), summary, twice[:5])
    assert len(count) == len(sent), 'more than was sent: ' + summary
    print('# %d sent: %s' % (len(sent), summary), flush=True)


# -- a c2s that does not read ---------------------------------------------------------------------------------------------------

def does_not_read():
    """From half of the limit on messages are refused, and its link is closed at the limit. What was on its way to it is stored, or goes back;
    nobody else notices."""
    with Site('<link-queue-bytes>1048576</link-queue-bytes>') as site:
        aside = Hub()
        slow = site.connect('c2s-slow', aside, 65536)
        away, alice, bob = slow.start('away@%s/r' % DOMAIN), site.online('alice'), site.online('bob')
        sent, found, errors = [], [], []

        def closed():
            return any('does not read' in line for line in site.process.lines)
        while not errors and len(sent) < 40000:
            chat, normal = ['c%d' % (len(sent) + i) for i in range(200)], ['n%d' % (len(sent) + i) for i in range(200)]
            flood(alice, away.jid, chat)
            flood(alice, away.jid, normal, kind='normal')
            sent += chat + normal
            near(alice, bob)
            behind(site, alice, away.bare)
            assert not closed(), 'closed while messages could be refused'
            refused = [s for s in alice.queue if s.name == 'message']
            assert all(s.find('error').elements()[0].name == 'resource-constraint' and s.find('error').get('type') == 'wait' for s in refused)
            take(alice, [], errors)
        refused = len(errors)
        assert refused and site.hits('slow-link') == refused and site.hits('link-queue-bytes') == 0
        for _ in range(20):
            if not closed():
                presences(alice, away.jid, 100)
                behind(site, alice, away.bare)
                near(alice, bob)
        assert closed(), 'never closed'
        before = len(sent)
        last = ['c%d' % (before + i) for i in range(50)]   # to nobody any more
        flood(alice, away.jid, last)
        sent += last
        aside.until(lambda: slow.eof, 'the end of the link', SECONDS)
        take(away, found, errors)
        got = []
        again = site.c2s.start(away.jid)
        again.send('<presence/>')

        def all_there():
            take(again, got, errors)
            take(alice, [], errors)
            return len(found) + len(got) + len(errors) >= len(sent)
        site.hub.until(all_there, lambda: '%d delivered, %d stored, %d back of %d' % (len(found), len(got), len(errors), len(sent)), SECONDS)
        exactly_once(sent, delivered=found, stored=got, back=errors)
        assert not [i for i in errors[refused:] if i[0] == 'c'], 'a chat message is stored'
        assert site.hits('slow-link') == refused and site.hits('link-queue-bytes') == 1


def several_do_not_read():
    """Together they have more waiting than may be: the one with the most goes, the other stays and misses nothing."""
    with Site('<write-queue-bytes>3145728</write-queue-bytes>') as site:
        hubs = Hub(), Hub()
        links = [site.connect(name, hub, 65536) for name, hub in zip(('little', 'much'), hubs)]
        little, much = (link.start('%s@%s/r' % (name, DOMAIN)) for link, name in zip(links, ('little', 'much')))
        alice = site.online('alice')
        sent, errors = {little: [], much: []}, []

        def waits(name):
            return site.metrics().get('shardsm_link_queue_bytes{name="%s",link="%s"}' % (name, address[name]), 0)

        def send(session, n):
            numbers = ['%s%d' % (session.bare[0], len(sent[session]) + i) for i in range(n)]
            flood(alice, session.jid, numbers)
            sent[session] += numbers
            behind(site, alice, session.bare)
            take(alice, [], errors)
        address = {name: re.search(r'link="([^"]*)"', next(k for k in site.metrics() if 'name="%s"' % name in k)).group(1)
                   for name in ('little', 'much')}
        while waits('little') < MIB and len(sent[little]) < 40000:   # behind what the kernel takes
            send(little, 200)

        def closed():
            return any('it has the most' in line for line in site.process.lines)
        while not closed() and len(sent[much]) < 40000:
            send(much, 200)
        site.process.wait_line(r'\[127\.0\.0\.1, port=%d\] is closed: of what waits' % links[1].sock.getsockname()[1])
        hubs[1].until(lambda: links[1].eof, 'the end of the link', SECONDS)
        found, got, kept = [], [], []
        take(much, found, errors)
        again = site.c2s.start(much.jid)
        again.send('<presence/>')

        def all_there():
            take(again, got, errors)
            take(alice, [], errors)
            return len(found) + len(got) + len(errors) >= len(sent[much])
        site.hub.until(all_there, lambda: '%d delivered, %d stored, %d back of %d' % (len(found), len(got), len(errors), len(sent[much])), SECONDS)
        exactly_once(sent[much], delivered=found, stored=got, back=errors)

        def read():
            take(little, kept, errors)
            return len(kept) >= len(sent[little])
        hubs[0].until(read, lambda: '%d of %d' % (len(kept), len(sent[little])), SECONDS)
        exactly_once(sent[little], delivered=kept)
        assert kept == sent[little] and not links[0].eof
        assert site.hits('write-queue-bytes') == 1 and site.hits('link-queue-bytes') == 0


def closed_one_by_one():
    """Salvage waits for a link that has much waiting, but what is left of links that are gone does not pile up for that."""
    most = 3 * MIB
    with Site('<link-queue-bytes>%d</link-queue-bytes><write-queue-bytes>%d</write-queue-bytes>' % (MIB, most)) as site:
        alone, aside = Hub(), Hub()
        stuck_link = site.connect('stuck', alone, 65536)
        stuck, alice = stuck_link.start('stuck@%s/r' % DOMAIN), site.online('alice')
        sent, found, left, errors = {stuck: []}, {stuck: []}, [], []

        def waiting(session):
            return sum(v for k, v in site.metrics().items() if k.startswith('shardsm_link_queue_bytes{name="%s"' % session.c2s.names[0]))

        def send(session):
            if waiting(session) < MIB / 4:
                numbers = ['m%d' % (sum(map(len, sent.values())) + i) for i in range(100)]
                flood(alice, session.jid, numbers)
                sent[session] += numbers
            else:   # messages would be refused
                presences(alice, session.jid, 100)
            behind(site, alice, session.bare)
            take(alice, [], errors)
            left.append(site.metrics()['shardsm_salvage_bytes'])
        while waiting(stuck) < MIB / 4:
            send(stuck)
            assert len(sent[stuck]) < 40000, 'the kernel takes all of it'
        for i in range(12):
            link = site.connect('gone%d' % i, aside, 65536)
            session = link.start('gone%d@%s/r' % (i, DOMAIN))
            sent[session], found[session] = [], []
            while site.hits('link-queue-bytes') + site.hits('write-queue-bytes') == i:
                send(session)
                assert len(sent[session]) < 40000, 'never closed'
        print('# at most %d bytes were left of links that are gone' % max(left), flush=True)
        assert max(left) > MIB / 2, 'nothing was left: nothing is shown'
        assert max(left) < 2 * most
        aside.until(lambda: all(session.c2s.eof for session in sent if session != stuck), 'the end of the links', SECONDS)

        def read():
            take(stuck, found[stuck], errors)
            return len(found[stuck]) >= len(sent[stuck])
        alone.until(read, lambda: '%d of %d' % (len(found[stuck]), len(sent[stuck])), SECONDS)
        for session in sent:
            take(session, found[session], errors)
        got = []
        for session in sent:   # one after the other: all of it at once is more than a link may have waiting
            if session == stuck:
                continue
            again, stored = site.c2s.start(session.jid), []
            again.send('<presence/>')

            def all_there():
                take(again, stored, errors)
                take(alice, [], errors)
                return len(found[session]) + len(stored) >= len(sent[session])
            site.hub.until(all_there, lambda: '%d stored of %d' % (len(stored), len(sent[session]) - len(found[session])), SECONDS)
            got += stored
        exactly_once(sum(sent.values(), []), delivered=sum(found.values(), []), stored=got, back=errors)
        assert not errors, '%d came back that are stored' % len(errors)
        assert not stuck_link.eof, 'the link that waits was closed'


def component_does_not_read():
    """A XEP-0114 component: what was on its way to it goes back, and what comes when too much waits does so at once."""
    with Site('<link-queue-bytes>1048576</link-queue-bytes>') as site:
        aside = Hub()
        slow = LegacyComponent(aside, ('127.0.0.1', site.port), 'ext.test')
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        assert slow.handshake(), 'the handshake was refused'
        alice = site.online('alice')
        sent, errors = [], []

        def closed():
            return any('does not read' in line for line in site.process.lines)
        while not errors and len(sent) < 40000:
            numbers = ['c%d' % (len(sent) + i) for i in range(400)]
            flood(alice, 'user@ext.test', numbers)
            sent += numbers
            behind(site, alice, alice.bare)
            take(alice, [], errors)
        assert errors and not closed() and site.hits('slow-link') == len(errors)
        for _ in range(20):
            if not closed():
                presences(alice, 'user@ext.test', 100)
                behind(site, alice, alice.bare)
        assert closed(), 'never closed'
        aside.until(lambda: slow.eof, 'the end of the link', SECONDS)
        found = [stanza.get('id') for stanza in slow.inbox if stanza.name == 'message']

        def all_there():
            take(alice, [], errors)
            return len(found) + len(errors) >= len(sent)
        site.hub.until(all_there, lambda: '%d delivered, %d back of %d' % (len(found), len(errors), len(sent)), SECONDS)
        exactly_once(sent, delivered=found, back=errors)


def answers_not_read():
    """Who sends and does not read what comes back is not read either, and not closed: it gets all of it, in order, when it reads."""
    with Site('<link-queue-bytes>1048576</link-queue-bytes>') as site:
        link = site.connect('greedy', Hub())
        greedy, alice, bob = link.start('greedy@%s/r' % DOMAIN), site.online('alice'), site.online('bob')
        sent, errors = [], []
        while not link.out and len(sent) < 60000:
            numbers = ['c%d' % (len(sent) + i) for i in range(400)]
            flood(greedy, 'user@nowhere.test', numbers)   # writes, and does not read
            sent += numbers
            near(alice, bob)
        assert link.out, 'all of it was read: %d' % len(sent)

        def all_there():
            take(greedy, [], errors)
            return len(errors) >= len(sent)
        link.hub.until(all_there, lambda: '%d back of %d' % (len(errors), len(sent)), SECONDS)
        exactly_once(sent, back=errors)
        in_order(errors)
        assert site.hits('link-queue-bytes') == 0


def much_stored():
    """More is stored for one user than may wait for a link: it comes in order as the link takes it, and nobody else on it loses it."""
    with Site('<link-queue-bytes>%d</link-queue-bytes>' % MIB) as site:
        alice, bob = site.online('alice'), site.online('bob')
        site.c2s.create('away@' + DOMAIN)
        sent, found, errors = [], [], []
        while len(sent) < 8000:
            numbers = ['m%d' % (len(sent) + i) for i in range(500)]
            flood(alice, 'away@' + DOMAIN, numbers)
            sent += numbers
            site.hub.until(lambda: not alice.c2s.out, 'the flood to be taken', SECONDS)
        alice.send("<iq type='get' id='behind' to='away@%s'><query xmlns='urn:test:nothing'/></iq>" % DOMAIN)
        site.hub.until(lambda: any(s.get('id') == 'behind' for s in alice.queue), 'what was sent behind it', SECONDS)
        take(alice, [], errors)
        away = site.c2s.start('away@%s/r' % DOMAIN)
        away.send('<presence/>')

        def all_there():
            take(away, found, errors)
            return len(found) + len(errors) >= len(sent)
        site.hub.until(all_there, lambda: '%d delivered, %d back of %d' % (len(found), len(errors), len(sent)), SECONDS)
        exactly_once(sent, delivered=found, back=errors)
        assert len(found) > 4000, 'less than a link may have waiting: nothing is shown'
        in_order(found)
        near(alice, bob)
        assert site.hits('link-queue-bytes') == 0


def answers_are_larger():
    """A client asks at once for far more than may wait for its link: all of it comes, and the link stays."""
    with Site('<link-queue-bytes>%d</link-queue-bytes>' % MIB) as site:
        alice, bob = site.online('alice'), site.online('bob')
        greedy = [site.c2s.start('greedy@%s/r%d' % (DOMAIN, i)) for i in range(40)]
        for session in greedy:
            session.send('<presence/>')
        one = greedy[0]

        def asked(what, number, kind='result'):
            got = []

            def all_there():
                while one.queue:
                    stanza = one.queue.popleft()
                    if (stanza.get('id') or '').startswith(what):
                        assert stanza.get('type') == kind, stanza
                        got.append(stanza.get('id'))
                return len(got) >= number
            site.hub.until(all_there, lambda: '%d of %d answers to %s' % (len(got), number, what), SECONDS)
            assert got == ['%s%d' % (what, i) for i in range(number)], 'out of order'
        one.send("<iq type='set' id='p0'><query xmlns='jabber:iq:private'><x xmlns='urn:big'>%s</x></query></iq>" % ('x' * 100000))
        asked('p', 1)
        for i in range(300):
            one.send("<iq type='set' id='s%d'><query xmlns='jabber:iq:roster'><item jid='c%d@over.test' name='%s'/></query></iq>" % (i, i, 'x' * 100))
        asked('s', 300)
        for i in range(200):   # from the database
            one.send("<iq type='get' id='g%d'><query xmlns='jabber:iq:private'><x xmlns='urn:big'/></query></iq>" % i)
        asked('g', 200)
        for i in range(400):   # from memory
            one.send("<iq type='get' id='r%d'><query xmlns='jabber:iq:roster'/></iq>" % i)
        asked('r', 400)
        fans = [site.online('fan%d' % i) for i in range(40)]
        for fan in fans:
            fan.send("<presence type='subscribe' to='%s'/>" % one.bare)
        site.hub.until(lambda: len([s for s in one.queue if s.get('type') == 'subscribe']) == len(fans), 'requests', SECONDS)
        for fan in fans:
            one.send("<presence type='subscribed' to='%s'/>" % fan.bare)
        site.hub.until(lambda: all(any(s.get('from') == one.jid for s in fan.queue) for fan in fans), 'subscriptions', SECONDS)
        for session in greedy + fans:
            session.queue.clear()
        for i in range(300):   # from many workers: one for each of its own, and of those who may see it
            one.send("<presence><status>%d%s</status></presence>" % (i, 'x' * 1000))

        def seen(session):
            return [int(s.find('status').text().rstrip('x')) for s in session.queue if s.find('status')]
        site.hub.until(lambda: all(session.queue and seen(session)[-1:] == [299] for session in greedy + fans), 'the last presence', SECONDS)
        assert all(seen(session) == list(range(300)) for session in greedy + fans), 'lost, or out of order'
        near(alice, bob)
        assert site.hits('link-queue-bytes') == 0


# -- more than a shard can work off at once -------------------------------------------------------------------------------------

def near(alice, bob):
    """Who has nothing to do with a flood is served beside it."""
    alice.send("<message to='%s' type='chat' id='near'><body>x</body></message>" % bob.jid)
    assert bob.next('what has nothing to do with it').get('id') == 'near'


def in_order(ids):
    numbers = [int(i[1:]) for i in ids]
    assert numbers == sorted(numbers), 'out of order'


def floods():
    """To a session, to an account that is away, and to a name without one, in turns: delivered, stored, and back."""
    with Site('<shard-queue-bytes>1048576</shard-queue-bytes>') as site:
        alice, bob, hub = site.online('alice'), site.online('bob'), Hub()
        link = site.connect('flood', hub)
        source, target = (link.start('%s@%s/r' % (name, DOMAIN)) for name in ('source', 'target'))
        site.c2s.create('away@' + DOMAIN)
        sent = ['m%d' % i for i in range(12000)]
        for first in range(0, len(sent), 300):
            for part, to in enumerate((target.jid, 'away@' + DOMAIN, 'nobody@' + DOMAIN)):
                flood(source, to, sent[first + 100 * part:first + 100 * (part + 1)])
            near(alice, bob)
        found, errors, stored = [], [], []

        def all_there():
            take(target, found, [])
            take(source, [], errors)
            stored[:] = site.waiting_in_database()
            return len(found) + len(errors) + len(stored) >= len(sent)
        hub.until(all_there, lambda: '%d delivered, %d stored, %d back of %d' % (len(found), len(stored), len(errors), len(sent)), SECONDS)
        exactly_once(sent, delivered=found, stored=stored, back=errors)
        for ids in (found, stored):
            in_order(ids)
        assert len(found) == 4000 and stored, 'whoever is there gets everything'


def all_to_one():
    """From six c2s to one user: everything comes, what each sent in its order; what comes when too much waits already goes back."""
    with Site('<shard-queue-bytes>1048576</shard-queue-bytes>', workers=4) as site:
        alice, bob, hub, aside = site.online('alice'), site.online('bob'), Hub(), Hub()
        victim = site.connect('home', aside).start('victim@%s/r' % DOMAIN)
        links = [site.connect('crowd%d' % i, hub) for i in range(6)]
        sources = [link.start('%s@%s/r' % (letter, DOMAIN)) for letter, link in zip('abcdef', links)]
        sent = {source: ['%s%d' % (source.jid[0], i) for i in range(2500)] for source in sources}
        for first in range(0, 2500, 500):
            for source in sources:
                flood(source, victim.jid, sent[source][first:first + 500], size=300)
            near(alice, bob)
        found, errors = [], []

        def all_there():
            take(victim, found, [])
            for source in sources:
                take(source, [], errors)
            hub.pump(0)
            return len(found) + len(errors) >= 6 * 2500
        aside.until(all_there, lambda: '%d delivered, %d back' % (len(found), len(errors)), SECONDS)
        exactly_once([i for ids in sent.values() for i in ids], delivered=found, back=errors)
        for letter in 'abcdef':
            in_order([i for i in found if i[0] == letter])
        assert len(errors) == site.hits('between-shards')


def busy_shard():
    """One user keeps a worker busy with requests that cost it much: each is answered, and what others send through that worker arrives."""
    with Site('<shard-queue-bytes>1048576</shard-queue-bytes>', workers=1) as site:
        alice, bob, hub = site.online('alice'), site.online('bob'), Hub()
        link = site.connect('busy', hub)
        busy = link.start('busy@%s/r' % DOMAIN)
        fields = ''.join('<F%d>%s</F%d>' % (i, 'x' * 100, i) for i in range(500))
        vcard = "<iq type='set' id='%%s'><vCard xmlns='vcard-temp'>%s<FN>%s</FN></vCard></iq>" % (fields, 'x' * 20000)
        sent, told, through = ['v%d' % i for i in range(400)], [], []
        for first in range(0, len(sent), 20):
            for ident in sent[first:first + 20]:
                busy.send(vcard % ident)
            flood(alice, bob.jid, ['m%d' % (first + i) for i in range(20)], size=100)
            near(bob, alice)
        hub.until(lambda: len(busy.queue) >= len(sent), lambda: '%d of %d answers' % (len(busy.queue), len(sent)), SECONDS)
        told = [stanza.get('id') for stanza in busy.queue if stanza.get('type') == 'error']
        exactly_once(sent, back=told)
        in_order(told)
        site.hub.until(lambda: len(bob.queue) >= len(sent), lambda: '%d of %d messages' % (len(bob.queue), len(sent)), SECONDS)
        take(bob, through, [])
        exactly_once(['m%d' % i for i in range(len(sent))], delivered=through)
        in_order(through)


# -- a store that is slower than what comes -------------------------------------------------------------------------------------

class Locked:
    """The database held by another program."""

    def __init__(self, site):
        self.db = sqlite3.connect(site.world.db, timeout=30, isolation_level=None)
        self.db.execute('BEGIN EXCLUSIVE')

    def release(self):
        self.db.execute('ROLLBACK')
        self.db.close()


def slow_store():
    """Messages for nobody there, while nothing can be stored: what waits is bounded, the others are told to try again."""
    with Site('<waiting-bytes>1048576</waiting-bytes>') as site:
        alice = site.online('alice')
        site.c2s.create('away@' + DOMAIN)
        numbers = ['c%d' % i for i in range(6000)]
        errors = []
        locked = Locked(site)
        flood(alice, 'away@' + DOMAIN, numbers)

        def refused():
            take(alice, [], errors)
            return len(errors) > len(numbers) - 2 * MIB // 1000
        site.hub.until(refused, lambda: 'refusals of what is more than may wait (%d)' % len(errors), SECONDS)
        locked.release()
        mark = "<iq type='get' id='mark' to='away@%s'><query xmlns='urn:test:nothing'/></iq>" % DOMAIN
        alice.send(mark)
        answers = []

        def answered():
            answers.extend(s for s in alice.queue if s.get('id') == 'mark')
            take(alice, [], errors)
            return answers
        site.hub.until(answered, 'what was sent behind it', SECONDS)
        site.hub.until(lambda: site.metrics()['shardsm_store_requests_in_flight'] == 0, 'the database', SECONDS)
        take(alice, [], errors)
        stored = site.waiting_in_database()
        exactly_once(numbers, stored=stored, back=errors)
        assert stored == sorted(stored, key=lambda i: int(i[1:])), 'out of order'
        hits = len(errors) + (answers[0].find('error').get('type') == 'wait')   # it may have come too early itself
        assert site.hits('waiting-bytes') == hits, (site.hits('waiting-bytes'), hits)


def login_storm():
    """Everybody comes while the database stands still: each is told, now or later, and whoever was refused can come again."""
    with Site('<waiting-bytes>1048576</waiting-bytes>') as site:
        alice, bob = site.online('alice'), site.online('bob')
        locked = Locked(site)
        cids = {site.c2s.new_id(): 'u%d@%s/r' % (i, DOMAIN) for i in range(3000)}
        for cid, jid in cids.items():
            site.c2s.command('start', jid, cid, to=DOMAIN)
        site.hub.until(lambda: len(site.c2s.actions) > 1000, 'refusals', SECONDS)
        # who is there already is served all the while
        alice.send("<message to='%s' type='chat' id='near'><body>x</body></message>" % bob.jid)
        assert bob.next('a message that needs no database').get('id') == 'near'
        early = len(site.c2s.actions)
        locked.release()
        site.hub.until(lambda: len(site.c2s.actions) == len(cids), lambda: 'an answer for everybody (%d)' % len(site.c2s.actions), SECONDS)
        outcome = collections.Counter()
        answered = set()
        for route in site.c2s.actions:
            payload = route.elements()[0]
            outcome[payload.get('action')] += 1
            answered.add(payload.session('c2s'))
        site.c2s.actions.clear()
        assert answered == set(cids), 'one answer for each'
        assert outcome['started'] + outcome['start'] == len(cids) and outcome['start'] >= early and outcome['started'], outcome
        assert site.metrics()['shardsm_sessions'] == outcome['started'] + 2
        assert site.hits('waiting-bytes') == outcome['start']
        print('# %d starts: %s' % (len(cids), dict(outcome)), flush=True)
        site.online('u2999')


CASES = {
    'a c2s that does not read': does_not_read,
    'several c2s that do not read': several_do_not_read,
    'c2s that do not read, one after the other': closed_one_by_one,
    'a component that does not read': component_does_not_read,
    'a c2s that does not read its answers': answers_not_read,
    'more stored than may wait': much_stored,
    'answers larger than what asks': answers_are_larger,
    'a c2s that floods': floods,
    'one user flooded by all': all_to_one,
    'a worker kept busy': busy_shard,
    'a store that is slower': slow_store,
    'a storm of logins': login_storm,
}


if __name__ == '__main__':
    sys.exit(run_cases(CASES))
