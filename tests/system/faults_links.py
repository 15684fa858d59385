#!/usr/bin/python3
"""faults_links.py - what links suffer: peers cut off in mid-frame, frozen, gone without a word, back in crowds, routers that fail.
Threads: one, and a log reader for each server.
Owns: the servers that it starts, and a network namespace of its own where machines can vanish.
"""
import sys
sys.dont_write_bytecode = True
import ctypes
import os
import shutil
import socket
import struct
import subprocess

from component import HEADER, FakeC2S, Hub, LegacyComponent, Marks, attr
from fake_router import FakeRouter
from servers import SKIP, Report, World, need_shardsm
from xmltree import NS_COMPONENT, NS_STREAMS

DOMAIN = 'links.test'
EVENT = 'jabber:x:event'   # XEP-0022: the server says when it has stored a message
SILENCE = 5                # seconds, the least that limits.link-silence may be
CROWD = 300
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000


def own_network():
    """This process and its children alone on a network. None, or why that is not possible here."""
    libc = ctypes.CDLL(None, use_errno=True)
    if shutil.which('ip') is None:
        return 'ip is missing: install the Debian package iproute2'
    if libc.unshare(CLONE_NEWNET | (0 if os.geteuid() == 0 else CLONE_NEWUSER)) != 0:
        return 'no network namespace of our own (%s)' % os.strerror(ctypes.get_errno())
    try:
        subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as e:
        print('# skipped: a network namespace of our own, and ip does not work in it (%s)' % e)
        sys.exit(SKIP)
    return None


class Distant(FakeC2S):
    """A c2s with an address of its own, that can be made to vanish."""

    def __init__(self, hub, address, name, home='127.0.0.2'):
        self.home = home
        sock = socket.socket()
        sock.bind((home, 0))
        sock.connect(address)
        super().__init__(hub, address, name)
        self.sock.close()
        self.sock = sock
        sock.setblocking(False)

    def vanish(self):
        """Nothing reaches it from now on, and nothing says so."""
        subprocess.run(['ip', 'route', 'add', 'blackhole', self.home + '/32', 'table', 'local'], check=True)

    def appear(self):
        subprocess.run(['ip', 'route', 'del', 'blackhole', self.home + '/32', 'table', 'local'], check=True)


class Site:
    """A listening shardsm; a c2s that works, where alice and carol are."""

    def __init__(self, world, name, limits='', silence=SILENCE):
        self.world, self.hub, self.count = world, Hub(), 0
        self.process, port = world.listening_shardsm([DOMAIN], name=name, db=world.path(name + '.db'),
                                                     extra='<limits><link-silence>%d</link-silence>%s</limits>' % (silence, limits))
        self.address = ('127.0.0.1', port)
        self.c2s = FakeC2S(self.hub, self.address, 'good').connect()
        self.c2s.online(DOMAIN)
        for user in ('alice', 'bob', 'carol'):
            self.c2s.create(self.jid(user))
        self.alice = self.c2s.start(self.jid('alice') + '/a')
        self.carol = self.c2s.start(self.jid('carol') + '/c')

    def jid(self, user):
        return '%s@%s' % (user, DOMAIN)

    def connect(self, name, kind=FakeC2S):
        c2s = kind(self.hub, self.address, name).connect()
        c2s.online(DOMAIN)
        return c2s

    def here(self, c2s):
        """bob, available."""
        bob = c2s.start(self.jid('bob') + '/b')
        bob.send('<presence/>')
        self.hub.until(lambda: bob.queue, "bob's own presence")
        bob.queue.clear()
        return bob

    def say(self, to, size=1):
        """alice sends a message that asks to be told when it is stored. Its id."""
        self.count += 1
        ident = 'm%d' % self.count
        self.alice.send("<message type='chat' to=%s id='%s'><body>%s</body><x xmlns='%s'><offline/></x></message>" % (
            attr(to), ident, 'x' * size, EVENT))
        return ident

    def stored(self, ident):
        """Whether alice was told that it is."""
        for node in self.alice.queue:
            event = node.find('x', EVENT) if node.name == 'message' else None
            if event is not None and any(e.name == 'id' and e.text() == ident for e in event.elements()):
                return True
        return False

    def served(self):
        """Those on the link that works talk, and nothing that they say is lost."""
        self.carol.queue.clear()
        ident = self.say(self.jid('carol') + '/c')
        self.hub.until(lambda: any(n.get('id') == ident for n in self.carol.queue), "carol's message")

    def back(self, want, order=True):
        """bob comes by another way and gets what was stored, once. Without order: what was sent after the end of a link may be stored before
        what had waited for it."""
        bob = self.c2s.start(self.jid('bob') + '/back')
        bob.send('<presence/>')
        self.hub.until(lambda: len([n for n in bob.queue if n.name == 'message']) >= len(want),
                       lambda: 'what was stored: %d of %d' % (len([n for n in bob.queue if n.name == 'message']), len(want)), 60)
        Marks(self.hub).flush([bob], [self.jid('bob')])
        got = [n.get('id') for n in bob.queue if n.name == 'message']
        bob.end()
        self.hub.until(lambda: bob.ended, "the end of bob's session")
        if not order:
            got, want = sorted(got), sorted(want)
        assert got == want, 'bob got %s, not %s' % (got, want)

    def close(self):
        self.hub.close()
        assert self.process.stop() == 0, self.process.tail()


