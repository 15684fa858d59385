#!/usr/bin/python3
"""bad_input.py - hostile and broken peers, bad configs, signals: whatever happens, it stays with the one who did it.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True
import os
import select
import signal
import socket
import time

from component import HEADER, Component, FakeC2S, Hub, LegacyComponent, Link
from fake_router import FakeRouter
from servers import SECONDS, Report, World, free_port, need_shardsm
from xmltree import NS_COMPONENT, NS_SESSION, NS_STREAMS

DOMAIN = 'bad.test'


class Bench:
    """One server, and a good link on it that must keep working all the time."""

    def __init__(self, world):
        self.world = world
        self.process, port = world.listening_shardsm([DOMAIN], name='bad')
        self.address = ('127.0.0.1', port)
        self.hub = Hub()
        self.good = FakeC2S(self.hub, self.address, 'c2s-good').connect()
        for user in ('alice', 'bob'):
            self.good.create('%s@%s' % (user, DOMAIN))
        self.alice = self.good.start('alice@%s/a' % DOMAIN)
        self.bob = self.good.start('bob@%s/b' % DOMAIN)
        self.count = 0

    def still_well(self):
        """The good link works, and the server runs."""
        assert self.process.running(), 'the server died:\n' + self.process.tail()
        self.count += 1
        self.alice.send("<message to='bob@%s/b' id='w%d'><body>x</body></message>" % (DOMAIN, self.count))
        got = self.bob.next('a message over the good link')
        assert got.get('id') == 'w%d' % self.count, got

    def raw(self):
        return Link(self.hub, socket.create_connection(self.address))

    def component(self, name=None, **kw):
        link = Component(self.hub, self.address, **kw)
        if name:
            link.join(name)
        return link

    def closed(self, link, condition=None):
        """The link was closed by the server, after a stream error with that condition."""
        self.hub.until(lambda: link.eof, 'the link to be closed')
        errors = [e for e in link.elements if e.ns == NS_STREAMS and e.name == 'error']
        if condition is not None:
            assert errors, 'closed without a stream error'
            got = [e.name for e in errors[0].elements()]
            assert got[0] in condition.split('|'), 'stream error %s, expected %s' % (got, condition)
        link.close()


def unauthenticated(bench, data, condition):
    link = bench.raw()
    link.send(data)
    bench.closed(link, condition)
    bench.still_well()


def slow_header(bench):
    """One byte at a time is a header too."""
    link = bench.raw()
    for byte in HEADER % (NS_STREAMS, ''):
        link.send(byte)
        bench.hub.pump(0)
    link.header()
    assert link.next('features').name == 'features'
    link.close()
    bench.still_well()


def before_auth(bench):
    """Routes and binds before authentication do nothing."""
    link = bench.raw()
    link.send(HEADER % (NS_STREAMS, ''))
    link.header()
    link.send("<bind xmlns='%s' name='c2s-thief'/>" % NS_COMPONENT)
    link.send("<route xmlns='%s' to='%s' from='c2s-thief'><message xmlns='jabber:client' to='bob@%s/b'><body>x</body></message></route>"
              % (NS_COMPONENT, DOMAIN, DOMAIN))
    link.send("<presence xmlns='%s' from='c2s-good' type='unavailable'/>" % NS_COMPONENT)
    bench.still_well()
    assert not bench.bob.queue, bench.bob.queue[0]
    link.close()


def wrong_password(bench):
    link = bench.component(password='wrong')
    failure = link.authenticate()
    assert failure == 'not-authorized', failure
    link.close()
    link = bench.component(user='nobody')
    assert link.authenticate() == 'not-authorized'
    link.close()
    bench.still_well()


def wrong_secret(bench):
    bad = LegacyComponent(bench.hub, bench.address, 'jud.' + DOMAIN, 'wrong')
    assert not bad.handshake(), 'a wrong secret was accepted'
    bench.closed(bad, None)
    good = LegacyComponent(bench.hub, bench.address, 'jud.' + DOMAIN)
    assert good.handshake(), 'the right secret was refused'
    good.send("<message from='x@jud.%s' to='bob@%s/b' id='j1'><body>from a component</body></message>" % (DOMAIN, DOMAIN))
    assert bench.bob.next('a message from the component').get('id') == 'j1'
    bench.bob.send("<message to='y@jud.%s' id='j2'><body>to it</body></message>" % DOMAIN)
    got = good.next('a message for the component')
    if got.name == 'iq':  # every component that comes is asked what it is
        assert got.get('from') == 'bad' and got.find('query') is not None, got
        got = good.next('a message for the component')
    assert (got.ns, got.get('id')) == ('jabber:component:accept', 'j2'), got
    good.close()
    bench.still_well()


def twice(bench):
    """A name is bound once; it is free again when its link goes."""
    first = bench.component('twice.' + DOMAIN)
    second = bench.component()
    assert second.authenticate() is None
    error = second.bind('twice.' + DOMAIN)
    assert error == 409, 'bind of a taken name: %d' % error
    bench.good.online('twice.' + DOMAIN)
    first.close()
    bench.hub.until(lambda: bench.good.adverts['twice.' + DOMAIN] is False, 'the advertisement of its end')
    assert second.bind('twice.' + DOMAIN) == 0, 'the name is not free again'
    second.unbind('twice.' + DOMAIN)
    bench.hub.until(lambda: bench.good.adverts['twice.' + DOMAIN] is False, 'the advertisement of its end')
    second.close()
    bench.still_well()


def own_names(bench):
    """Nobody takes the sm's own name or its domains away."""
    link = bench.component()
    assert link.authenticate() is None
    for name in ('bad', DOMAIN):
        error = link.bind(name)
        assert error == 409, 'bind of %s: %d' % (name, error)
    assert link.bind('@@@') == 400, 'bind of what is no name'
    link.close()
    bench.still_well()


