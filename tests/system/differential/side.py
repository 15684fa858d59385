"""side.py - one of the two servers that are compared, behind jabberd2's router, and those who speak to it.
Threads: one for each side; sides share nothing. Scenarios are generators that yield what they wait for: many are played at
once, because alone each would wait for the delayed acknowledgements between jabberd2's processes most of its time.
Owns: a Side owns its hub, its links and the servers that it started in its World.
"""
import collections
import re
import signal
import time

from component import SECONDS, Component, Hub, Timeout, attr, with_session
from normal import in_order, sender, shown
from xmltree import NS_CLIENT, NS_COMPONENT, NS_SESSION

DOMAINS = ('example.test', 'other.test')
FAR = 'far.test'
WIDTH = 12   # scenarios at once
SERIAL = re.compile(r'\.(\d+)@')
ROUNDS = 4   # of pings: the longest chain of consequences between two users, and one more
PING = "<iq type='get' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>"


class Session:
    def __init__(self, label, jid, cid, serial):
        self.label, self.jid, self.cid, self.serial = label, jid, cid, serial
        self.bare = jid.partition('/')[0]
        self.domain = self.bare.partition('@')[2]
        self.sm, self.home, self.live = None, None, False


class Door(Component):
    """A c2s, or the component of far.test: keeps the order of all that comes."""

    def __init__(self, hub, address, name):
        super().__init__(hub, address)
        self.name = name
        self.log = collections.defaultdict(list)   # a scenario's serial -> routes since its last look
        self.sessions = {}         # c2s id -> Session
        self.asked = {}            # id of session control -> serial
        self.query = None          # id of the last question of the server who we are
        self.versions = {}         # c2s id -> the last roster version that its session saw
        self.claimed = {}          # c2s id that is no session's -> serial
        self.answered = set()      # ids of session control that was answered
        self.join(name)

    def on_route(self, route):
        payload = route.elements()[0] if route.elements() else None
        if payload is None:
            return
        if self.is_service_query(payload):
            self.query = payload.get('id')
            return
        if payload.get('id', '').startswith('mark-'):
            if not route.get('error'):   # bounced: the router may know that a server died before its exit status is there
                self.marks.add(payload.get('id'))
            return
        if payload.ns == NS_SESSION:
            self.on_control(route, payload)
        query = payload.find('query', 'jabber:iq:roster')
        if query is not None and query.get('ver'):
            self.versions[payload.session('c2s')] = query.get('ver')
        self.log[self.serial_of(route, payload)].append(route)

    def serial_of(self, route, payload):
        """The scenario that a route belongs to; 0 for one that is played alone."""
        session = self.sessions.get(payload.session('c2s'))
        if session is not None:
            return session.serial
        if payload.ns == NS_SESSION and payload.get('id') in self.asked:
            return self.asked[payload.get('id')]
        if payload.session('c2s') in self.claimed:
            return self.claimed[payload.session('c2s')]
        found = SERIAL.search(str(route))
        return int(found.group(1)) if found else 0

    @staticmethod
    def is_service_query(payload):
        query = payload.elements()[0] if payload.elements() else None
        return (payload.name == 'iq' and payload.get('type') == 'get' and payload.session('c2s') is None
                and '@' not in payload.get('from', '@') and query is not None
                and query.ns == 'http://jabber.org/protocol/disco#info')

    def on_control(self, route, payload):
        self.answered.add(payload.get('id'))
        session = self.sessions.get(payload.session('c2s'))
        if session is None:
            return
        if payload.get('action') == 'started' and payload.session('failed') is None:
            session.sm, session.home, session.live = payload.session('sm'), route.get('from'), True
        elif payload.get('action') in ('ended', 'replaced') and payload.session('sm') == session.sm:
            session.live = False


def one_store_thread(path):
    """What the store is asked first, it answers first: settle() counts on it."""
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(text.replace('<store>2</store>', '<store>1</store>'))


