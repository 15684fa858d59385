"""crash_chains.py - what takes several steps in the crash loop: subscriptions in both directions, accounts that come and go, the message of the day.
Threads: none; the loop calls.
Owns: nothing; the sessions are the round's.
"""
from component import Session, attr
from crash_promises import Promise, text_of

ROSTER = "<query xmlns='jabber:iq:roster'>%s</query>"
NONE = ('none', '')
# What both rosters say of each other, (subscription, ask), after each step; the last is the first.
STATES = ((NONE, NONE), (('none', 'subscribe'), NONE), (('to', ''), ('from', '')), (('to', ''), ('from', 'subscribe')), (('both', ''), ('both', '')),
          (('from', ''), ('to', '')), (NONE, NONE))
STEPS = ((0, 'subscribe'), (1, 'subscribed'), (1, 'subscribe'), (0, 'subscribed'), (0, 'unsubscribe'), (1, 'unsubscribe'))   # who says what
ASKED = (1, 3)   # states that a request waits in: whoever is asked must have seen it before the next step


def ask(session, body, kind, ident):
    session.send("<iq type='%s' id='%s'>%s</iq>" % (kind, ident, body))


def try_start(c2s, jid):
    """The session; None when it was refused."""
    session = Session(c2s, jid, c2s.new_id())
    route = session.start()
    if route.elements()[0].get('action') != 'started':
        return None
    c2s.finish_start(session, route)
    return session


class Pair:
    """Two accounts that subscribe to each other and take it back, step by step. What a roster push told is there after a crash."""

    def __init__(self, number, domain):
        self.jids = ['%s%d@%s' % (who, number, domain) for who in 'fg']
        self.step = 0                  # reached, or under way when not all of it was told
        self.told = [True, True]       # of that step
        self.asked = True
        self.count = 0

    def open(self, hub, c2s, marks):
        """Both come online; their rosters must be what was told."""
        self.sessions = [c2s.start(jid + '/r') for jid in self.jids]
        seen = [self.roster(i) for i in (0, 1)]
        for i, told in enumerate(self.told):
            may = STATES[self.step if told else self.step - 1][i], STATES[self.step][i]
            assert seen[i] in may, '%s is %s for %s; of %s and %s the push of the latter was %s' % (
                self.jids[1 - i], seen[i], self.jids[i], *may, 'seen' if told else 'not seen')
        for session in self.sessions:
            session.send('<presence/>')
        for step in {self.step, max(0, self.step - 1)} - set(ASKED):
            if tuple(seen) == STATES[step]:
                self.step, self.told, self.asked = step % len(STEPS), [True, True], True
                break
        else:
            self.heal(marks)
        for session in self.sessions:
            session.queue.clear()

    def roster(self, i):
        ask(self.sessions[i], ROSTER % '', 'get', 'pair')
        return self.pick(self.sessions[i].answer('pair').find('query'), i) or NONE

    def pick(self, query, i):
        for item in query.elements():
            if item.get('jid') == self.jids[1 - i]:
                return item.get('subscription', 'none'), item.get('ask', '')
        return None

    def heal(self, marks):
        """Half of a step was done: both begin anew."""
        for i, session in enumerate(self.sessions):
            ask(session, ROSTER % ("<item jid=%s subscription='remove'/>" % attr(self.jids[1 - i])), 'set', 'heal')
            session.answer('heal')
            marks.flush(self.sessions, [])
        self.step, self.told, self.asked = 0, [True, True], True

    def hear(self):
        for i, session in enumerate(self.sessions):
            for node in session.queue:
                query = node.find('query', 'jabber:iq:roster') if node.name == 'iq' and node.get('type') == 'set' else None
                if query is not None and self.pick(query, i) == STATES[self.step][i]:
                    self.told[i] = True
                elif node.name == 'presence' and node.get('type') == 'subscribe':
                    self.asked = True
            session.queue.clear()

    def go(self):
        """The next step, when all of this one has arrived."""
        self.hear()
        if all(self.told) and self.asked:
            self.step %= len(STEPS)
            who, kind = STEPS[self.step]
            before = STATES[self.step]
            self.step += 1
            self.told = [a == b for a, b in zip(before, STATES[self.step])]
            self.asked = self.step not in ASKED
            self.sessions[who].send("<presence type='%s' to=%s/>" % (kind, attr(self.jids[1 - who])))
            self.count += 1

    def killed(self):
        self.hear()


