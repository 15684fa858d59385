"""clients.py - real XMPP clients (slixmpp) in one asyncio loop, and what they do against a whole jabberd2 network.
Threads: one, asyncio's.
Owns: a Party owns its clients until leave().
"""
import asyncio
import logging
import os
import sys

try:
    import slixmpp
except ImportError:
    DEBIAN = '/usr/bin/python3'   # the one that python3-slixmpp is for, whatever python3 comes first in the path
    if os.path.realpath(sys.executable) != os.path.realpath(DEBIAN) and os.access(DEBIAN, os.X_OK):
        os.execv(DEBIAN, [DEBIAN] + sys.argv)
    print('# skipped: slixmpp is missing: install the Debian package python3-slixmpp')
    sys.exit(77)

from servers import SECONDS

logging.disable(logging.CRITICAL)
PASSWORD = 'pa&ss<w>'


class Client(slixmpp.ClientXMPP):
    """One client; everything that comes in is kept, and rings the party's bell."""

    def __init__(self, party, user, resource, port, register=False):
        super().__init__('%s@%s/%s' % (user, party.domain, resource), PASSWORD)
        self.party, self.port = party, port
        self._always_send_everything = register   # slixmpp 1.8 would keep the registration back until after the login
        self.messages, self.presences, self.subscriptions = [], [], []
        self.ready = self.gone = self.registered = False
        self.failure = self.conflict = None
        for option in ('unencrypted_plain', 'unencrypted_digest'):
            self['feature_mechanisms'].config[option] = True
        self.roster.auto_authorize = None   # every subscription is answered by the test itself
        self.roster.auto_subscribe = False
        for plugin in ('xep_0030', 'xep_0077', 'xep_0092', 'xep_0199', 'xep_0203', 'xep_0012'):
            self.register_plugin(plugin)
        for event, handler in (('session_start', self.on_start), ('disconnected', self.on_gone), ('message', self.on_message),
                               ('failed_all_auth', self.on_failed_auth),
                               ('stream_error', self.on_stream_error), ('presence', self.on_presence),
                               ('connection_failed', self.on_gone)):
            self.add_event_handler(event, handler)
        if register:
            self.add_event_handler('register', self.on_register)

    def open(self):
        self.connect(address=('127.0.0.1', self.port), use_ssl=False, force_starttls=False, disable_starttls=True)

    async def on_register(self, _form):
        iq = self.Iq()
        iq['type'] = 'set'
        iq['register']['username'] = self.boundjid.user
        iq['register']['password'] = PASSWORD
        try:
            await iq.send(timeout=SECONDS)
            self.registered = True
        except (slixmpp.exceptions.IqError, slixmpp.exceptions.IqTimeout) as e:
            self.failure = 'registration: %s' % e
        self.abort()   # jabberd2's c2s wants a new connection for the login
        self.party.ring()

    def on_start(self, _event):
        self.ready = True
        self.party.ring()

    def on_gone(self, _event):
        self.gone, self.ready = True, False
        self.party.ring()

    def on_failed_auth(self, _event):
        self.failure = 'authentication'
        self.party.ring()

    def on_stream_error(self, error):
        self.conflict = error['condition']
        self.party.ring()

    def on_message(self, message):
        self.messages.append(message)
        self.party.ring()

    def on_presence(self, presence):
        kind = presence['type']
        kept = self.subscriptions if kind in ('subscribe', 'subscribed', 'unsubscribe', 'unsubscribed') else self.presences
        kept.append((kind, str(presence['from'])))
        self.party.ring()

    def bodies(self, sender=None):
        return [m['body'] for m in self.messages if sender is None or m['from'].bare == sender.boundjid.bare]