def route_errors(bench):
    """400: no to or from; 401: from is not bound on this link; 404: nobody serves to. None closes the link."""
    link = bench.component('routes.' + DOMAIN)
    message = "<message xmlns='jabber:client' to='bob@%s/b' from='x@routes.%s' id='r'><body>x</body></message>" % (DOMAIN, DOMAIN)
    for attributes, code in (("from='routes.%s'" % DOMAIN, '400'), ("to='%s'" % DOMAIN, '400'),
                             ("to='%s' from='c2s-good'" % DOMAIN, '401'),
                             ("to='nowhere.test' from='routes.%s'" % DOMAIN, '404')):
        link.send("<route xmlns='%s' %s>%s</route>" % (NS_COMPONENT, attributes, message))
        got = link.next_route('the route that came back')
        assert got.get('error') == code, '%s: error %s, expected %s' % (attributes, got.get('error'), code)
    assert not bench.bob.queue, 'a route with an error was delivered: %s' % bench.bob.queue
    link.send("<route xmlns='%s' to='%s' from='routes.%s'>%s</route>" % (NS_COMPONENT, DOMAIN, DOMAIN, message))
    assert bench.bob.next('the route that is right').get('id') == 'r'
    link.close()
    bench.still_well()


def stale_end(bench):
    """jabberd2's c2s ends a session that it does not know with no name in `to`. It takes a route with `error` for the client that is on
    that socket now, whoever that is, and closes it: there must be none, only a failed action, which it drops. A session that is there ends."""
    def end(cid, sm):
        link.send("<route xmlns='%s' to='' from='c2s-stale'><sc:session xmlns:sc='%s' action='end' sc:sm='%s' sc:c2s='%s'/></route>"
                  % (NS_COMPONENT, NS_SESSION, sm, cid))
        return link.next_route('the answer to end')
    link = bench.component('c2s-stale')
    link.send("<route xmlns='%s' to='%s' from='c2s-stale'><sc:session xmlns:sc='%s' action='start' target='bob@%s/stale' id='s' sc:c2s='7'/></route>"
              % (NS_COMPONENT, DOMAIN, NS_SESSION, DOMAIN))
    sm = link.next_route('the answer to start').elements()[0].session('sm')
    for how, want in (('a session', ('ended', None)), ('the same again', ('end', '1'))):
        got = end('7', sm)
        answer = got.elements()[0]
        assert got.get('error') is None and got.get('from') == 'bad', '%s: %s' % (how, got)
        assert (answer.get('action'), answer.session('failed')) == want, '%s: %s' % (how, got)
        assert (answer.session('c2s'), answer.session('sm')) == ('7', sm), '%s: %s' % (how, got)
    link.close()
    bench.still_well()