class Mortal:
    """An account with all that an account can have, which is then deleted: all of it is there, or nothing, and nothing once that was told."""
    HAS = (("<vCard xmlns='vcard-temp'><FN>x</FN></vCard>", "<vCard xmlns='vcard-temp'/>"),
           ("<query xmlns='jabber:iq:private'><x xmlns='urn:x'>y</x></query>", "<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>"),
           (ROSTER % "<item jid='x@far.test' name='y'/>", ROSTER % ''),
           ("<query xmlns='jabber:iq:privacy'><list name='x'><item action='allow' order='1'/></list></query>",
            "<query xmlns='jabber:iq:privacy'><list name='x'/></query>"))

    def __init__(self, jid):
        self.jid = jid
        self.deleting = self.deleted = False

    def make(self, c2s):
        c2s.create(self.jid)
        session = c2s.start(self.jid + '/r')
        for number, (write, _) in enumerate(self.HAS):
            ask(session, write, 'set', 'set%d' % number)
        for number in range(len(self.HAS)):
            assert session.answer('set%d' % number).get('type') == 'result'
        c2s.end(session)

    def delete(self, c2s):
        self.deleting = True
        c2s.command('delete', self.jid)

    def hear(self, c2s):
        for route in c2s.actions:
            payload = route.elements()[0]
            if payload.get('action') == 'deleted' and payload.get('target') == self.jid:
                self.deleted = True

    def check(self, c2s):
        session = try_start(c2s, self.jid + '/r')
        assert session or self.deleting, '%s was made, and is not there' % self.jid
        assert not (session and self.deleted), '%s was deleted, and is there' % self.jid
        wanted = session is not None
        if not wanted:   # under the same name
            c2s.create(self.jid)
            session = c2s.start(self.jid + '/r')
        for number, (write, read) in enumerate(self.HAS):
            ask(session, read, 'get', 'get%d' % number)
            got = session.answer('get%d' % number)
            there = got.get('type') == 'result' and ("'x'" in str(got) or '"x"' in str(got) or '>x<' in str(got) or '>y<' in str(got) or 'x@far.test' in str(got))
            assert there == wanted, '%s is %s, and of it this is %s: %s' % (self.jid, 'there' if wanted else 'gone', 'there' if there else 'gone', write)
        c2s.end(session)
        c2s.delete(self.jid)


class Day:
    """The message of the day: its operator gets a copy once it is stored; who comes for the first time gets the last one."""

    def __init__(self, domain):
        self.domain = domain
        self.promise = Promise('message of the day', '', '', lambda node: text_of(node, 'body'))
        self.due = {}

    def open(self, c2s):
        self.session = c2s.start('admin@%s/r' % self.domain)
        self.session.send('<presence/>')

    def check(self, c2s, marks, number):
        bare = 'new%d@%s' % (number, self.domain)
        c2s.create(bare)
        reader = c2s.start(bare + '/r')
        reader.send('<presence/>')
        marks.flush([reader], [bare])
        self.promise.check(next((n for n in reader.queue if n.name == 'message'), None))
        c2s.end(reader)
        c2s.delete(bare)

    def set(self, word):
        self.due['day-' + word] = self.promise.set(word)
        self.session.send("<message id='day-%s' to='%s/announce'><body>%s</body></message>" % (word, self.domain, word))

    def hear(self):
        for node in self.session.queue:
            if node.name == 'message' and node.get('type') != 'error' and node.get('id') in self.due:
                self.promise.acknowledged = max(self.promise.acknowledged, self.due[node.get('id')])
        self.session.queue.clear()

    def killed(self):
        self.hear()
        self.due.clear()