class Side:
    """kind: 'stock' or 'shardsm'. world: where it runs. database: see databases.py. config: XML for sm.xml."""

    def __init__(self, kind, world, database, config=''):
        self.kind, self.world, self.database, self.config = kind, world, database, config
        self.marked, self.count = 0, 0
        self.start()

    # -- servers ----------------------------------------------------------------------------------------------------------

    def start(self):
        self.router, port = self.world.router()
        stock = self.kind == 'stock'
        path = self.world.sm_config(DOMAINS, router=port, workers=0 if stock else 4, admins='<jid>admin@%s</jid>' % DOMAINS[0],
                                    extra=self.config + ('' if stock else '<local-delivery>direct</local-delivery>'),
                                    db=self.database.file())
        self.database.configure(path)
        one_store_thread(path)
        self.sm = self.world.stock_sm(path) if stock else self.world.shardsm(path)
        self.sm.wait_line('ready for sessions')
        self.hub = Hub()
        self.c2s = Door(self.hub, ('127.0.0.1', port), 'c2s')
        self.far = Door(self.hub, ('127.0.0.1', port), FAR)
        for domain in DOMAINS:
            self.c2s.online(domain)
        self.drive([(self.begin_watch(), self.must)])

    def begin_watch(self):
        """The session that asks accounts, and sees nothing else."""
        yield from self.ask(-1, 'create', 'watch@' + DOMAINS[0])
        self.watch = yield from self.begin(-1, 'watch', 'watch@%s/w' % DOMAINS[0])

    @staticmethod
    def must(failure):
        if failure:
            raise failure

    def stop(self):
        """jabberd2's sm looks at SIGTERM every 5 seconds; all of its sessions have ended, and what it wrote is committed."""
        status = self.sm.stop(signal.SIGKILL if self.kind == 'stock' else signal.SIGTERM)
        self.hub.close()
        self.router.stop(signal.SIGKILL)
        self.world.processes.remove(self.sm)
        self.world.processes.remove(self.router)
        if self.kind != 'stock' and status != 0:
            raise AssertionError('shardsm ended with status %s:\n%s' % (status, self.sm.tail()))

    def dead(self):
        return not self.sm.running() or self.c2s.eof

    def revive(self):
        self.sm.kill()
        self.sm.wait()
        self.hub.close()
        self.router.stop(signal.SIGKILL)
        self.start()

    # -- speaking ---------------------------------------------------------------------------------------------------------

    def control(self, serial, action, target, cid=None, domain=None):
        """Sends a session action; its id."""
        self.count += 1
        ident = 'q%d' % self.count
        self.c2s.asked[ident] = serial
        mark = '' if cid is None else ' sc:c2s=' + attr(cid)
        where = '' if target is None else ' target=' + attr(target)
        to = domain or target.partition('/')[0].rpartition('@')[2]
        self.c2s.route(to, "<sc:session xmlns:sc='%s'%s action='%s'%s id='%s'/>" % (NS_SESSION, mark, action, where, ident))
        return ident

    def ask(self, serial, action, target, cid='1'):
        ident = self.control(serial, action, target, None if action == 'delete' else cid)
        yield lambda: ident in self.c2s.answered, 'the answer to ' + action

    def begin(self, serial, label, jid, cid=None):
        """A session, whether or not it comes alive."""
        self.count += 1
        session = Session(label, jid, cid or str(1000 + self.count), serial)
        self.c2s.sessions[session.cid] = session
        yield from self.ask(serial, 'start', jid, session.cid)
        return session

    def end(self, session):
        if session.live:
            self.c2s.route(session.home, "<sc:session xmlns:sc='%s' sc:c2s=%s sc:sm=%s action='end'/>" % (
                NS_SESSION, attr(session.cid), attr(session.sm)))
            yield lambda: not session.live, 'ended'

    def say(self, session, stanza):
        self.c2s.route(session.home or session.domain, with_session(stanza, session.cid, session.sm))

    # -- waiting ----------------------------------------------------------------------------------------------------------

    def drive(self, scenarios, width=WIDTH):
        """scenarios: (generator, told) pairs. Plays them side by side; told(exception or None) when one has ended."""
        scenarios = collections.deque(scenarios)
        playing = []   # [generator, told, (condition, what), deadline]
        while scenarios or playing:
            while scenarios and len(playing) < width:
                playing.append([*scenarios.popleft(), (lambda: True, ''), 0])
            moved = False
            for entry in playing[:]:
                if self.dead() or entry[2][0]() or time.monotonic() > entry[3] > 0:
                    moved = True
                    self.advance(entry, playing)
            if not moved:
                self.hub.pump(0.5)

    def advance(self, entry, playing):
        generator, told, (condition, what), _ = entry
        try:
            if condition() or self.dead():
                entry[2] = generator.send(None)
            else:
                entry[2] = generator.throw(Timeout('still waiting for %s' % (what() if callable(what) else what)))
            entry[3] = time.monotonic() + SECONDS
        except StopIteration:
            playing.remove(entry)
            told(None)
        except (AssertionError, KeyError, Timeout) as e:
            playing.remove(entry)
            told(e)

    def mark(self):
        self.marked += 1
        return 'mark-%d' % self.marked

    def settle(self, sessions, accounts, far=False):
        """Over when all that was said has had all its consequences.

        A session's ping comes back from behind everything that the session caused at its own user; in the next round the
        others' pings come back from behind what that caused at theirs. An account without a session is asked for its vCard
        instead, which is read from the database like whatever else the account's earlier stanzas had to wait for.
        """
        if far:
            ident = self.mark()
            self.far.route(DOMAINS[0], "<iq xmlns='%s' type='get' id='%s' from='mark@%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % (
                NS_CLIENT, ident, FAR, DOMAINS[0]), FAR)
            yield self.arrival({ident}, self.far)
        for number in range(ROUNDS):
            due = set()
            for session in [self.watch] + [s for s in sessions if s.live]:
                due.add(self.mark())
                self.say(session, PING % ('mark-%d' % self.marked))
            for account in accounts if number else ():
                due.add(self.mark())
                self.say(self.watch, "<iq type='get' id='mark-%d' to=%s><vCard xmlns='vcard-temp'/></iq>" % (self.marked, attr(account)))
            if number and self.kind != 'stock':
                due |= self.ask_store()
            yield self.arrival(due, self.c2s)
        if far:
            self.say(self.watch, "<message id='%s' to='mark@%s'/>" % (self.mark(), FAR))
            yield self.arrival({'mark-%d' % self.marked}, self.far)

    def ask_store(self):
        """A write, and a read that waits for writes: behind those that answer without holding up their user's stanzas."""
        ident = self.mark()
        self.say(self.watch, "<iq type='set' id='%s'><query xmlns='jabber:iq:private'><mark xmlns='urn:test:mark'/></query></iq>" % ident)
        last = self.mark()
        self.say(self.watch, "<iq type='get' id='%s' to='%s'><query xmlns='jabber:iq:last'/></iq>" % (last, self.watch.bare))
        return {ident, last}

    def arrival(self, due, door):
        return lambda: due <= door.marks, lambda: '%d marks (%s)' % (len(due - door.marks), self.kind)

    # -- looking ----------------------------------------------------------------------------------------------------------

    def take(self, serial):
        """What came to the c2s and to far.test since the last look."""
        return [(name, route) for name, door in (('c2s', self.c2s), ('far', self.far)) for route in door.log.pop(serial, [])]

    def seen(self, serial, ids):
        """actor -> lines, in an order that means something."""
        arrivals = collections.defaultdict(list)
        for door, route in self.take(serial):
            payload = route.elements()[0]
            session = self.c2s.sessions.get(payload.session('c2s')) if door == 'c2s' else None
            actor = session.label if session else door
            arrivals[actor].append((sender(payload), self.line(route, payload, session, ids)))
        if not self.sm.running():
            arrivals['server'].append(('', 'dies'))
        return {actor: in_order(lines) for actor, lines in arrivals.items()}

    def line(self, route, payload, session, ids):
        if payload.ns == NS_SESSION:
            sm = payload.session('sm')
            return '[%s%s%s%s]' % (payload.name + ' ' + payload.get('action', ''),
                                   '' if payload.session('failed') is None else ' failed',
                                   '' if sm is None else ' with sm', ' from %s' % route.get('from'))
        strange = ''
        if session is not None:
            if route.get('from') not in (session.domain.lower(), session.home):
                strange = '[from %s] ' % route.get('from')
            if payload.session('sm') not in (session.sm, None):
                strange += '[wrong sm] '
            if payload.get('from') is None and payload.get('to') == session.jid:
                payload.attrs.pop(('', 'to'))   # the server itself to its client: RFC 6120 section 8.1.1.1
        if session is None:
            strange = '[%s to %s%s] ' % (route.get('from'), route.get('to'), ' error ' + route.get('error') if route.get('error') else '')
        if payload.session('failed') is not None:
            strange += '[failed] '
        return strange + shown(payload, ids)


def together(runs):
    """Threads side by side; the first failure of one is raised."""
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for run in runs:
        if run.failure:
            raise run.failure
    return runs