class Party:
    """The clients of one test."""

    def __init__(self, domain, behind_router=False):
        """behind_router: jabberd2's router stands between c2s and shardsm. When the end of a session is confirmed while a new client holds
        the socket of the old one, jabberd2's c2s asks once more, of no one, and takes the router's bounce for the new client's: it throws that
        out with internal-server-error. (A shardsm that c2s dials does not bounce it.) Such a client tries again, as people do."""
        self.domain = domain
        self.tries = 3 if behind_router else 1
        self.clients = []
        self.bell = asyncio.Event()

    def ring(self):
        self.bell.set()

    async def until(self, condition, what, seconds=None):
        deadline = asyncio.get_running_loop().time() + (seconds or SECONDS)
        while not condition():
            left = deadline - asyncio.get_running_loop().time()
            self.bell.clear()
            try:
                await asyncio.wait_for(self.bell.wait(), max(left, 0.001))
            except asyncio.TimeoutError:
                raise AssertionError('still waiting for ' + what) from None

    async def join(self, user, resource, port, register=False, presence=True, priority=None):
        """A client that is logged in."""
        if register:
            await self.register(user, port)
        client = await self.enter(lambda c: c.ready, 'the login of ' + user, user, resource, port)
        assert client.ready, '%s could not log in: %s' % (user, client.failure or client.conflict or 'disconnected')
        await client.get_roster(timeout=SECONDS)
        if presence:
            client.send_presence(ppriority=priority)
        return client

    async def register(self, user, port):
        client = await self.enter(lambda c: c.registered, 'the registration of ' + user, user, 'register', port, True)
        self.clients.remove(client)
        assert client.registered, client.failure or client.conflict or 'disconnected while registering'

    async def enter(self, done, what, *of_client):
        """A client that is done, or has failed."""
        for tries in range(self.tries, 0, -1):
            client = Client(self, *of_client)
            self.clients.append(client)
            client.open()
            await self.until(lambda client=client: done(client) or client.failure or client.gone, what)
            if tries < self.tries and 'conflict' in (client.failure or ''):
                client.registered = True   # by the one that was thrown out
            if tries == 1 or done(client) or client.failure or client.conflict != 'internal-server-error':
                return client
            self.clients.remove(client)

    async def quit(self, client):
        await client.disconnect(wait=2)
        await self.until(lambda: client.gone, 'the end of ' + str(client.boundjid))
        self.clients.remove(client)

    async def leave(self):
        for client in self.clients[:]:
            client.abort()
        self.clients.clear()

    async def befriend(self, one, two):
        """Both subscribed to each other."""
        for a, b in ((one, two), (two, one)):
            a.send_presence_subscription(pto=b.boundjid.bare, ptype='subscribe')
            await self.until(lambda: ('subscribe', a.boundjid.bare) in b.subscriptions, 'a subscription request')
            b.send_presence_subscription(pto=a.boundjid.bare, ptype='subscribed')
            await self.until(lambda: ('subscribed', b.boundjid.bare) in a.subscriptions, 'an approval')
            await self.until(lambda: ('available', b.boundjid.full) in a.presences, 'presence after the approval')


