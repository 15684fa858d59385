#!/usr/bin/python3
"""several_sms.py - several shardsm for one domain behind jabberd2's router, on one database.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

jabberd2's rule: every sm has an id of its own, all bind the domain, the router picks one by the bare JID, and what one of them wrote
another may read after somebody joined or left. What a user of one sm sends to a user of another has to take the router.
"""
import sys
sys.dont_write_bytecode = True
import hashlib
import signal
import struct

from component import FakeC2S, Hub, Marks
from servers import Report, World, need_jabberd2, need_shardsm

DOMAIN, SECOND, LONELY = 'many.test', 'second.test', 'lonely.test'
USERS = ['user%d' % i for i in range(24)]


def pick(bare, names):
    """The sm that jabberd2's router takes for a bare JID: as seen with 400 of them, the middle three of the five words of its SHA-1."""
    _, a, b, c, _ = struct.unpack('=5I', hashlib.sha1(bare.encode()).digest())
    return names[((a ^ b ^ c) >> 2) % len(names)]


class Site:
    """A router, a c2s, and sms that come and go. names: in the order in which they bound the domain."""

    def __init__(self, world, delivery):
        self.world, self.delivery = world, delivery
        self.router, self.port = world.router()
        self.hub = Hub()
        self.c2s = FakeC2S(self.hub, ('127.0.0.1', self.port), 'c2s-many').connect()
        self.marks = Marks(self.hub)
        self.processes = {}

    def config(self, name, domains, **kw):
        return self.world.sm_config(domains, name=name, router=self.port,
                                    extra='<local-delivery>%s</local-delivery>' % self.delivery, **kw)

    def join(self, name, domains=(DOMAIN,)):
        process = self.world.shardsm(self.config(name, domains))
        process.wait_line('ready for sessions')
        self.processes[name] = process
        for domain in domains:
            self.c2s.online(domain)

    def leave(self, name):
        """As an operator stops it; the router has noticed when this returns."""
        status = self.processes.pop(name).stop(signal.SIGTERM, 8)
        assert status == 0, '%s: exit status %d' % (name, status)
        self.hub.until(lambda: self.c2s.adverts.get(name) is False, 'the advertisement of the end of ' + name)

    def start(self, user, resource='r', domain=DOMAIN):
        return self.c2s.start('%s@%s/%s' % (user, domain, resource))

    def flush(self, *sessions):
        self.marks.flush(sessions, [s.bare for s in sessions])

    def forget(self, *sessions):
        self.flush(*sessions)
        for session in sessions:
            session.queue.clear()

    def pair(self, names):
        """A user of the first sm and one of the second."""
        homes = {u: pick('%s@%s' % (u, DOMAIN), names) for u in USERS}
        return [next(u for u in USERS if homes[u] == n) for n in names[:2]]


def nothing(session):
    assert not session.queue and not session.faults, '%s got %s' % (session.jid, (list(session.queue) + session.faults)[0])


def expect(session, name, **attrs):
    got = session.next('%s %s' % (name, attrs))
    wrong = {k: v for k, v in attrs.items() if got.get(k.rstrip('_')) != v}
    assert got.name == name and not wrong, '%s got %s instead of %s %s' % (session.jid, got, name, attrs)
    return got


def where_users_live(site):
    """Each user is created and started on the sm that the router's hash picks, and all of them get some."""
    names = list(site.processes)
    homes = {}
    for user in USERS:
        bare = '%s@%s' % (user, DOMAIN)
        site.c2s.create(bare)
        session = site.start(user)
        homes[user] = session.home
        assert session.home == pick(bare, names), '%s lives on %s, not on %s' % (bare, session.home, pick(bare, names))
        site.c2s.end(session)
    assert set(homes.values()) == set(names), 'all users are on %s' % set(homes.values())


