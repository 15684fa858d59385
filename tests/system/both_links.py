#!/usr/bin/python3
"""both_links.py - one shardsm that dials jabberd2's router and listens for components too: the users behind either door meet.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True

from component import FakeC2S, Hub
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


def main():
    need_jabberd2('router')
    need_shardsm()
    report = Report()
    with World() as world:
        report.case('a router and a listener at once', meet, world)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
