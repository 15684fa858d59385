#!/usr/bin/env python3
"""links.py - links against the peers they meet: components that dial in, XEP-0114 components, a router that is dialled.

Runs io_host (links with shards that print what they get) and plays the other side. One function is one test.
"""
import fcntl
import hashlib
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.environ.get('srcdir', '.'), 'tests', 'io'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peer import NS_COMP, NS_SESS, NS_STREAMS, Closed, Peer, TIMEOUT  # noqa: E402

HOST = os.environ.get('IO_HOST', os.path.join('tests', 'io', 'io_host'))
ROUTE = "<route xmlns='%s' to='%%s' from='%%s'%%s>%%s</route>" % NS_COMP
MESSAGE = "<message xmlns='jabber:client' to='%s' from='%s'%s><body>hi</body></message>"


class Host:
    """An io_host; lines it prints are waited for with expect()."""

    def __init__(self, **options):
        self.process = subprocess.Popen([HOST] + ['%s=%s' % (k.replace('_', '-'), v) for k, v in options.items()],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines, self.all, self.cond = [], [], threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.port = int(self.expect('started').split()[1])

    def _read(self):
        for line in self.process.stdout:
            with self.cond:
                self.lines.append(line.decode(errors='replace').rstrip('\n'))
                self.all.append(self.lines[-1])
                self.cond.notify_all()
        with self.cond:
            self.lines.append(None)
            self.cond.notify_all()

    def expect(self, text, timeout=TIMEOUT):
        """The first line that holds text and was not asked for yet: shards and acceptors print in any order."""
        end = time.monotonic() + timeout
        with self.cond:
            while True:
                for i, line in enumerate(self.lines):
                    if line is None:
                        raise AssertionError('the host ended before %r; it said:\n%s' % (text, '\n'.join(self.all[-20:])))
                    if text in line:
                        return self.lines.pop(i)
                if time.monotonic() > end or not self.cond.wait(end - time.monotonic()):
                    raise AssertionError('no %r; the host said:\n%s' % (text, '\n'.join(self.all[-20:])))

    def packet(self):
        head, frame = self.expect('packet shard=')[7:].split(' frame=', 1)
        head, link = head.split(' link=')
        return dict(dict(f.split('=', 1) for f in head.split(' ')), link=link, frame=frame)

    def say(self, text):
        self.process.stdin.write((text + '\n').encode())
        self.process.stdin.flush()

    def stop(self):
        self.say('stop')
        assert self.process.wait(TIMEOUT) == 0, 'exit status %s\n%s' % (self.process.returncode, '\n'.join(self.all[-20:]))
        self.reader.join()

    def component(self, *names, **kw):
        p = Peer.dial(self.port)
        result = p.login(**kw)
        assert result == 'ok', result
        for name in names:
            assert p.bind(name) is None
        return p


def eq(got, want):
    assert got == want, 'got %r, not %r' % (got, want)


def nothing(peer):
    """Nothing is on the way to it: everything before an answer of ours has come."""
    for _ in range(2):   # on and off again: what waits comes behind the second answer at the latest
        peer.send("<throttle xmlns='%s'/>" % NS_COMP)
        e = peer.next()
        assert e.is_(NS_COMP, 'throttle'), e.raw


def skip_adverts(peer, n):
    return sorted(peer.advert() for _ in range(n))


# Components that dial us.

def test_login_bind_and_adverts():
    h = Host(listen=0)
    a = h.component('c2s')
    eq(skip_adverts(a, 3), ['+localhost', '+sm', '+vhost.example'])
    h.expect('here shard=0 name=c2s')
    b = h.component('s2s')
    eq(a.advert(), '+s2s')
    eq(skip_adverts(b, 4), ['+c2s', '+localhost', '+sm', '+vhost.example'])
    eq(b.bind('c2s'), '409')
    eq(b.bind('sm'), '409')
    eq(b.bind('localhost'), '409')
    eq(b.bind('a@b'), '400')
    eq(b.bind(''), '400')
    eq(b.unbind('nope'), '404')
    eq(b.bind('second'), None)
    nothing(b)
    eq(a.advert(), '+second')
    eq(b.unbind('second'), None)
    eq(a.advert(), '-second')
    h.expect('gone shard=0 name=second')
    b.close()
    eq(a.advert(), '-s2s')
    h.expect('gone shard=0 name=s2s')
    h.expect('gone shard=0 name= ')
    a.send('</stream:stream>')
    a.wait_closed()
    assert a.stream_ended
    h.expect('gone shard=0 name=c2s')
    h.stop()


def test_wrong_password():
    h = Host(listen=0)
    for kw in ({'password': 'wrong'}, {'user': 'wrong'}):
        p = Peer.dial(h.port)
        eq(p.login(**kw), 'urn:ietf:params:xml:ns:xmpp-sasl not-authorized')
        p.wait_closed()
        h.expect('wrong user or password')
    p = Peer.dial(h.port)
    p.send("<?xml version='1.0'?><stream:stream xmlns:stream='%s' version='1.0'>" % NS_STREAMS)
    p.wait_header()
    p.next()
    p.send("<bind xmlns='%s' name='c2s'/>" % NS_COMP)
    eq(p.next().child().name, 'urn:ietf:params:xml:ns:xmpp-streams not-authorized')
    p.wait_closed()
    h.stop()


def test_failed_logins_wait_for_their_answer():
    """Each longer than the one before; whoever logs in meanwhile does not, nor does garbage behind it bring the answer forward."""
    h = Host(listen=0, secret='hush')
    for _ in range(4):
        eq(Peer.dial(h.port).login(password='wrong'), 'urn:ietf:params:xml:ns:xmpp-sasl not-authorized')
    wrong = [Peer.dial(h.port) for _ in range(2)]
    for p in wrong:
        p.send("<stream:stream xmlns:stream='%s' xmlns='jabber:component:accept' to='ext.test'>" % NS_STREAMS)
        p.wait_header()
        p.send('<handshake>%s</handshake><<<' % ('0' * 40))
        h.expect('login failed (wrong secret)')
    good = h.component('c2s')
    eq(good.unbind('nope'), '404')
    for p in wrong:
        try:
            p.next(timeout=0)
            raise AssertionError('it was answered before one who logged in behind it')
        except TimeoutError:
            pass
    for p in wrong:
        eq(p.next().child().name, 'urn:ietf:params:xml:ns:xmpp-streams not-authorized')
        p.wait_closed()
    h.stop()


def test_strangers_are_bounded():
    h = Host(listen=0)
    p = Peer.dial(h.port)
    try:
        p.send(b'<?xml version="1.0"?>' + b' ' * 100000)
        p.send(b"<stream:stream xmlns:stream='" + b'x' * 100000)
        p.wait_closed()
    except (ConnectionResetError, BrokenPipeError):
        pass
    h.expect('closed: ')
    p = h.component('c2s')
    h.stop()


def test_who_does_not_log_in_is_closed():
    h = Host(listen=0, login_ms=50)
    p = Peer.dial(h.port)
    p.send("<?xml version='1.0'?><stream:stream xmlns:stream='%s' version='1.0'>" % NS_STREAMS)
    rest = p.wait_closed()
    eq(rest[-1].child().name, 'urn:ietf:params:xml:ns:xmpp-streams connection-timeout')
    h.stop()


def test_out_of_descriptors():
    h = Host(listen=0, files=24)
    a = h.component('a.x')
    crowd = [socket.create_connection(('127.0.0.1', h.port), TIMEOUT) for _ in range(40)]
    h.expect('raise the limit of open files')
    skip_adverts(a, 3)
    for _ in range(50):
        nothing(a)
    said = sum('cannot accept' in line for line in h.all)
    for s in crowd:
        s.close()
    b = h.component('b.x')  # waits until it is accepted
    assert said <= 2, 'the acceptor spins'
    eq(a.advert(), '+b.x')
    eq(b.bind('c.x'), None)
    h.stop()


def test_routes_between_components():
    h = Host(listen=0)
    a, b = h.component('a.x'), h.component('b.x')
    skip_adverts(a, 4), skip_adverts(b, 4)
    good = ROUTE % ('b.x', 'a.x', '', MESSAGE % ('u@b.x', 'v@a.x', ''))
    a.send(good)
    eq(b.next().raw.decode(), good)
    a.send(ROUTE % ('b.x', 'zz', '', MESSAGE % ('u@b.x', 'x@zz', '')))
    e = a.next()
    eq((e.get('error'), e.get('to'), e.get('from')), ('401', 'b.x', 'zz'))
    a.send(ROUTE % ('nobody', 'a.x', '', MESSAGE % ('u@nobody', 'v@a.x', " a='>\"'")))
    e = a.next()
    eq((e.get('error'), e.get('to'), e.get('from'), e.child().get('a')), ('404', 'nobody', 'a.x', '>"'))
    a.send(ROUTE % ('nobody', 'a.x', " error='500'", MESSAGE % ('u@nobody', 'v@a.x', '')))
    a.send(ROUTE % ('@@@', 'a.x', '', MESSAGE % ('u@nobody', 'v@a.x', '')))
    eq(a.next().get('error'), '400')
    a.send("<route xmlns='%s' to='b.x'><message xmlns='jabber:client'/></route>" % NS_COMP)
    eq(a.next().get('error'), '400')
    a.send(ROUTE % ('b.x', 'a.x', " type='whatever'", MESSAGE % ('u@b.x', 'v@a.x', '')))
    nothing(a)
    nothing(b)
    everyone = ROUTE % ('', 'a.x', " type='broadcast'", MESSAGE % ('u@b.x', 'v@a.x', ''))
    a.send(everyone)
    eq(b.next().raw.decode(), everyone)
    nothing(a)
    d = h.component()
    eq(d.bind('d.x', inner='<default/>'), None)
    a.advert(), b.advert(), skip_adverts(d, 5)
    eq(b.bind('e.x', inner='<default/>'), '409')
    a.send(ROUTE % ('nobody', 'a.x', '', MESSAGE % ('u@nobody', 'v@a.x', '')))
    eq(d.next().get('to'), 'nobody')
    d.send(ROUTE % ('nobody', 'd.x', '', MESSAGE % ('u@nobody', 'v@far', '')))
    eq(d.next().get('error'), '404')
    d.send(ROUTE % ('nobody', 'd.x', '', MESSAGE % ('u@nobody', 'v@a.x', '')))
    eq(d.next().get('error'), '401')
    log = h.component()
    eq(log.bind('log.x', inner='<log/>'), None)
    skip_adverts(log, 6), a.advert(), b.advert(), d.advert()
    a.send(good)
    e = log.next()
    eq((e.get('type'), e.get('to'), e.get('from')), ('log', 'b.x', 'a.x'))
    a.send(ROUTE % ('sm', 'a.x', '', MESSAGE % ('u@localhost', 'v@a.x', '')))
    eq(log.next().get('to'), 'sm')
    h.stop()


def test_multi_binders():
    h = Host(listen=0)
    a, b, c = h.component(), h.component(), h.component('c.x')
    eq((a.bind('m.x', multi=True), b.bind('m.x', multi=True), c.bind('m.x')), (None, None, '409'))
    skip_adverts(a, 5), skip_adverts(b, 5), skip_adverts(c, 5)
    want = {0: [], 1: []}
    for i in range(30):
        jid = 'u%d@m.x' % i
        words = [int.from_bytes(hashlib.sha1(jid.encode()).digest()[j:j + 4], 'little') for j in range(0, 20, 4)]
        want[((words[1] ^ words[2] ^ words[3]) >> 2) % 2].append(jid + '/r')
        c.send(ROUTE % ('m.x', 'c.x', '', MESSAGE % (jid + '/r', 'c.x', '')))
    for i, p in enumerate((a, b)):
        eq([p.next().child().get('to') for _ in want[i]], want[i])
    b.close()
    h.expect('gone shard=0 name=m.x')
    c.send(ROUTE % ('m.x', 'c.x', '', MESSAGE % (want[1][0], 'c.x', '')))
    eq(a.next().child().get('to'), want[1][0])
    nothing(c)
    a.close()
    eq(c.advert(), '-m.x')
    h.stop()


def test_packets_reach_shards():
    h = Host(listen=0, shards=4)
    a = h.component('c2s')
    skip_adverts(a, 3)
    start = "<sc:session xmlns:sc='%s' sc:c2s='1' action='%s' target='%s' id='x'/>"
    shards = set()
    for target in ('Bob@LOCALHOST/b', 'bob@localhost'):
        for action in ('start', 'create', 'delete'):
            a.send(ROUTE % ('localhost', 'c2s', '', start % (NS_SESS, action, target)))
            p = h.packet()
            eq(p['to'].split('/')[0], 'bob@localhost')
            shards.add(p['shard'])
    a.send(ROUTE % ('localhost', 'c2s', '', MESSAGE % ('bob@localhost', 'x@c2s', '')))
    p = h.packet()
    eq((p['to'], p['from'], p['flags']), ('bob@localhost', 'x@c2s', '0'))
    shards.add(p['shard'])
    # A bounce goes back to who sent it; so does what is for the domain.
    back = ROUTE % ('sm', 'c2s', " error='404'", MESSAGE)
    a.send(back % ('alice@c2s', 'bob@localhost/b', ''))
    p = h.packet()
    eq((p['flags'], p['error']), ('1', '404'))
    shards.add(p['shard'])
    eq(len(shards), 1)
    for user in 'uvwxyz':
        a.send(back % ('alice@c2s', user + '@c2s', ''))
        a.send(ROUTE % ('vhost.example', 'c2s', '', MESSAGE % ('vhost.example', user + '@c2s/r', '')))
        eq(h.packet()['shard'], h.packet()['shard'])
    a.send(ROUTE % ('localhost', 'c2s', '', start % (NS_SESS, 'start', '@@@')))
    p = h.packet()
    eq((p['to'], p['shard']), ('-', '0'))
    # A session's shard is in its id.
    for tag in ('00000000', '7fffffff', 'ffffffff'):
        a.send(ROUTE % ('sm', 'c2s', '', "<presence xmlns='jabber:client' xmlns:sc='%s' sc:c2s='1' sc:sm='%s'/>" %
                        (NS_SESS, tag + '0' * 32)))
        eq(h.packet()['shard'], {'0': '0', '7': '1', 'f': '3'}[tag[0]])
    a.send(ROUTE % ('sm', 'c2s', '', "<presence xmlns='jabber:client' xmlns:sc='%s' sc:c2s='1' sc:sm='zz'/>" % NS_SESS))
    eq(h.packet()['shard'], '0')
    a.send(ROUTE % ('sm', 'c2s', '', ''))
    # Odd prefixes are read by mini-XML, with the same result.
    a.send("<r:route xmlns:r='%s' to='sm' from='c2s'><m:message xmlns:m='jabber:client' to='b&#111;b@localhost' from='x@c2s'/>"
           "</r:route>" % NS_COMP)
    p = h.packet()
    eq((p['to'], p['payload']), ('bob@localhost', '1'))
    h.stop()


def test_every_envelope_by_mxml():
    h = Host(listen=0, mxml=1)
    a = h.component('c2s')
    a.send(ROUTE % ('localhost', 'c2s', '', MESSAGE % ('bob@localhost', 'x@c2s', '')))
    eq(h.packet()['to'], 'bob@localhost')
    h.stop()


def test_answers_leave_in_order():
    h = Host(listen=0)
    a = h.component('c2s')
    skip_adverts(a, 3)
    for i in range(100):
        h.say("send c2s <route xmlns='%s' to='c2s' from='sm' n='%d'/>" % (NS_COMP, i))
    eq([int(a.next().get('n')) for _ in range(100)], list(range(100)))
    h.stop()


def test_bad_xml_closes_this_link_alone():
    h = Host(listen=0)
    a, b = h.component('a.x'), h.component('b.x')
    skip_adverts(a, 4), skip_adverts(b, 4)
    b.send(ROUTE % ('localhost', 'b.x', '', '<message></mess>'))
    e = b.next()
    assert e.is_(NS_STREAMS, 'error') and 'well-formed' in e.child().name, e.raw
    b.wait_closed()
    assert b.stream_ended
    eq(a.advert(), '-b.x')
    h.expect('closed: ')
    nothing(a)
    h.stop()


def test_too_large_a_stanza_is_answered():
    h = Host(listen=0, frame_bytes=20000)
    a = h.component('c2s')
    skip_adverts(a, 3)
    a.send(ROUTE % ('localhost', 'c2s', '', "<message xmlns='jabber:client' id='7' to='bob@localhost' from='x@c2s'><body>" + 'x' * 50000 +
                    '</body></message>'))
    e = a.next()
    eq((e.get('to'), e.child().get('type'), e.child().get('id'), e.child().get('to')), ('c2s', 'error', '7', 'x@c2s'))
    assert 'policy-violation' in e.raw.decode()
    nothing(a)
    h.stop()


def test_a_full_shard_stops_its_links_only():
    h = Host(listen=0, shards=2, shard_bytes=200000)
    a, b = h.component('a.x'), h.component('b.x')
    skip_adverts(a, 4), skip_adverts(b, 4)
    h.say('hold')
    stanza = (ROUTE % ('sm', 'a.x', '', "<message xmlns='jabber:client' xmlns:sc='%s' sc:c2s='1' sc:sm='%s' id='%%06d'>%s</message>" % (
        NS_SESS, '0' * 40, 'x' * 900)))
    sent, a_blocked = 0, False
    a.sock.settimeout(0.2)
    try:
        while sent < 40000:
            a.sock.sendall((stanza % sent).encode())
            sent += 1
    except socket.timeout:
        a_blocked = True
    assert a_blocked, 'the host read %d stanzas into a shard that takes none' % sent
    # b talks to others meanwhile.
    b.send(ROUTE % ('a.x', 'nobody', '', MESSAGE % ('u@b.x', 'v@a.x', '')))
    eq(b.next().get('error'), '401')
    h.say('release')
    seen = [h.packet() for _ in range(sent)]
    eq([int(p['frame'].split("id='")[1][:6]) for p in seen], list(range(sent)))
    h.stop()


def unsent(sock):
    """Bytes that were sent and not yet taken by the other end's kernel."""
    return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


class Flooder:
    """Stanzas of one link, as fast as the kernel takes them."""

    def __init__(self, peer, letter, count):
        self.sock, self.count, self.seen = peer.sock, count, []
        self.left = memoryview(''.join(FLOOD % (letter, i) for i in range(count)).encode())
        self.sock.setblocking(False)

    def waits(self):
        """Is there more in the kernel than its reader has room for? Or everything is sent."""
        while self.left:
            try:
                self.left = self.left[self.sock.send(self.left):]
            except BlockingIOError:
                break
        return not self.left or unsent(self.sock) > 0


FLOOD = ROUTE % ('sm', '%s.x', '', "<message xmlns='jabber:client' id='%d'>" + 'x' * 900 + '</message>')


def test_links_that_flood_take_turns():
    """Each goes on in its turn, whoever was held first; and one that does not flood is not behind them."""
    h = Host(listen=0, shards=1)
    floods = {c: Flooder(h.component('%s.x' % c), c, 6000) for c in 'abc'}
    calm = h.component('d.x')
    h.say('hold')
    seen, stepped, alone, worst = 0, 0, None, 0   # worst: one's lead over another while none is through
    while any(len(f.seen) < f.count for f in floods.values()):
        end = time.monotonic() + TIMEOUT
        while not all([f.waits() for f in floods.values()]):
            assert time.monotonic() < end, 'the host read everything into a shard that takes nothing'
            select.select([], [f.sock for f in floods.values() if f.left], [], 0.01)
        if not stepped:
            calm.send(FLOOD % ('d', 0))
            calm.send("<throttle xmlns='%s'/>" % NS_COMP)
            calm.answer('throttle')
        h.say('step')
        stepped += 1
        while (line := h.expect('')) != 'stepped':
            if not line.startswith('packet '):
                continue
            letter, ident = line.split("from='")[1][0], int(line.split("id='")[1].split("'")[0])
            if letter == 'd':
                alone = seen
            else:
                floods[letter].seen.append(ident)
            seen += 1
            if all(len(f.seen) < f.count for f in floods.values()):
                lengths = [len(f.seen) for f in floods.values()]
                worst = max(worst, max(lengths) - min(lengths))
    for flood in floods.values():
        eq(flood.seen, list(range(flood.count)))
    print('# %d steps: %d before it, %d ahead' % (stepped, alone, worst))
    assert alone < 1500, 'one that does not flood came behind %d stanzas of those who do' % alone
    assert worst < 3000, 'one was %d stanzas ahead of another' % worst
    h.say('release')
    h.stop()


def test_who_does_not_read_is_closed():
    h = Host(listen=0, link_bytes=300000)
    a, b = h.component('a.x'), h.component('b.x')
    skip_adverts(a, 4), skip_adverts(b, 4)
    big = ROUTE % ('a.x', 'sm', '', "<message xmlns='jabber:client'>" + 'x' * 60000 + '</message>')
    for _ in range(400):
        h.say('send a.x ' + big)
        if any('does not read' in line for line in list(h.all)):
            break
    h.expect('does not read')
    e = b.next()
    eq((e.get('from'), e.get('type')), ('a.x', 'unavailable'))
    h.stop()


def test_who_asks_for_silence_is_sent_nothing():
    """Until it asks again, and then everything, in order; others go on, and what waits has the limit of a link that does not read."""
    throttle = "<throttle xmlns='%s'/>" % NS_COMP
    h = Host(listen=0, link_bytes=300000)
    a, b, c = h.component('a.x'), h.component('b.x'), h.component('c.x')
    for p, n in ((a, 5), (b, 5), (c, 5)):
        skip_adverts(p, n)
    a.send(throttle)
    assert a.next().is_(NS_COMP, 'throttle')
    sent = [ROUTE % ('a.x', 'b.x', '', MESSAGE % ('u@a.x', 'v@b.x', " id='%d'" % i)) for i in range(3)]
    for route in sent:
        b.send(route)
    for _ in range(2):   # the second one comes in a later burst: whatever was to go to a has gone
        other = ROUTE % ('c.x', 'b.x', '', MESSAGE % ('u@c.x', 'v@b.x', ''))
        b.send(other)
        eq(c.next().raw.decode(), other)
    eq(select.select([a.sock], [], [], 0)[0], [])
    mine = ROUTE % ('c.x', 'a.x', '', MESSAGE % ('u@c.x', 'v@a.x', ''))
    a.send(mine)
    eq(c.next().raw.decode(), mine)
    a.send(throttle)
    eq([a.next().raw.decode() for _ in sent], sent)
    assert a.next().is_(NS_COMP, 'throttle')
    b.send(sent[0])
    eq(a.next().raw.decode(), sent[0])
    a.send(throttle)
    assert a.next().is_(NS_COMP, 'throttle')
    for _ in range(20):
        b.send(ROUTE % ('a.x', 'b.x', '', "<message xmlns='jabber:client'>" + 'x' * 60000 + '</message>'))
    h.expect('does not read')
    a.wait_closed()
    h.stop()


def test_several_acceptors():
    h = Host(listen=0, acceptors=3)
    peers = [h.component('c%d.x' % i) for i in range(6)]
    for i, p in enumerate(peers):
        p.send(ROUTE % ('c%d.x' % ((i + 1) % 6), 'c%d.x' % i, '', MESSAGE % ('u@x', 'v@c%d.x' % i, '')))
    for i, p in enumerate(peers):
        eq(p.answer('route').get('from'), 'c%d.x' % ((i + 5) % 6))
    for p in peers[1:]:
        p.close()
    gone = set()
    while len(gone) < 5:
        a = peers[0].advert()
        if a[0] == '-':
            gone.add(a)
    h.stop()


def test_links_go_where_there_are_fewest():
    """The dialled router's counts; what has gone makes room."""
    def places():
        h.say('places')
        return h.expect('places')
    r = Router()
    h = Host(router=r.port, listen=0, acceptors=3, lost=0)
    router = r.accept()
    h.expect('sm ready for sessions')
    eq(places(), 'places 1 0 0')
    h.component('a.x'), h.component('b.x')
    eq(places(), 'places 1 1 1')
    c = h.component('c.x')
    d = h.component('d.x')
    assert sorted(places().split()[1:]) == ['1', '2', '2'], places()
    c.close(), d.close()
    end = time.monotonic() + TIMEOUT
    while places() != 'places 1 1 1':
        assert time.monotonic() < end, places()
    h.component('e.x'), h.component('f.x'), h.component('g.x')
    eq(places(), 'places 2 2 2')
    h.say('stop')
    router.wait_closed()
    eq(h.process.wait(TIMEOUT), 0)


def test_quiesce_and_stop():
    h = Host(listen=0)
    a = h.component('c2s')
    skip_adverts(a, 3)
    h.say('quiesce')
    h.expect('quiesced')
    a.send(ROUTE % ('localhost', 'c2s', '', MESSAGE % ('bob@localhost', 'x@c2s', '')))
    h.say("send c2s <route xmlns='%s' to='c2s' from='sm'/>" % NS_COMP)
    assert a.next().is_(NS_COMP, 'route'), 'writing goes on'
    h.say('stop')
    a.wait_closed()
    assert a.stream_ended, 'the stream was not ended'
    eq(h.process.wait(TIMEOUT), 0)
    assert not any('packet shard' in line for line in h.all if line), 'read after the quiescence'


def test_port_in_use():
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen()
    p = subprocess.run([HOST, 'listen=%d' % s.getsockname()[1]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT)
    eq(p.returncode, 1)
    assert b'Address already in use' in p.stdout and b'another <port>' in p.stdout, p.stdout
    s.close()


# XEP-0114.

def accept(h, name, secret='hush'):
    p = Peer.dial(h.port)
    p.send("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='%s' to='%s'>" % (NS_STREAMS, name))
    header = p.wait_header()
    eq(header.get('from'), name)
    p.send('<handshake>%s</handshake>' % hashlib.sha1((header.get('id') + secret).encode()).hexdigest())
    return p


def test_external_component():
    h = Host(listen=0, secret='hush')
    c2s = h.component('c2s')
    skip_adverts(c2s, 3)
    muc = accept(h, 'muc.x')
    assert muc.next().is_('jabber:component:accept', 'handshake')
    eq(c2s.advert(), '+muc.x')
    h.expect('here shard=0 name=muc.x')
    muc.send("<message to='bob@localhost' from='room@muc.x/nick' id='1'><body>hi</body></message>")
    p = h.packet()
    eq((p['to'], p['from'], p['payload']), ('bob@localhost', 'room@muc.x/nick', '1'))
    c2s.send(ROUTE % ('muc.x', 'c2s', '', "<iq xmlns='jabber:client' to='room@muc.x' from='u@c2s' type='get' id='2'><q xmlns='urn:q'/></iq>"))
    e = muc.next()
    eq(e.raw.decode(), "<iq to='room@muc.x' from='u@c2s' type='get' id='2'><q xmlns='urn:q'/></iq>")
    assert e.is_('jabber:component:accept', 'iq')
    muc.send("<iq to='u@c2s' from='room@muc.x' type='result' id='2'/>")
    e = c2s.next()
    eq((e.get('to'), e.get('from')), ('c2s', 'muc.x'))
    assert e.child().is_('jabber:client', 'iq') and e.child().get('id') == '2'
    log = h.component()
    eq(log.bind('log.x', inner='<log/>'), None)
    skip_adverts(log, 5)
    other = accept(h, 'other.x')
    other.next()
    eq(log.advert(), '+other.x')
    other.send("<presence to='room@muc.x/n' from='x@other.x'><show>away</show></presence>")
    e = muc.next()
    assert e.is_('jabber:component:accept', 'presence') and e.child().text == 'away'
    e = log.next()
    eq((e.get('type'), e.get('to'), e.get('from')), ('log', 'muc.x', 'other.x'))
    assert e.child().is_('jabber:client', 'presence') and e.child().child().is_('jabber:client', 'show')
    muc.send("<iq to='u@nobody' from='room@muc.x' type='get' id='3'><q xmlns='urn:q'/></iq>")
    e = muc.next()
    eq((e.get('type'), e.get('from'), e.get('to'), e.get('id')), ('error', 'u@nobody', 'room@muc.x', '3'))
    muc.send("<iq to='u@nobody' from='room@muc.x' type='result' id='4'/>")
    muc.send("<bind xmlns='%s' name='evil'/>" % NS_COMP)
    muc.send("<message to='bob@localhost' from='room@other.x'/>")
    e = muc.next()
    assert e.is_(NS_STREAMS, 'error') and 'invalid-from' in e.child().name, e.raw
    muc.wait_closed()
    h.expect('gone shard=0 name=muc.x')
    third = accept(h, 'other.x')
    assert third.next().is_(NS_STREAMS, 'error')
    h.stop()


def test_external_component_refused():
    h = Host(listen=0, secret='hush')
    p = accept(h, 'muc.x', 'wrong')
    assert 'not-authorized' in p.next().raw.decode()
    p.wait_closed()
    h.expect('<secret>')
    h.stop()
    h = Host(listen=0)
    p = accept(h, 'muc.x', '')
    assert 'not-authorized' in p.next().raw.decode()
    p.wait_closed()
    h.stop()


# The router that we dial.

class Router:
    def __init__(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(('127.0.0.1', 0))
        self.sock.listen()
        self.sock.settimeout(TIMEOUT)
        self.port = self.sock.getsockname()[1]

    def accept(self, binds=3, errors=None):
        p = Peer(self.sock.accept()[0])
        assert p.accept_login(), 'the host gave a wrong password'
        p.bound = []
        for _ in range(binds):
            b = p.answer('bind')
            p.bound.append((b.get('name'), b.get('multi')))
            error = (errors or {}).get(b.get('name'))
            p.send("<bind xmlns='%s'%s/>" % (NS_COMP, " error='%d'" % error if error else ''))
            if error:
                break
        return p


def test_dials_and_binds():
    r = Router()
    h = Host(router=r.port)
    h.expect('attempting connection to router at 127.0.0.1, port=%d' % r.port)
    p = r.accept()
    eq(p.bound, [('sm', None), ('localhost', 'to'), ('vhost.example', 'to')])
    h.expect('connection to router established')
    h.expect('sm ready for sessions')
    h.expect('ready')
    p.send("<presence xmlns='%s' from='c2s'/>" % NS_COMP)
    h.expect('here shard=0 name=c2s')
    p.send(ROUTE % ('sm', 'c2s', '', MESSAGE % ('bob@localhost', 'x@c2s', '')))
    eq(h.packet()['to'], 'bob@localhost')
    p.send(ROUTE % ('elsewhere', 'sm', " error='404'", MESSAGE % ('u@elsewhere', 'bob@localhost/r', '')))
    eq(h.packet()['error'], '404')
    p.send("<presence xmlns='%s' from='c2s' type='unavailable'/>" % NS_COMP)
    h.expect('gone shard=0 name=c2s')
    h.say("send router <route xmlns='%s' to='c2s' from='sm'/>" % NS_COMP)
    eq(p.next().get('to'), 'c2s')
    p.close()
    h.expect('gone shard=0 name= ')
    h.expect('connection to router closed')
    h.expect('attempting reconnect (3 left)')
    p = r.accept()
    h.expect('ready for sessions')
    p.send("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
    h.expect('error from router: stream error (system-shutdown)')
    p = r.accept()
    h.expect('ready for sessions')
    eq(sum('attempting reconnect' in line for line in h.all), 2)
    h.say('stop')
    p.wait_closed()
    assert p.stream_ended
    eq(h.process.wait(TIMEOUT), 0)


def test_router_refuses_a_name():
    for name in ('sm', 'vhost.example'):
        r = Router()
        h = Host(router=r.port)
        r.accept(errors={name: 409})
        h.expect('router refused bind request (409)')
        h.expect('gave-up')
        h.stop()


def test_no_router():
    r = Router()
    port = r.port
    r.sock.close()
    h = Host(router=port, init=1, sleep=1)
    h.expect('Connection refused')
    h.expect('attempting reconnect (1 left)')
    h.expect('gave up on the router')
    h.expect('gave-up')
    h.stop()


def test_wrong_password_at_the_router():
    r = Router()
    h = Host(router=r.port, init=0, **{'pass': 'wrong'})
    p = Peer(r.sock.accept()[0])
    assert not p.accept_login()
    h.expect('router refused the login')
    h.expect('gave-up')
    h.stop()


def test_router_that_does_not_know_the_password():
    r = Router()
    h = Host(router=r.port, init=0)
    p = Peer(r.sock.accept()[0])
    import peer
    good = peer.digest
    try:
        peer.digest = lambda f, password, verb: good(f, password, verb) if verb else '0' * 32
        p.accept_login()
    except (Closed, ConnectionError):
        pass
    finally:
        peer.digest = good
    h.expect('did not prove that it knows the password')
    h.expect('gave-up')
    h.stop()


def main():
    tests = [(n, f) for n, f in sorted(globals().items()) if n.startswith('test_') and (len(sys.argv) < 2 or n in sys.argv[1:])]
    failed = 0
    for name, test in tests:
        began = time.monotonic()
        try:
            test()
            print('ok   %-45s %.2f s' % (name, time.monotonic() - began), flush=True)
        except Exception as e:  # every failure is told, then the next test runs
            import traceback
            traceback.print_exc()
            print('FAIL %s: %r' % (name, e), flush=True)
            failed += 1
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
