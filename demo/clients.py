"""Two clients that meet: register, subscribe to each other's presence, talk, and leave. Says what happens as it happens."""

import asyncio
import logging
import secrets

logging.getLogger("slixmpp").setLevel(logging.CRITICAL)  # before the import, which logs

import slixmpp  # noqa: E402

STEP_SECONDS = 20


class DemoError(Exception):
    pass


class Connection(slixmpp.ClientXMPP):
    """A connection that fails with a reason. ready: done once it is of use."""

    def __init__(self, jid, password, site):
        super().__init__(jid, password)
        self.site = site
        self.ready = asyncio.get_running_loop().create_future()
        self.ca_certs = site.certificate
        for trouble in ("failed_all_auth", "ssl_invalid_chain", "stream_error", "connection_failed"):
            self.add_event_handler(trouble, lambda reason, name=trouble: self.fail(f"{name} {reason}"))

    @property
    def name(self):
        return self.boundjid.user

    def fail(self, why):
        if not self.ready.done():
            self.ready.set_exception(DemoError(f"{self.name}: {why}"))

    async def until_ready(self, otherwise):
        self.connect((self.site.host, self.site.port))
        await step(self.ready, otherwise)


class Registrar(Connection):
    """Makes the account. jabberd2's c2s wants the login on another connection: on this one it never answers the bind."""

    def __init__(self, jid, password, site):
        super().__init__(jid, password, site)
        # slixmpp 1.8 holds stanzas back until the session has started, those of a registration too.
        self._always_send_everything = True
        self.register_plugin("xep_0077")
        self["xep_0077"].force_registration = True
        self.add_event_handler("register", self._register)

    async def _register(self, _):
        iq = self.Iq()
        iq["type"] = "set"
        iq["register"]["username"] = self.name
        iq["register"]["password"] = self.password
        try:
            await iq.send(timeout=STEP_SECONDS)
            self.ready.set_result(None)
        except slixmpp.exceptions.XMPPError as e:
            self.fail(f"registration refused ({e})")


class Client(Connection):
    def __init__(self, jid, password, site, say):
        super().__init__(jid, password, site)
        self.say = say
        self.came, self.went, self.said = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        self.register_plugin("xep_0077")
        self["xep_0077"].create_account = False
        self.add_event_handler("session_start", self._start)
        self.add_event_handler("presence_available", lambda p: self.came.put_nowait(p["from"]))
        self.add_event_handler("presence_unavailable", lambda p: self.went.put_nowait(p["from"]))
        self.add_event_handler("message", self.said.put_nowait)

    async def _start(self, _):
        try:
            await self.get_roster(timeout=STEP_SECONDS)
        except slixmpp.exceptions.XMPPError as e:
            self.fail(f"no roster ({e})")
            return
        self.send_presence()
        self.ready.set_result(None)

    async def sees(self, queue, other, what):
        """The next presence of the other's that is in queue."""
        while (who := await step(queue.get(), f"{self.name} never saw {other.name} {what}")).bare != other.boundjid.bare:
            pass
        return who

    async def hears(self, other, text):
        m = await step(self.said.get(), f"{self.name} never got {other.name}'s message")
        if m["from"].bare != other.boundjid.bare or m["body"] != text:
            raise DemoError(f"{self.name} got {m['body']!r} from {m['from']} and not {text!r} from {other.name}")
        self.say(f"{other.name} to {self.name}: {text}")


async def step(awaitable, otherwise):
    try:
        return await asyncio.wait_for(awaitable, STEP_SECONDS)
    except asyncio.TimeoutError:
        raise DemoError(f"{otherwise} (waited {STEP_SECONDS} seconds)") from None
    except slixmpp.exceptions.XMPPError as e:
        raise DemoError(f"{otherwise} ({e})") from None


def drop(connection):
    try:
        connection.abort()
    except AttributeError:  # Python 3.11's closed TLS transports cannot bear it
        pass


async def _sign_in(client, say):
    registrar = Registrar(client.boundjid.bare, client.password, client.site)
    try:
        await registrar.until_ready(f"{client.name} could not register")
    finally:
        drop(registrar)
    say(f"{client.name} has registered as {client.boundjid.bare}")
    await client.until_ready(f"{client.name} could not sign in")
    say(f"{client.name} is online as {client.boundjid.full}")


async def _meet(alice, bob, say):
    say(f"{alice.name} asks to see {bob.name}'s presence; {bob.name} agrees and asks back")
    alice.send_presence_subscription(pto=bob.boundjid.bare)
    say(f"{alice.name} sees {await alice.sees(alice.came, bob, 'online')} online")
    say(f"{bob.name} sees {await bob.sees(bob.came, alice, 'online')} online")
    for client, other in ((alice, bob), (bob, alice)):
        # With versions the answer may be that nothing has changed since the pushes: what counts is what the client knows then.
        await step(client.get_roster(), f"{client.name} could not read the roster")
        found = {jid: client.client_roster[jid]["subscription"] for jid in list(client.client_roster.keys())}
        say(f"{client.name}'s roster: {', '.join(f'{j} ({s})' for j, s in found.items())}")
        if found.get(other.boundjid.bare) != "both":
            raise DemoError(f"{other.name} should be in {client.name}'s roster with subscription both")


async def _talk(alice, bob):
    for sender, receiver, text in ((alice, bob, "Wherefore art thou?"), (bob, alice, "Here & there <everywhere>"),
                                   (alice, bob, "\N{HEAVY CHECK MARK}")):
        sender.send_message(mto=receiver.boundjid.full, mbody=text, mtype="chat")
        await receiver.hears(sender, text)


async def _leave(alice, bob, say):
    bob.send_presence(ptype="unavailable")
    await alice.sees(alice.went, bob, "leave")
    say(f"{alice.name} sees {bob.name} go")
    for client in (alice, bob):
        await step(client["xep_0077"].cancel_registration(), f"{client.name} could not remove the account")
    say("both have removed their accounts")


async def demonstrate(site, say):
    """site: .host, .port, .domain, .certificate. Raises DemoError where something is not as it should be."""
    tag = secrets.token_hex(2)
    alice, bob = (Client(f"{name}-{tag}@{site.domain}/demo", secrets.token_hex(8), site, say) for name in ("alice", "bob"))
    try:
        for client in (alice, bob):
            await _sign_in(client, say)
        await _meet(alice, bob, say)
        await _talk(alice, bob)
        await _leave(alice, bob, say)
    finally:
        drop(alice)
        drop(bob)