def component_route(name, payload):
    return "<route xmlns='%s' to='%s' from='%s'>%s</route>" % (NS_COMPONENT, DOMAIN, name, payload)


def authenticated(bench, data, condition):
    """An authenticated link that sends nonsense is closed with an error, and alone."""
    bench.count += 1
    name = 'nonsense%d.%s' % (bench.count, DOMAIN)
    link = bench.component(name)
    link.send(data(name) if callable(data) else data)
    bench.closed(link, condition)
    bench.hub.until(lambda: bench.good.adverts.get(name) is False, 'the advertisement of its end')
    assert not bench.bob.queue, 'something was delivered: %s' % bench.bob.queue[0]
    bench.still_well()


def bob_message(inner):
    """A message to bob by way of a component, with these bytes inside; a function of the component's name."""
    inner = inner.encode() if isinstance(inner, str) else inner
    head = "<message xmlns='jabber:client' to='bob@%s/b' from='x@%%s' id='n'>@</message>" % DOMAIN
    return lambda name: component_route(name, head % name).encode().replace(b'@</message>', inner + b'</message>')


NONSENSE = (
    ('unbalanced tags', bob_message('<body>x</subject>'), 'not-well-formed|xml-not-well-formed|bad-format'),
    ('a tag without its end', b'<route <x/>', 'not-well-formed|xml-not-well-formed|bad-format'),
    ('an attribute twice', bob_message("<body a='1' a='2'/>"), 'not-well-formed|xml-not-well-formed|bad-format'),
    ('an undeclared prefix', bob_message('<q:body/>'), 'not-well-formed|xml-not-well-formed|bad-format|bad-namespace-prefix'),
    ('an undeclared entity', bob_message('<body>&x;</body>'), 'not-well-formed|xml-not-well-formed|bad-format|restricted-xml'),
    ('a bare ampersand', bob_message('<body>a & b</body>'), 'not-well-formed|xml-not-well-formed|bad-format|restricted-xml'),
    ('a comment', bob_message('<!-- x -->'), 'restricted-xml'),
    ('a processing instruction', bob_message('<?x y?>'), 'restricted-xml'),
    ('a document type', b"<!DOCTYPE x [<!ENTITY a 'b'>]>", 'restricted-xml'),
    ('bytes that are no UTF-8', bob_message(b'<body>a\xff\xfe</body>'), 'not-well-formed|xml-not-well-formed|bad-format|unsupported-encoding'),
    ('overlong UTF-8', bob_message(b'<body>\xc0\xaf</body>'), 'not-well-formed|xml-not-well-formed|bad-format|unsupported-encoding'),
    ('a surrogate', bob_message(b'<body>\xed\xa0\x80</body>'), 'not-well-formed|xml-not-well-formed|bad-format|unsupported-encoding'),
    ('a control character', bob_message(b'<body>\x01</body>'), 'not-well-formed|xml-not-well-formed|bad-format'),
    ('a NUL', bob_message(b'<body>\x00</body>'), 'not-well-formed|xml-not-well-formed|bad-format'),
    ('a character reference to nothing', bob_message('<body>&#0;</body>'), 'not-well-formed|xml-not-well-formed|bad-format'),
    ('text between stanzas', b'hello', 'not-well-formed|xml-not-well-formed|bad-format'),
)

# Well-formed, but more than the limits allow. One client can make its c2s send that: it must not cost everybody else's link.
TOO_MUCH = (
    ('elements nested too deep', bob_message('<a>' * 2000 + '</a>' * 2000)),
    ('too many attributes', bob_message('<a %s/>' % ' '.join("a%d=''" % i for i in range(5000)))),
    ('too many elements', bob_message('<a/>' * 50000)),
    ('a stanza of 20 MB', bob_message('<body>' + 'x' * (20 << 20) + '</body>')),
)


def too_much(bench, data):
    """It is dropped, nothing is kept of it, and the link goes on with what comes next."""
    bench.count += 1
    name = 'much%d.%s' % (bench.count, DOMAIN)
    link = bench.component(name)
    before = resident(bench.process.pid)
    link.send(data(name))
    link.send(bob_message('<body>after</body>')(name))
    got = bench.bob.next('the message that follows')
    assert got.find('body') is not None and got.find('body').text() == 'after', 'delivered: %.300s' % got
    grown = resident(bench.process.pid) - before
    assert grown < 8 << 10 or sanitized(bench.process.pid), 'the server has grown by %d KB' % grown
    link.close()
    bench.still_well()


