#!/usr/bin/python3
"""restart.py - the plug is pulled: on the router, on a c2s, on shardsm itself; what was promised is still true afterwards.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True
import asyncio
import signal

import clients
from servers import Report, World, need_jabberd2, need_shardsm

DOMAIN = 'example.test'


async def friends_are_well(party, alice, bob, text):
    """They see each other and talk."""
    await party.until(lambda: ('available', bob.boundjid.full) in alice.presences, 'presence of bob')
    bob.send_message(mto=alice.boundjid.bare, mbody=text, mtype='chat')
    await party.until(lambda: text in alice.bodies(), 'a message')


async def lost_router(world, check):
    """jabberd2's router dies and comes back: shardsm and c2s find it, people log in again."""
    router, router_port = world.router()
    sm = world.shardsm(world.sm_config([DOMAIN], router=router_port))
    sm.wait_line('ready for sessions')
    _, port = world.c2s(DOMAIN, router_port)
    party = clients.Party(DOMAIN, behind_router=True)

    async def router_killed():
        alice = await party.join('alice', 'home', port, register=True)
        bob = await party.join('bob', 'work', port, register=True)
        await party.befriend(alice, bob)
        seen, seen_c2s = len(sm.lines), len(world.processes[-1].lines)
        router.stop(signal.SIGKILL)
        await party.leave()
        world.router(router_port)
        await in_thread(sm.wait_line, 'ready for sessions', seen)
        await in_thread(world.processes[2].wait_line, 'ready for connections', seen_c2s)
        alice = await party.join('alice', 'home', port)
        bob = await party.join('bob', 'work', port)
        await friends_are_well(party, alice, bob, 'after the router')

    async def sm_killed():
        alice = await party.join('alice', 'home', port)
        alice.send_presence_subscription(pto='carol@' + DOMAIN, ptype='subscribe')
        for i in range(20):
            alice.send_message(mto='carol@' + DOMAIN, mbody='stored %d' % i, mtype='chat')
        # RFC 6120 10.1: the answer comes from behind them; and what is committed then, from behind what was to be stored
        try:
            await alice['xep_0199'].send_ping(clients.slixmpp.JID('carol@' + DOMAIN), timeout=10)
        except clients.slixmpp.exceptions.IqError:
            pass
        await alice.update_roster('behind@far.test')
        sm.stop(signal.SIGKILL)
        await party.leave()
        again = world.shardsm(world.path('sm.xml'))
        again.wait_line('ready for sessions')
        carol = await party.join('carol', 'c', port)
        await party.until(lambda: len(carol.messages) >= 20, 'the stored messages (%d came)' % len(carol.messages))
        assert carol.bodies() == ['stored %d' % i for i in range(20)], carol.bodies()
        await party.until(lambda: ('subscribe', 'alice@' + DOMAIN) in carol.subscriptions, 'the request that waits')
        alice = await party.join('alice', 'home', port)
        bob = await party.join('bob', 'work', port)
        await friends_are_well(party, alice, bob, 'after the sm')

    try:
        if await check('the router is killed and comes back', router_killed):
            await party.leave()
            carol = await party.join('carol', 'c', port, register=True)
            await party.quit(carol)
            await check('shardsm is killed behind the router and comes back', sm_killed)
    finally:
        await party.leave()


async def lost_c2s(world, check):
    """A c2s dies: its people are gone for the others, and can come in by another door."""
    _, sm_port = world.listening_shardsm([DOMAIN], name='sm-listen')
    _, one = world.c2s(DOMAIN, sm_port, 'c2s-one')
    second, two = world.c2s(DOMAIN, sm_port, 'c2s-two')
    party = clients.Party(DOMAIN)

    async def c2s_killed():
        alice = await party.join('dora', 'home', one, register=True)
        bob = await party.join('emil', 'work', two, register=True)
        await party.befriend(alice, bob)
        alice.presences.clear()
        second.stop(signal.SIGKILL)
        await party.until(lambda: ('unavailable', bob.boundjid.full) in alice.presences, 'bob to be seen leaving')
        alice.presences.clear()
        alice.send_message(mto=bob.boundjid.bare, mbody='where are you', mtype='chat')
        bob = await party.join('emil', 'work', one)
        await party.until(lambda: 'where are you' in bob.bodies(), 'the message sent meanwhile')
        await friends_are_well(party, alice, bob, 'here')

    async def c2s_back():
        await party.leave()
        world.c2s(DOMAIN, sm_port, 'c2s-two', two)
        alice = await party.join('dora', 'home', one)
        bob = await party.join('emil', 'work', two)
        await friends_are_well(party, alice, bob, 'back')

    try:
        if await check('a c2s is killed', c2s_killed):
            await check('the c2s comes back', c2s_back)
    finally:
        await party.leave()


def in_thread(function, *args):
    return asyncio.get_running_loop().run_in_executor(None, function, *args)


def main():
    need_shardsm()
    need_jabberd2('router', 'c2s')
    report = Report()
    with World() as world:
        world.make_schema()

        async def scenario(check):
            await lost_router(world, check)
        clients.run(report, scenario)
    with World() as world:
        world.make_schema()

        async def second_scenario(check):
            await lost_c2s(world, check)
        clients.run(report, second_scenario)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