def through_the_router(site):
    """Users of different sms: subscriptions, presence, messages and requests, each way."""
    one, two = (site.start(u) for u in site.pair(list(site.processes)))
    assert one.home != two.home
    for session in (one, two):
        session.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        session.send('<presence/>')
    site.forget(one, two)
    one.send("<presence type='subscribe' to='%s'/>" % two.bare)
    expect(two, 'presence', type='subscribe', from_=one.bare)
    two.send("<presence type='subscribed' to='%s'/>" % one.bare)
    while one.next('the approval').get('type') != 'subscribed':
        pass   # the push that the request is on its way
    assert expect(one, 'iq').get('type') == 'set'
    got = expect(one, 'presence')
    assert got.get('from') == two.jid and got.get('type') is None, got
    site.forget(one, two)
    two.send('<presence><show>away</show></presence>')
    got = expect(one, 'presence', from_=two.jid)
    assert got.find('show').text() == 'away', got
    site.forget(one, two)
    for source, target in ((one, two), (two, one)):
        source.send("<message to='%s' type='chat' id='bare'><body>x</body></message>" % target.bare)
        source.send("<message to='%s' type='chat' id='full'><body>x</body></message>" % target.jid)
        for ident in ('bare', 'full'):
            expect(target, 'message', id=ident, from_=source.jid)
        source.send("<iq to='%s' type='get' id='q'><x xmlns='urn:x'/></iq>" % target.jid)
        expect(target, 'iq', id='q', from_=source.jid)
        target.send("<iq to='%s' type='result' id='q'/>" % source.jid)
        expect(source, 'iq', id='q', type='result')
    two.send("<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>Two</FN></vCard></iq>")
    expect(two, 'iq', id='v', type='result')
    one.send("<iq to='%s' type='get' id='w'><vCard xmlns='vcard-temp'/></iq>" % two.bare)
    assert expect(one, 'iq', id='w', type='result').find('vCard').find('FN').text() == 'Two'
    site.flush(one, two)
    for session in (one, two):
        nothing(session)
    site.c2s.end(two)
    expect(one, 'presence', type='unavailable', from_=two.jid)
    site.c2s.end(one)


def own_users_too(site):
    """With <local-delivery>router</local-delivery> even what stays on one sm goes out; it arrives once."""
    names = list(site.processes)
    one, two = (site.start(u) for u in [u for u in USERS if pick('%s@%s' % (u, DOMAIN), names) == names[0]][:2])
    two.send('<presence/>')
    site.forget(one, two)
    one.send("<message to='%s' type='chat' id='m'><body>x</body></message>" % two.bare)
    expect(two, 'message', id='m', from_=one.jid)
    site.flush(one, two)
    nothing(two)
    for session in (one, two):
        site.c2s.end(session)


def same_id(site):
    """An id that is taken: the router says 409, and the second one exits with an error; the first goes on."""
    name = next(iter(site.processes))
    process = site.world.shardsm(site.world.write('again.xml', open(site.world.path(name + '.xml')).read()))
    status = process.wait(10)
    assert status != 0, 'exit status 0:\n' + process.tail()
    assert '409' in '\n'.join(process.lines), process.tail()
    assert site.processes[name].running()
    user = next(u for u in USERS if pick('%s@%s' % (u, DOMAIN), list(site.processes)) == name)
    session = site.start(user)
    assert session.home == name
    site.c2s.end(session)


def one_leaves(site):
    """Its sessions are ended, the domain stays, others' sessions go on; its users find their data with another."""
    names = list(site.processes)
    gone = names[0]
    leaver, stayer = (site.start(u) for u in site.pair(names))
    assert (leaver.home, stayer.home) == (names[0], names[1])
    leaver.send("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='friend@y.test' name='F'/></query></iq>")
    expect(leaver, 'iq', id='r', type='result')
    site.leave(gone)
    site.hub.until(lambda: leaver.ended, 'ended for ' + leaver.jid)
    assert leaver.ended == 'ended', leaver.ended
    assert site.c2s.adverts[DOMAIN], 'the domain went with one of its sms'
    left = [n for n in names if n != gone]
    stayer.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    expect(stayer, 'iq', id='p', type='result')
    site.c2s.end(stayer)
    # at its next login it is where answers for it go now; what it sends to the other is kept by whoever gets it
    stayer = site.start(stayer.bare.partition('@')[0])
    stayer.send("<message to='%s' type='chat' id='kept'><body>x</body></message>" % leaver.bare)
    stayer.send("<iq type='get' id='mark' to='%s'><x xmlns='urn:x'/></iq>" % leaver.bare)
    expect(stayer, 'iq', id='mark', type='error')
    # the router counts those who are left; in which order, is its own affair
    again = site.start(leaver.bare.partition('@')[0])
    assert again.home in left, again.home
    again.send("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>")
    query = expect(again, 'iq', id='g', type='result').find('query')
    assert 'friend@y.test' in [i.get('jid') for i in query.elements()], query
    again.send('<presence/>')
    site.hub.until(lambda: [g for g in again.queue if g.get('id') == 'kept'], 'the message that was kept')
    for session in (again, stayer):
        site.c2s.end(session)