class Everyday:
    """What people do all day, case by case. ports: of the c2s that alice and bob use."""

    def __init__(self, party, ports):
        self.party = party
        self.alice_port, self.bob_port = ports[0], ports[-1]
        self.alice = self.bob = None

    async def register(self):
        party = self.party
        self.alice = await party.join('alice', 'home', self.alice_port, register=True)
        self.bob = await party.join('bob', 'work', self.bob_port, register=True)

    async def subscribe(self):
        party = self.party
        alice, bob = self.alice, self.bob
        await party.befriend(alice, bob)
        # With versions the answer may be that nothing has changed since the pushes: what counts is what the client knows then.
        await alice.get_roster(timeout=SECONDS)
        roster = alice.client_roster
        assert roster[bob.boundjid.bare]['subscription'] == 'both', 'the roster holds %s' % list(roster.keys())

    async def chat(self):
        party = self.party
        alice, bob = self.alice, self.bob
        text = 'ä😀 <&> "\'' + 'long ' * 1000
        alice.send_message(mto=bob.boundjid.bare, mbody=text, mtype='chat')
        alice.send_message(mto=bob.boundjid.full, mbody='full', mtype='chat')
        bob.send_message(mto=alice.boundjid.bare, mbody='back', mtype='chat')
        await party.until(lambda: len(bob.bodies(alice)) >= 2 and alice.bodies(bob), 'three messages')
        assert bob.bodies(alice) == [text, 'full'], bob.bodies(alice)
        assert alice.bodies(bob) == ['back'], alice.bodies(bob)

    async def services(self):
        party = self.party
        alice = self.alice
        await alice['xep_0199'].ping(slixmpp.JID(party.domain), timeout=SECONDS)
        version = await alice['xep_0092'].get_version(slixmpp.JID(party.domain), timeout=SECONDS)
        assert version['software_version']['name'], version
        info = await alice['xep_0030'].get_info(jid=party.domain, timeout=SECONDS)
        assert ('server', 'im') in [i[:2] for i in info['disco_info']['identities']], info
        reply = await alice['xep_0199'].ping(self.bob.boundjid, timeout=SECONDS)   # answered by bob's client
        assert reply is not None

    async def offline(self):
        party = self.party
        alice, bob = self.alice, self.bob
        alice.presences.clear()
        await party.quit(bob)
        await party.until(lambda: ('unavailable', 'bob@%s/work' % party.domain) in alice.presences, 'bob to go')
        for i in range(5):
            alice.send_message(mto='bob@' + party.domain, mbody='offline %d' % i, mtype='chat')
        await alice['xep_0199'].ping(slixmpp.JID(party.domain), timeout=SECONDS)
        bob = self.bob = await party.join('bob', 'work', self.bob_port)
        await party.until(lambda: len(bob.messages) >= 5, 'five offline messages')
        assert bob.bodies() == ['offline %d' % i for i in range(5)], bob.bodies()
        assert all(m['delay']['stamp'] for m in bob.messages), 'without a delay'
        await party.until(lambda: ('available', alice.boundjid.full) in bob.presences, "alice's presence after login")

    async def conflict(self):
        party = self.party
        first = self.alice
        first.roster.auto_authorize = None
        second = await party.join('alice', 'home', self.bob_port)
        await party.until(lambda: first.gone, 'the first session to be closed')
        assert first.conflict == 'conflict', 'closed with %s' % first.conflict
        party.clients.remove(first)
        self.alice = second
        self.bob.send_message(mto=second.boundjid.full, mbody='to the new one', mtype='chat')
        await party.until(lambda: second.bodies() == ['to the new one'], 'a message to the new session')

    async def resources(self):
        party = self.party
        bob = self.bob
        second = await party.join('bob', 'phone', self.alice_port, priority=10)
        await party.until(lambda: ('available', second.boundjid.full) in bob.presences, 'the own other resource')
        self.alice.send_message(mto=bob.boundjid.bare, mbody='to the phone', mtype='chat')
        await party.until(lambda: second.bodies() == ['to the phone'], 'a message to the higher priority')
        assert 'to the phone' not in bob.bodies(), 'the lower priority got it too'
        await party.quit(second)
        await party.until(lambda: ('unavailable', second.boundjid.full) in bob.presences, 'the phone to go')

    async def unregister(self):
        party = self.party
        carol = await party.join('carol', 'x', self.bob_port, register=True)
        try:
            await carol['xep_0077'].cancel_registration(timeout=SECONDS)
        except slixmpp.exceptions.IqTimeout:
            pass   # c2s may close the stream before its answer is out
        await party.until(lambda: carol.gone, 'the end of an account that was removed', SECONDS)
        party.clients.remove(carol)
        again = Client(party, 'carol', 'x', self.bob_port)
        party.clients.append(again)
        again.open()
        await party.until(lambda: again.failure or again.gone or again.ready, 'the outcome of a login')
        assert not again.ready, 'a removed account could log in'


async def everyday(party, ports, check):
    """check(name, coroutine function) runs a case; the first that fails ends the day."""
    day = Everyday(party, ports)
    for case in (day.register, day.subscribe, day.chat, day.services, day.offline, day.conflict, day.resources, day.unregister):
        if not await check(case.__name__, case):
            break


def run(report, scenario):
    """Runs an async scenario(check) in a loop of its own."""
    async def check(name, case):
        try:
            await case()
        except Exception as e:
            outcome = e
        else:
            outcome = None

        def result():
            if outcome is not None:
                raise outcome
        return report.case(name, result)

    asyncio.run(scenario(check))
