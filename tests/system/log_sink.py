#!/usr/bin/python3
"""log_sink.py - a component that binds with <log/> gets a copy of every route, in both directions, wherever it was made.
Threads: one.
Owns: the server that it starts.
"""
import sys
sys.dont_write_bytecode = True

from component import FakeC2S, Hub
from servers import Report, World, need_shardsm

DOMAIN = 'log.test'


def asks_component(route):
    """The server asks every component what it is, at moments of its own."""
    return route.get('from') == 'sm' and route.elements()[0].name == 'iq'


def copies(world):
    _, port = world.listening_shardsm([DOMAIN], workers=4)
    hub = Hub()
    c2s = FakeC2S(hub, ('127.0.0.1', port)).connect()
    c2s.online(DOMAIN)
    sink = FakeC2S(hub, ('127.0.0.1', port), name='sink').connect()
    logged, bound = [], []
    sink.on_route = logged.append
    sink.send("<bind xmlns='http://jabberd.jabberstudio.org/ns/component/1.0' name='sink-log'><log/></bind>")
    c2s.create('alice@' + DOMAIN)
    alice = c2s.start('alice@%s/a' % DOMAIN)
    alice.send("<presence/>")
    hub.until(lambda: len([r for r in logged if not asks_component(r)]) >= 6, lambda: '6 copies, %d came' % len(logged))
    seen = [(r.get('from'), r.get('to'), r.get('type'), r.elements()[0].name, r.elements()[0].get('action')) for r in logged
            if not asks_component(r)]
    # What comes in is copied by an acceptor, what goes out by a shard: each in its order.
    assert [r for r in seen if r[0] == 'c2s'] == [
        ('c2s', DOMAIN, 'log', 'session', 'create'), ('c2s', DOMAIN, 'log', 'session', 'start'),
        ('c2s', 'sm', 'log', 'presence', None)], seen
    assert [r for r in seen if r[0] != 'c2s'] == [
        (DOMAIN, 'c2s', 'log', 'session', 'created'), ('sm', 'c2s', 'log', 'session', 'started'),
        (DOMAIN, 'c2s', 'log', 'presence', None)], seen


def main():
    need_shardsm()
    report = Report()
    with World() as world:
        report.case('a log sink gets every route', copies, world)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