def resident(pid):
    """KB of memory."""
    with open('/proc/%d/status' % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))


def sanitized(pid):
    """A sanitizer keeps freed memory back: its growth says nothing."""
    with open('/proc/%d/maps' % pid) as f:
        return 'libasan' in f.read()


def closing_is_answered(bench):
    """</stream:stream> is answered in kind."""
    link = bench.component('closing.' + DOMAIN)
    link.send('</stream:stream>')
    bench.hub.until(lambda: link.eof, 'the end')
    assert link.reader.ended, 'the stream was not closed'
    link.close()
    bench.still_well()


def many_links(bench):
    """A hundred links that come and go leave no trace."""
    links = [bench.raw() for _ in range(100)]
    for link in links[::2]:
        link.send(HEADER % (NS_STREAMS, ''))
    for link in links[::2]:
        link.header()
    for link in links:
        link.close()
    bench.still_well()


def hup(bench):
    """SIGHUP: the log file is opened again, so that logrotate can move it away. Pipes in its place tell when it is written."""
    world, log = bench.world, bench.world.path('hup.log')
    before = pipe(log)
    process = world.shardsm(world.sm_config([DOMAIN], name='hup', listen=free_port(), logtype='file', db=world.path('hup.db')))
    read_until(before, b'listening for components')
    os.rename(log, log + '.1')
    after = pipe(log)
    process.kill(signal.SIGHUP)
    process.kill(signal.SIGTERM)   # the lower signal is taken first
    read_until(after, b'shutting down')
    assert process.wait() == 0
    os.close(before)
    os.close(after)


def pipe(path):
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def read_until(fd, text, seconds=SECONDS):
    """Reads a pipe until the text was in it."""
    deadline, seen = time.monotonic() + seconds, b''
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while text not in seen:
        ready = poll.poll(max(0, deadline - time.monotonic()) * 1000)
        assert ready, 'the log never held %s: %s' % (text, seen[-300:])
        seen += os.read(fd, 65536) if ready[0][1] & select.POLLIN else b''
        assert ready[0][1] & select.POLLIN, 'the log was closed without %s: %s' % (text, seen[-300:])


def stops(bench):
    """SIGTERM: sessions get `ended`, links are closed, the status is 0, within five seconds."""
    process, port = bench.world.listening_shardsm([DOMAIN], name='stops', db=bench.world.path('stops.db'))
    c2s = FakeC2S(bench.hub, ('127.0.0.1', port)).connect()
    c2s.create('alice@' + DOMAIN)
    sessions = [c2s.start('alice@%s/%d' % (DOMAIN, i)) for i in range(50)]
    for session in sessions[::2]:
        session.send('<presence/>')
    began = time.monotonic()
    process.kill(signal.SIGTERM)
    bench.hub.until(lambda: c2s.eof, 'the end of the link')
    ended = [s for s in sessions if s.ended == 'ended']
    assert len(ended) == 50, '%d of 50 sessions were told' % len(ended)
    assert c2s.broken is None, c2s.broken
    assert process.wait() == 0, 'exit status %d' % process.wait()
    assert time.monotonic() - began < 5, 'it took %.1f s' % (time.monotonic() - began)
    c2s.close()


# -- configs --------------------------------------------------------------------------------------------------------------

def fails(world, config, status, *texts, args=()):
    """The server does not start, and says why."""
    process = world.shardsm(config, *args)
    got = process.wait(30)
    said = '\n'.join(process.lines)
    assert got == status if status is not None else got != 0, 'exit status %d, expected %s:\n%s' % (got, status, process.tail())
    for text in texts:
        assert text in said, 'it does not say "%s":\n%s' % (text, process.tail())