def reset(link):
    """The end without a goodbye, with whatever waits to be read thrown away."""
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    link.close()


def killed_in_mid_frame(site):
    """What it had not said to the end was not said; what comes for its people afterwards is stored."""
    site.c2s.adverts.clear()
    c2s = site.connect('torn')
    bob = site.here(c2s)
    whole = len(bob.c2s.names)
    bob.c2s.send("<route xmlns='%s' to='%s' from='torn'><message xmlns='jabber:client' to='%s' id='half'><body>ha" % (
        NS_COMPONENT, DOMAIN, site.jid('carol')))
    assert whole == 1
    site.served()
    reset(c2s)
    site.hub.until(lambda: site.c2s.adverts.get('torn') is False, 'the news that the torn one is gone')
    ident = site.say(site.jid('bob'))
    site.hub.until(lambda: site.stored(ident), 'the word that it is stored')
    assert not any(n.get('id') == 'half' for n in site.carol.queue)
    site.served()
    site.back([ident])


def gone_without_a_word(site):
    """Its link is given up within limits.link-silence, with and without something to send."""
    site.c2s.adverts.clear()
    idle = site.connect('idle', lambda hub, address, name: Distant(hub, address, name, '127.0.0.3'))
    c2s = site.connect('distant', Distant)
    site.here(c2s)
    c2s.vanish()
    idle.vanish()
    try:
        site.say(site.jid('bob'))   # it is on its way when the line is dead
        site.served()
        for name in ('distant', 'idle'):
            site.hub.until(lambda name=name: site.c2s.adverts.get(name) is False, 'the end of ' + name, 6 * SILENCE)
        ident = site.say(site.jid('bob'))
        site.hub.until(lambda: site.stored(ident), 'the word that it is stored')
        site.served()
    finally:
        c2s.appear()
        idle.appear()
    c2s.close()
    idle.close()


def wants(site, name, home='127.0.0.9'):
    """A new c2s that has asked for the name. Its answer is not there yet."""
    c2s = Distant(site.hub, site.address, name, home)
    assert c2s.authenticate() is None
    c2s.send("<bind xmlns=%s name=%s/>" % (attr(NS_COMPONENT), attr(name)))
    return c2s


def answer(site, c2s):
    site.hub.until(lambda: c2s.binds, 'the answer to its bind', SILENCE + 10)
    return int(c2s.binds.popleft().get('error', '0'))