def one_joins(site):
    """An sm more: some users go there at their next login, and sessions that are there stay where they are."""
    sessions = [site.start(u) for u in USERS[:6]]
    before = [s.home for s in sessions]
    site.join('sm-new')
    for session, home in zip(sessions, before):
        session.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        expect(session, 'iq', id='p', type='result')
        assert session.home == home
        site.c2s.end(session)
    homes = set()
    for user in USERS:
        session = site.start(user)
        homes.add(session.home)
        site.c2s.end(session)
    assert homes == set(site.processes), 'nobody lives on %s' % (set(site.processes) - homes)


def last_one_leaves(site):
    """The domain goes with the last of its sms."""
    for name in list(site.processes):
        assert site.c2s.adverts[DOMAIN], 'the domain is gone before its last sm'
        site.leave(name)
    site.hub.until(lambda: site.c2s.adverts.get(DOMAIN) is False, 'the advertisement of the end of the domain')


def direct(site):
    """Without the detour an sm takes every local address for its own: users of another sm are offline for it."""
    names = list(site.processes)
    first, second = site.pair(names)
    mate = next(u for u in USERS if pick('%s@%s' % (u, DOMAIN), names) == names[0] and u != first)
    for user in (first, second, mate):
        site.c2s.create('%s@%s' % (user, DOMAIN))
    one, two, near = (site.start(u) for u in (first, second, mate))
    for session in (one, two, near):
        session.send('<presence/>')
    site.flush(one, near)
    site.flush(two)
    for session in (one, two, near):
        session.queue.clear()
    one.send("<message to='%s' type='chat' id='near'><body>x</body></message>" % near.bare)
    expect(near, 'message', id='near')
    one.send("<message to='%s' type='chat' id='far'><body>x</body></message>" % two.bare)
    one.send("<iq type='get' id='mark' to='%s'><x xmlns='urn:x'/></iq>" % two.bare)
    expect(one, 'iq', id='mark', type='error')
    site.flush(two)
    nothing(two)
    site.c2s.end(two)
    two = site.start(second)
    two.send('<presence/>')
    site.hub.until(lambda: [g for g in two.queue if g.get('id') == 'far'], 'the message from the database')
    for session in (one, two, near):
        site.c2s.end(session)


def several_domains(site):
    """One sm with three domains, another with one of them: each domain's users are where it is served, and talk to each other."""
    site.join('sm-three', (DOMAIN, SECOND, LONELY))
    site.join('sm-second', (SECOND,))
    names = ['sm-three', 'sm-second']
    far = next(u for u in USERS if pick('%s@%s' % (u, SECOND), names) == 'sm-second')
    near = next(u for u in USERS if pick('%s@%s' % (u, SECOND), names) == 'sm-three')
    sessions = []
    for user, domain, home in ((far, SECOND, 'sm-second'), (near, SECOND, 'sm-three'), (far, LONELY, 'sm-three'), (far, DOMAIN, 'sm-three')):
        site.c2s.create('%s@%s' % (user, domain))
        session = site.start(user, domain=domain)
        assert session.home == home, '%s lives on %s, not on %s' % (session.bare, session.home, home)
        session.send('<presence/>')
        sessions.append(session)
    site.forget(*sessions)
    for source in sessions:
        for target in sessions:
            source.send("<message to='%s' id='m'><body>%s</body></message>" % (target.bare, source.jid))
    for target in sessions:
        bodies = sorted(expect(target, 'message', id='m').find('body').text() for _ in sessions)
        assert bodies == sorted(s.jid for s in sessions), bodies
    site.flush(*sessions)
    for session in sessions:
        nothing(session)
    site.leave('sm-second')
    site.hub.until(lambda: sessions[0].ended, 'ended for ' + sessions[0].jid)
    assert site.c2s.adverts[SECOND], 'the domain went with one of its sms'
    again = site.start(far, domain=SECOND)
    assert again.home == 'sm-three', again.home
    for session in sessions[1:] + [again]:
        site.c2s.end(session)


def main():
    need_jabberd2('router')
    need_shardsm()
    report = Report()
    for delivery, names, cases in (
            ('router', ('sm-one', 'sm-two', 'sm-three'),
             (where_users_live, through_the_router, own_users_too, same_id, one_leaves, one_joins, last_one_leaves)),
            ('direct', ('sm-one', 'sm-two'), (direct,)),
            ('router', (), (several_domains,))):
        with World() as world:
            site = Site(world, delivery)
            for name in names:
                site.join(name)
            for function in cases:
                report.case('%s: %s' % (delivery, function.__name__.replace('_', ' ')), function, site)
            site.hub.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
