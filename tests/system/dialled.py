#!/usr/bin/python3
"""dialled.py - shardsm dials a router: what it says there, what it makes of routing errors, and of losing the router.
Threads: one, and a log reader for each server.
Owns: the servers that it starts; the router is a fake one, so that every byte of it can be chosen.
"""
import sys
sys.dont_write_bytecode = True

from component import Hub, with_session
from fake_router import FakeRouter
from servers import Report, World, need_shardsm
from xmltree import NS_CLIENT, NS_SESSION, NS_STANZAS

DOMAINS = ('one.test', 'two.test')


class Bench:
    """One sm and its router; a c2s is played by hand, as routes."""

    def __init__(self, world, name, **kw):
        self.world, self.hub = world, Hub()
        self.router = FakeRouter(self.hub)
        self.process = world.shardsm(world.sm_config(DOMAINS, name=name, router=self.router.port, db=world.path(name + '.db'), **kw))
        self.name = name
        self.accept()

    def accept(self):
        self.sm = self.router.accept()
        self.hub.until(lambda: len(self.sm.bound) == 1 + len(DOMAINS) or self.sm.eof, 'the binds')
        self.sm.advertise('c2s')

    def close(self):
        self.router.close()
        self.hub.close()

    def next(self, what):
        """The next route that is no service query to a component, and what is in it."""
        while True:
            route = self.sm.next_route(what)
            payload = route.elements()[0]
            if not (payload.name == 'iq' and payload.session('c2s') is None and payload.get('from') == self.name):
                return route, payload

    def create(self, jid):
        self.sm.route(jid.partition('@')[2], 'c2s', "<sc:session xmlns:sc='%s' sc:c2s='1' action='create' target='%s' id='c'/>" % (
            NS_SESSION, jid))
        assert self.next('created')[1].get('action') == 'created'

    def start(self, jid, cid):
        """The session's sm id."""
        self.sm.route(jid.partition('@')[2].partition('/')[0], 'c2s',
                      "<sc:session xmlns:sc='%s' sc:c2s='%s' action='start' target='%s' id='s'/>" % (NS_SESSION, cid, jid))
        route, payload = self.next('started')
        assert (payload.get('action'), route.get('from')) == ('started', self.name), payload
        return payload.session('sm')

    def say(self, cid, sid, stanza):
        self.sm.route(self.name, 'c2s', with_session(stanza, cid, sid))

    def bounce(self, route, code):
        """What a router does with what it cannot deliver: back as it was, with an error."""
        payload = route.elements()[0]
        self.sm.send("<route xmlns='%s' to='%s' from='%s' error='%d'>%s</route>" % (
            route.ns, route.get('to'), route.get('from'), code, payload.to_xml(route.ns)))


def binds(bench):
    assert bench.sm.user == 'jabberd', bench.sm.user
    assert bench.sm.bound == [bench.name, *DOMAINS], bench.sm.bound


def sessions(bench):
    """Both domains are served; a message from one to the other stays inside."""
    bench.create('alice@one.test')
    bench.create('bob@two.test')
    bench.alice = bench.start('alice@one.test/a', '7')
    bench.bob = bench.start('bob@two.test/b', '8')
    bench.say('7', bench.alice, "<message to='bob@two.test/b' id='m1'><body>x</body></message>")
    route, message = bench.next('a message')
    assert (route.get('to'), route.get('from')) == ('c2s', 'two.test'), route
    assert (message.session('c2s'), message.session('sm'), message.get('from')) == ('8', bench.bob, 'alice@one.test/a'), message


def detour(bench):
    """With <local-delivery>router</local-delivery> it goes out to the domain first, without a trace of the session."""
    bench.create('alice@one.test')
    bench.create('bob@two.test')
    alice, bob = bench.start('alice@one.test/a', '7'), bench.start('bob@two.test/b', '8')
    bench.say('7', alice, "<message to='bob@two.test/b' id='m1'><body>x</body></message>")
    route, message = bench.next('the message on its detour')
    assert (route.get('to'), route.get('from')) == ('two.test', bench.name), route
    assert message.session('c2s') is None and message.session('sm') is None, message
    assert message.get('from') == 'alice@one.test/a', message
    bench.sm.route('two.test', bench.name, message.to_xml(''))
    route, message = bench.next('the message for its session')
    assert (route.get('to'), message.session('sm')) == ('c2s', bob), route