def its_name_is_taken_over(world):
    """A machine that vanished is started again elsewhere: it has its name long before the silence of the old one is found out. Its sessions
    ended; one of a XEP-0114 component likewise. Who is there keeps its name, frozen or not, and who is back in time."""
    site = Site(world, 'takeover', silence=3600)
    old = site.connect('gone', Distant)
    bob = site.here(old)
    there = site.connect('there', lambda hub, address, name: Distant(hub, address, name, '127.0.0.3'))
    legacy = LegacyComponent(site.hub, site.address, 'old.test', source='127.0.0.2')
    assert legacy.handshake()
    assert answer(site, wants(site, 'there')) == 409
    carol = there.start(site.jid('carol') + '/there')
    site.hub.links.remove(there)   # stands still
    assert answer(site, wants(site, 'there')) == 409
    sent = [site.say(carol.jid, 400000) for _ in range(25)]
    site.served()
    assert answer(site, wants(site, 'there')) == 409, 'and more is sent to it than its kernel takes'
    site.hub.add(there)
    site.hub.until(lambda: len(carol.queue) == len(sent), 'what was kept for it', 60)
    there.vanish()
    late = wants(site, 'there')
    site.served()
    there.appear()
    assert answer(site, late) == 409
    old.vanish()
    try:
        new = wants(site, 'gone')
        again = LegacyComponent(site.hub, site.address, 'old.test')
        assert again.handshake(), 'the name of a component that has vanished is refused'
        assert answer(site, new) == 0
        new.names.append('gone')
        again = new.start(bob.jid)
        again.send('<presence/>')
        ident = site.say(bob.jid)
        site.hub.until(lambda: any(n.get('id') == ident for n in again.queue), 'a message by the new way')
        site.process.wait_line(r'disconnect \(it acknowledges nothing, and another has come for its name\)')
    finally:
        old.appear()
    for c2s in (there, new):
        site.hub.until(lambda c2s=c2s: not c2s.eof, 'a link that stays')
    site.served()
    site.close()


def frozen(site):
    """It takes nothing for less than limits.link-silence, and goes on: nothing is lost or out of order."""
    c2s = site.connect('frozen')
    bob = site.here(c2s)
    site.hub.links.remove(c2s)
    sent = [site.say(bob.jid) for _ in range(2000)]
    site.served()
    site.hub.add(c2s)
    site.hub.until(lambda: len([n for n in bob.queue if n.name == 'message']) >= len(sent), 'what was kept for bob')
    assert [n.get('id') for n in bob.queue if n.name == 'message'] == sent
    c2s.close()
    site.hub.until(lambda: site.c2s.adverts.get('frozen') is False, 'its end')


def not_taken(site, messages, size):
    """A c2s that takes nothing loses its link. Each message was taken by it, or by the kernel, or comes back as an error, or is stored;
    those that had been stored before, and were on their way, stay stored."""
    waiting = [site.say(site.jid('bob')) for _ in range(3)]
    site.hub.until(lambda: all(site.stored(i) for i in waiting), 'the word that they are stored')
    site.c2s.adverts.clear()
    site.alice.queue.clear()
    c2s = site.connect('stuck')
    c2s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    bob = c2s.start(site.jid('bob') + '/b')
    site.hub.links.remove(c2s)
    sent = [site.say(bob.jid, size) for _ in range(messages)]
    bob.send('<presence/>')   # the stored ones come behind all of this
    site.served()
    site.hub.until(lambda: site.c2s.adverts.get('stuck') is False, 'the end of its link', 6 * SILENCE)

    def errors():
        return [n.get('id') for n in site.alice.queue if n.name == 'message' and n.get('type') == 'error']
    with open('/proc/sys/net/ipv4/tcp_wmem') as f:
        kernel = 2 * int(f.read().split()[2]) // size
    # the kernel takes the first of them
    site.hub.until(lambda: all(site.stored(i) for i in set(sent[kernel:]) - set(errors())), 'what became of all of them')
    Marks(site.hub).flush([site.alice], [site.jid('alice'), site.jid('bob')])
    while not c2s.eof:
        c2s.receive()
    got = [n.get('id') for n in bob.queue if n.name == 'message']
    back, stored = errors(), [i for i in sent if site.stored(i)]
    silent = [i for i in sent if i not in got + back + stored]
    print('# %d messages of %d bytes: %d taken, %d with the kernel, %d came back, %d stored' % (
        messages, size, len(got), len(silent), len(back), len(stored)))
    assert sorted(got + silent + back + stored) == sorted(sent), 'twice'
    assert len(silent) <= kernel, 'lost without a word: %s' % silent
    assert back or stored, 'nothing came back, and nothing was stored'
    c2s.close()
    site.served()
    site.back(waiting + stored, order=False)


