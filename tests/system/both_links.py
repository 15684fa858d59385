#!/usr/bin/python3
"""both_links.py - one shardsm that dials jabberd2's router and listens for components too: the users behind either door meet.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True

from component import Component, FakeC2S, Hub, LegacyComponent, is_service_query
from servers import Report, World, need_jabberd2, need_shardsm

DOMAIN = 'both.test'
ROUTER = '<router><ip>127.0.0.1</ip><port>%d</port><user>jabberd</user><pass>secret</pass></router>'


def chat(sender, receiver, number):
    sender.send("<message to='%s' type='chat' id='m%d'><body>over there</body></message>" % (receiver.jid, number))
    got = receiver.next('a message')
    assert (got.get('from'), got.get('id')) == (sender.jid, 'm%d' % number), got


def meet(world):
    world.make_schema()
    _, router_port = world.router()
    server, port = world.listening_shardsm([DOMAIN], workers=3, extra=ROUTER % router_port)
    server.wait_line('ready for sessions')
    hub = Hub()
    doors = [FakeC2S(hub, ('127.0.0.1', port), 'c2s-near').connect(), FakeC2S(hub, ('127.0.0.1', router_port), 'c2s-far').connect()]
    sessions = []
    for door, name in zip(doors, ('alice', 'bob')):
        door.online(DOMAIN)
        door.create('%s@%s' % (name, DOMAIN))
        sessions.append(door.start('%s@%s/r' % (name, DOMAIN)))
    chat(sessions[0], sessions[1], 1)
    chat(sessions[1], sessions[0], 2)
    doors[1].close()
    chat(sessions[0], sessions[0], 3)


def unknown_names(world):
    """What no component of ours serves goes to the router, in our name; what does not get there either is answered with an error."""
    _, router_port = world.router()
    server, port = world.listening_shardsm([DOMAIN], workers=3, extra=ROUTER % router_port)
    server.wait_line('ready for sessions')
    hub = Hub()
    far = Component(hub, ('127.0.0.1', router_port)).join('far.test')
    near = Component(hub, ('127.0.0.1', port)).join('near.test')
    legacy = LegacyComponent(hub, ('127.0.0.1', port), 'legacy.test')
    legacy.handshake()
    stanza = "<message xmlns='jabber:client' from='x@%s' to='y@%s' id='%s'><body>a &amp; b</body></message>"
    near.route('far.test', stanza % ('near.test', 'far.test', 'm1'))
    while True:
        got = far.next_route('a message')
        if not is_service_query(got):
            break
    assert got.get('from') == 'sm', got
    assert got.elements()[0].get('id') == 'm1' and got.elements()[0].find('body').text() == 'a & b', got
    legacy.send((stanza % ('legacy.test', 'far.test', 'm2')).replace(" xmlns='jabber:client'", ''))
    got = far.next_route('a message')
    assert got.get('from') == 'sm' and got.elements()[0].get('id') == 'm2', got
    near.route('nowhere.test', stanza % ('near.test', 'nowhere.test', 'm3'))
    while True:
        got = near.next_route('an error')
        if not is_service_query(got):
            break
    error = got.elements()[0]
    assert (error.get('id'), error.get('type'), error.get('to')) == ('m3', 'error', 'x@near.test'), got
    # what is no stanza cannot be answered from there
    near.route('nowhere.test', "<sc:session xmlns:sc='http://jabberd.jabberstudio.org/ns/session/1.0' action='start' sc:c2s='1'/>")
    assert near.next_route('a bounce').get('error') == '404'
    near.close()


def main():
    need_jabberd2('router')
    need_shardsm()
    report = Report()
    with World() as world:
        report.case('a router and a listener at once', meet, world)
    with World() as world:
        report.case('names that only the router knows', unknown_names, world)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
