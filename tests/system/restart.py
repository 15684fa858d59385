#!/usr/bin/python3
"""restart.py - the plug is pulled: on the router, on a c2s, on shardsm itself; what was promised is still true afterwards.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True
import asyncio
import random
import signal

import clients
from component import FakeC2S, Hub, Marks
from servers import Report, World, need_jabberd2, need_shardsm

DOMAIN = 'example.test'
ROSTER = 'jabber:iq:roster'
ROUND = 300   # roster sets, messages and requests sent before the server is killed


# -- with real peers ------------------------------------------------------------------------------------------------------

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
    party = clients.Party(DOMAIN)

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
        # RFC 6120 10.1: the answer comes from behind them
        try:
            await alice['xep_0199'].send_ping(clients.slixmpp.JID('carol@' + DOMAIN), timeout=10)
        except clients.slixmpp.exceptions.IqError:
            pass
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


# -- kill -9 at any moment ------------------------------------------------------------------------------------------------

class Store:
    """What was acknowledged so far, over many crashes: it must be there after each."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.items = set()      # roster items that were answered with a result
        self.sent = 0           # messages sent to bob
        self.kept = []          # those that a later answer proves stored, in order


def crash_round(world, store):
    """alice sets roster items and writes to bob, who is away, until the server is killed in the middle of it."""
    process, port = world.listening_shardsm([DOMAIN], name='crash')
    hub = Hub()
    try:
        c2s = FakeC2S(hub, ('127.0.0.1', port)).connect()
        c2s.online(DOMAIN)
        alice = c2s.start('alice@%s/a' % DOMAIN)
        check_items(hub, alice, store)
        fresh = {}
        for i in range(ROUND):
            ident = 's%d-%d' % (len(store.items), i)
            fresh[ident] = 'f%d-%d@far.test' % (len(store.items), i)
            alice.send("<iq type='set' id='%s'><query xmlns='%s'><item jid='%s' name='n'><group>g</group></item></query></iq>" % (
                ident, ROSTER, fresh[ident]))
            store.sent += 1
            alice.send("<message type='chat' to='bob@%s' id='m%d'><body>x</body></message>" % (DOMAIN, store.sent))
            alice.send("<iq type='get' to='bob@%s' id='mark-%d'><mark xmlns='urn:test:mark'/></iq>" % (DOMAIN, store.sent))
        answers = store.random.choice((alice.queue, alice.marks))
        wanted = store.random.randrange(1, ROUND // 2)
        hub.until(lambda: len(answers) >= wanted or c2s.eof, 'answers')
        process.stop(signal.SIGKILL)
        while not c2s.eof:
            hub.pump(1)
        for node in alice.queue:
            if node.get('id') in fresh and node.get('type') == 'result':
                store.items.add(fresh[node.get('id')])
        store.kept += sorted(int(m[5:]) for m in alice.marks)
    finally:
        hub.close()
        world.processes.remove(process)
        process.kill()


def check_items(hub, alice, store):
    alice.send("<iq type='get' id='roster'><query xmlns='%s'/></iq>" % ROSTER)
    answer = alice.next('the roster')
    jids = {i.get('jid') for i in answer.elements()[0].elements()} if answer.elements() else set()
    lost = store.items - jids
    assert not lost, '%d of %d roster items that were acknowledged are gone: %s' % (len(lost), len(store.items), sorted(lost)[:3])
    for item in answer.elements()[0].elements():
        assert item.get('name') == 'n' and [g.text() for g in item.elements()] == ['g'], 'half an item: %s' % item


def crash_many(world):
    store = Store(20)
    with_users(world)
    for _ in range(6):
        crash_round(world, store)
    assert store.items and store.kept, 'only %d items and %d messages acknowledged: the test shows nothing' % (
        len(store.items), len(store.kept))
    world.crash_store = store


def with_users(world):
    process, port = world.listening_shardsm([DOMAIN], name='crash')
    hub = Hub()
    c2s = FakeC2S(hub, ('127.0.0.1', port)).connect()
    for user in ('alice', 'bob'):
        c2s.create('%s@%s' % (user, DOMAIN))
    process.stop(signal.SIGKILL)
    hub.close()


def crash_delivery(world):
    """bob comes back and the server is killed while it hands over: every stored message arrives, in order, none is lost."""
    store = world.crash_store
    got = []
    for attempt in range(4):
        process, port = world.listening_shardsm([DOMAIN], name='crash')
        hub = Hub()
        try:
            c2s = FakeC2S(hub, ('127.0.0.1', port)).connect()
            bob = c2s.start('bob@%s/b' % DOMAIN)
            bob.send('<presence/>')
            if attempt < 3:
                hub.until(lambda: bob.queue or c2s.eof, 'the first message')
                process.stop(signal.SIGKILL)
                while not c2s.eof:
                    hub.pump(1)
            else:
                Marks(hub).flush([bob], ['bob@' + DOMAIN])
                process.stop(signal.SIGTERM)
            numbers = [int(n.get('id')[1:]) for n in bob.queue if n.name == 'message']
            assert numbers == sorted(numbers), 'out of order: %s' % numbers
            got += numbers
        finally:
            hub.close()
            process.kill()
            world.processes.remove(process)
    lost = set(store.kept) - set(got)
    assert not lost, '%d of %d stored messages never came: %s' % (len(lost), len(store.kept), sorted(lost)[:5])


def main():
    need_shardsm()
    need_jabberd2('router', 'c2s')
    report = Report()
    with World() as world:
        if report.case('kill -9 while roster sets and messages come in', crash_many, world):
            report.case('kill -9 while stored messages are handed over', crash_delivery, world)
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