def two_copies(site):
    """A message for an account with two sessions, both on a link that takes nothing: it is stored once."""
    site.c2s.adverts.clear()
    c2s = site.connect('stuck')
    c2s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    people = [c2s.start('%s/%s' % (site.jid('bob'), r)) for r in 'bB']
    for session in people:
        session.send('<presence/>')
    site.hub.until(lambda: all(len(s.queue) >= 2 for s in people), 'that they see each other')
    site.hub.links.remove(c2s)
    for _ in range(60):   # fills the link
        site.alice.send("<message type='headline' to=%s><body>%s</body></message>" % (attr(people[0].jid), 'x' * 400000))
    idents = [site.say(site.jid('bob')) for _ in range(5)]
    site.served()
    site.hub.until(lambda: site.c2s.adverts.get('stuck') is False, 'the end of its link', 6 * SILENCE)
    site.hub.until(lambda: all(site.stored(i) for i in idents), 'the word that they are stored')
    site.served()
    c2s.close()
    site.back(idents)


def frozen_for_too_long(site):
    """Longer than limits.link-silence."""
    not_taken(site, 60, 400000)


def crowd(site):
    """Hundreds connect at once; half of them never speak. Those who do are let in, and the rest does not stay."""
    silent, speaking = [], []
    for number in range(CROWD):
        silent.append(socket.create_connection(site.address))
        if number % 10 == 0:
            speaking.append(FakeC2S(site.hub, site.address, 'c%d' % number).connect())
            site.served()
    for c2s in speaking:
        c2s.online(DOMAIN)
    site.hub.until(lambda: all(site.c2s.adverts.get(c.name) for c in speaking), 'the news of all of them')
    # whoever has not spoken is sent away in the end: its socket says so
    for sock in silent:
        sock.settimeout(60)
        try:
            while sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
        sock.close()
    for c2s in speaking:
        c2s.close()
    site.hub.until(lambda: all(site.c2s.adverts.get(c.name) is False for c in speaking), 'the news of their ends')
    site.served()


def half_headers(site):
    """A crowd that begins to log in and then falls silent does not keep others out either."""
    begun = []
    for _ in range(CROWD):
        sock = socket.create_connection(site.address)
        sock.sendall((HEADER % (NS_STREAMS, '')).encode())
        begun.append(sock)
    late = FakeC2S(site.hub, site.address, 'late').connect()
    late.online(DOMAIN)
    for sock in begun:
        sock.close()
    late.close()
    site.hub.until(lambda: site.c2s.adverts.get('late') is False, 'the end of the late one')
    site.served()


# --- the router that we dial ---------------------------------------------------------------------------------------------------------

class Dialling:
    def __init__(self, world, name, retry):
        self.hub = Hub()
        self.router = FakeRouter(self.hub)
        self.process = world.shardsm(world.sm_config([DOMAIN], name=name, router=self.router.port, db=world.path(name + '.db'), retry=retry))

    def accept(self, bind_error=0):
        sm = self.router.accept(bind_error)
        if not bind_error:
            self.hub.until(lambda: len(sm.bound) == 2 or sm.eof, 'the binds')
            assert not sm.eof
        return sm

    def close(self):
        self.router.close()
        self.hub.close()
        assert self.process.stop() == 0, self.process.tail()


def router_hangs_up(world):
    """It accepts and closes at once, again and again: dialled at the configured pace, and found again when it is well."""
    bench = Dialling(world, 'hangs-up', (-1, -1))
    for _ in range(3):
        bench.hub.accept(bench.router.listener, 'a connection').close()
    bench.accept()
    bench.process.wait_line('ready for sessions')
    bench.close()