def config_errors(world):
    good = open(world.sm_config([DOMAIN], name='cfg', listen=0)).read()
    line = good[:good.index('<workers>')].count('\n') + 1
    fails(world, world.write('c1.xml', good.replace('<workers>4<', '<workers>many<')), 2, 'c1.xml:%d' % line, 'many')
    fails(world, world.write('c2.xml', good.replace('</sm>', '')), 2, 'c2.xml')
    fails(world, world.write('c3.xml', good.replace('<driver>sqlite</driver>', '<driver>punchcards</driver>')), None, 'punchcards')
    fails(world, world.path('not-there.xml'), 2, 'not-there.xml')
    fails(world, world.write('c4.xml', good.replace('<route-parser>scan<', '<route-parser>guess<')), 2, 'guess', 'mxml')


def config_check(world):
    config = world.sm_config([DOMAIN], name='check', listen=free_port(), db=world.path('check.db'))
    for content in (None, b''):   # no file, an empty one: a start makes the database, a check does not
        if content is not None:
            open(world.path('check.db'), 'wb').close()
        process = world.shardsm(config, '--check')
        assert process.wait() == 0, process.tail()
        said = '\n'.join(process.lines)
        assert DOMAIN in said and 'a start makes it' in said, said
        there = [n for n in os.listdir(world.dir) if n.startswith('check.db')]
        assert there == ([] if content is None else ['check.db']), there
    assert os.path.getsize(world.path('check.db')) == 0
    fails(world, world.sm_config([DOMAIN], name='check2', listen=free_port(), db='/nowhere/at/all.db'), None, '/nowhere/at/all.db',
          args=['--check'])
    process = world.shardsm(config)
    world.port_of(process)
    process.stop()
    process = world.shardsm(config, '--check')
    assert process.wait() == 0 and 'jabberd2 schema, 0 users' in '\n'.join(process.lines), process.tail()


def port_in_use(world):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        fails(world, world.sm_config([DOMAIN], name='taken', listen=port, db=world.path('taken.db')), None, str(port), 'in use')


def no_database(world):
    fails(world, world.sm_config([DOMAIN], name='nodb', listen=free_port(), db='/nowhere/at/all.db'), None, '/nowhere/at/all.db')
    broken = world.write('broken.db', 'this is no database at all ' * 100)
    fails(world, world.sm_config([DOMAIN], name='nodb2', listen=free_port(), db=broken), None, 'broken.db')


def no_router(world):
    fails(world, world.sm_config([DOMAIN], name='lonely', router=free_port(), retry=(1, 1), db=world.path('lonely.db')), None)


def router_refuses(world):
    """A wrong password, or a bind that is refused: an exit status that is not 0."""
    for name, password, error in (('refused', 'wrong', 0), ('taken-name', 'secret', 409)):
        hub = Hub()
        router = FakeRouter(hub, 'secret')
        process = world.shardsm(world.sm_config([DOMAIN], name=name, router=router.port, password=password, retry=(0, 0),
                                                db=world.path(name + '.db')))
        sm = router.accept(error)
        hub.until(lambda sm=sm: sm.eof, 'the sm to give up')
        status = process.wait()
        router.close()
        assert status != 0, '%s: exit status 0:\n%s' % (name, process.tail())
        if error:
            process_said = '\n'.join(process.lines)
            assert '409' in process_said, process.tail()


def main():
    need_shardsm()
    report = Report()
    with World() as world:
        bench = Bench(world)
        case = report.case
        case('garbage instead of a header', unauthenticated, bench, b'GET / HTTP/1.1\r\n\r\n', None)
        case('binary instead of a header', unauthenticated, bench, bytes(range(256)) * 10, None)
        case('a header that never ends', unauthenticated, bench, b"<?xml version='1.0'?><stream:stream a='" + b'x' * (20 << 20), None)
        case('a stream of another namespace', unauthenticated, bench,
             b"<?xml version='1.0'?><stream:stream xmlns:stream='urn:other' version='1.0'><a/>", None)
        for function in (slow_header, before_auth, wrong_password, wrong_secret, twice, own_names, route_errors, stale_end,
                         closing_is_answered, many_links):
            case(function.__name__.replace('_', ' '), function, bench)
        for name, data, condition in NONSENSE:
            case(name, authenticated, bench, data, condition)
        for name, data in TOO_MUCH:
            case(name, too_much, bench, data)
        case('SIGHUP', hup, bench)
        case('SIGTERM', stops, bench)
        for function in (config_errors, config_check, port_in_use, no_database, no_router, router_refuses):
            case(function.__name__.replace('_', ' '), function, world)
        bench.hub.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