def far(bench):
    """Another domain is the router's affair; what comes back undelivered is told to the sender, once."""
    bench.say('7', bench.alice, "<message to='x@far.test' id='f1'><body>x</body></message>")
    route, message = bench.next('a message for another domain')
    assert (route.get('to'), route.get('from'), message.get('from')) == ('far.test', bench.name, 'alice@one.test/a'), route
    assert message.session('sm') is None, message
    bench.bounce(route, 404)
    route, error = bench.next('the error')
    assert (error.get('type'), error.get('from'), error.get('id')) == ('error', 'x@far.test', 'f1'), error
    condition = error.find('error').elements()[0]
    assert condition.ns == NS_STANZAS and condition.name in ('item-not-found', 'remote-server-not-found'), error
    assert error.session('sm') == bench.alice, error
    for stanza in ("<message to='x@far.test' type='error' id='f2'/>", "<presence to='x@far.test' id='f3'/>",
                   "<iq to='x@far.test' type='result' id='f4'/>"):
        bench.say('7', bench.alice, stanza)
        bench.bounce(next_far(bench), 404)
    bench.say('7', bench.alice, "<iq to='x@far.test' type='get' id='f5'><x xmlns='urn:x'/></iq>")
    bench.bounce(next_far(bench), 502)
    while True:   # presence may bounce to the client as an error; what is an error or a result may not
        _, error = bench.next('the error of the request')
        if error.name != 'presence':
            break
    assert (error.name, error.get('id')) == ('iq', 'f5'), error
    assert error.find('error').elements()[0].name == 'remote-server-timeout', error


def next_far(bench):
    """The next route for the other domain; the client may be told that its presence bounced."""
    while True:
        route, payload = bench.next('a stanza for another domain')
        if route.get('to') == 'far.test':
            return route
        assert payload.name == 'presence' and payload.get('type') == 'error', payload


def odd_things(bench):
    """A router may say what the sm need not understand."""
    bench.sm.send("<throttle xmlns='%s'/>" % 'http://jabberd.jabberstudio.org/ns/component/1.0')
    bench.sm.send("<x xmlns='urn:x'><y/></x>")
    bench.sm.advertise('c2s')
    bench.sm.advertise('conference.one.test')
    bench.say('7', bench.alice, "<message to='bob@two.test/b' id='m2'/>")
    while bench.next('a message')[1].get('id') != 'm2':
        pass


def c2s_gone(bench):
    """The advertisement of a c2s's end is the end of its sessions."""
    cat = bench.start('alice@one.test/cat', '9')
    bench.say('9', cat, "<presence to='x@far.test'/>")
    assert bench.next('directed presence')[1].get('from') == 'alice@one.test/cat'
    bench.sm.advertise('c2s', False)
    got = bench.next('the news')[1]
    assert (got.get('type'), got.get('from'), got.get('to')) == ('unavailable', 'alice@one.test/cat', 'x@far.test'), got
    bench.sm.advertise('c2s')
    bench.say('7', bench.alice, "<message to='bob@two.test/b' id='m3'/>")
    got = bench.next('the news')[1]
    assert (got.ns, got.get('action'), got.session('sm')) == (NS_SESSION, 'ended', bench.alice), got


def router_lost(bench):
    """It comes back by itself and binds again; sessions from before are over, and c2s is told so (O3)."""
    alice = bench.start('alice@one.test/a', '7')
    bench.sm.close()
    bench.accept()
    assert bench.sm.bound == [bench.name, *DOMAINS], bench.sm.bound
    bench.say('7', alice, "<message to='bob@two.test/b' id='m4'/>")
    got = bench.next('the news')[1]
    assert (got.ns, got.get('action'), got.session('sm'), got.session('c2s')) == (NS_SESSION, 'ended', alice, '7'), got
    alice = bench.start('alice@one.test/a', '11')
    bench.say('11', alice, "<iq xmlns='%s' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>" % NS_CLIENT)
    assert bench.next('a pong')[1].get('id') == 'p'


def stream_error(bench):
    """A stream error from the router is no more than the loss of the link."""
    bench.sm.send("<stream:error xmlns:stream='http://etherx.jabber.org/streams'>"
                  "<xml-not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
    bench.hub.until(lambda: bench.sm.eof, 'the link to be closed')
    bench.accept()
    assert bench.process.running(), bench.process.tail()
    bench.start('bob@two.test/b', '12')


def main():
    need_shardsm()
    report = Report()
    with World() as world:
        bench = Bench(world, 'sm')
        try:
            for case in (binds, sessions, far, odd_things, c2s_gone, router_lost, stream_error):
                report.case(case.__name__.replace('_', ' '), case, bench)
        finally:
            bench.close()
        bench = Bench(world, 'detour', extra='<local-delivery>router</local-delivery>')
        try:
            report.case('detour', detour, bench)
        finally:
            bench.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