def router_errors_at_once(world):
    """A stream error right behind a good login: no storm of connections comes of it."""
    bench = Dialling(world, 'errors', (-1, -1))
    rounds = 3
    for _ in range(rounds):
        sm = bench.accept()
        sm.send("<stream:error xmlns:stream='%s'><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" % NS_STREAMS)
        bench.hub.until(lambda sm=sm: sm.eof, 'the end')
        bench.router.listener.settimeout(0.5)
        try:
            bench.router.listener.accept()
            raise AssertionError('it dialled again without a pause')
        except TimeoutError:
            pass
        bench.router.listener.settimeout(None)
    bench.accept()
    bench.close()


def name_taken_after_a_loss(world):
    """The lost link still has the name at the router: that passes."""
    bench = Dialling(world, 'taken', (3, 5))
    bench.accept().close()
    for _ in range(2):
        sm = bench.accept(bind_error=409)
        bench.hub.until(lambda sm=sm: sm.eof, 'its end')
        sm.close()
    bench.accept()
    bench.process.wait_line('ready for sessions', after=len(bench.process.lines) - 3)
    bench.close()


def name_taken_at_start(world):
    """Before the first login somebody else has it: that is said, and ends the program."""
    bench = Dialling(world, 'refused', (-1, -1))
    sm = bench.accept(bind_error=409)
    bench.hub.until(lambda: sm.eof, 'its end')
    assert bench.process.wait() == 1, bench.process.tail()
    assert any('a name of ours is taken' in l for l in bench.process.lines), bench.process.tail()
    bench.router.close()
    bench.hub.close()


def router_gone_without_a_word(world):
    """No FIN, ever: given up within limits.link-silence, and dialled again."""
    hub = Hub()
    router = FakeRouter(hub)
    router.listener.close()
    router.listener = socket.create_server(('127.0.0.4', 0))
    router.port = router.listener.getsockname()[1]
    path = world.sm_config([DOMAIN], name='lost', router=router.port, db=world.path('lost.db'), retry=(3, -1),
                           extra='<limits><link-silence>%d</link-silence></limits>' % SILENCE)
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(text.replace('<router><ip>127.0.0.1', '<router><ip>127.0.0.4'))
    process = world.shardsm(path)
    sm = router.accept()
    hub.until(lambda: len(sm.bound) == 2, 'the binds')
    subprocess.run(['ip', 'route', 'add', 'blackhole', '127.0.0.4/32', 'table', 'local'], check=True)
    try:
        process.wait_line('connection to router closed', seconds=6 * SILENCE)
    finally:
        subprocess.run(['ip', 'route', 'del', 'blackhole', '127.0.0.4/32', 'table', 'local'], check=True)
    sm.close()
    sm = router.accept()
    hub.until(lambda: len(sm.bound) == 2, 'the binds, again')
    router.close()
    hub.close()
    assert process.stop() == 0, process.tail()


LISTENING = (killed_in_mid_frame, frozen, two_copies, frozen_for_too_long, crowd, half_headers)
DIALLING = (router_hangs_up, router_errors_at_once, name_taken_after_a_loss, name_taken_at_start)


def main():
    need_shardsm()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    why_not = own_network()
    report = Report()
    if why_not:
        print('# not run: machines that vanish: ' + why_not)
    with World() as world:
        sites = []
        if not report.case('start', lambda: sites.append(Site(world, 'listening'))):
            return report.finish()
        for case in LISTENING + ((gone_without_a_word,) if not why_not else ()):
            if wanted in case.__name__:
                report.case(case.__name__.replace('_', ' '), case, sites[0])
        report.case('stop', sites[0].close)
        for case in DIALLING + ((router_gone_without_a_word, its_name_is_taken_over) if not why_not else ()):
            if wanted in case.__name__:
                report.case(case.__name__.replace('_', ' '), case, world)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
