"""play.py - plays a scenario against one side.
Threads: its side's.
Owns: the scenario's sessions, from their start to the scenario's end.
"""
import re

from component import attr
from side import DOMAINS, FAR
from xmltree import NS_CLIENT, NS_COMPONENT

LATER = {'rows', 'compare', 'alone', 'unread'}   # read by others
SHARED = {'admin', 'mark', 'watch'}   # one for all scenarios
NODE = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)@(?=(?:%s)\b)' % '|'.join(re.escape(d) for d in DOMAINS + (FAR,)), re.I)


class Trouble(AssertionError):
    pass


class Player:
    def __init__(self, side, scenario):
        self.side, self.scenario = side, scenario
        self.ids = scenario.ids()
        self.sessions = {}     # label -> Session
        self.accounts = []     # asked when waiting
        self.far = False
        self.seen = []         # (step, actor -> lines)

    def name(self, text):
        """This scenario's own users."""
        return NODE.sub(lambda m: m.group(0) if m.group(1).lower() in SHARED
                        else '%s.%d@' % (m.group(1), self.scenario.serial), text)

    def jid(self, label):
        who, slash, resource = label.partition('/')
        return self.name(who if '@' in who else '%s@%s' % (who, DOMAINS[0])) + slash + resource

    def play(self, steps):
        for step in steps:
            try:
                yield from self.step(step)
            except Exception as e:
                raise Trouble('line %d, %s: %s' % (step.number, self.side.kind, e or type(e).__name__)) from None

    def finish(self):
        """Ends the sessions; what comes of it is nobody's."""
        for session in list(self.sessions.values()):
            yield from self.side.end(session)
        yield from self.settle()
        for session in self.sessions.values():
            self.side.c2s.sessions.pop(session.cid, None)
        self.drop()

    def step(self, step):
        words = step.words()
        verb = words[1] if len(words) > 1 else ''
        if verb in ('>', '~>'):
            self.speak(words[0], self.name(step.text.split('>', 1)[1].strip()))
            yield from self.look(step, verb == '>')
        elif words[0] not in LATER:
            method = getattr(self, 'do_' + words[0], None)
            if method is None:
                raise Trouble('no such line')
            yield from method(step, words[1:])

    def look(self, step, compared=True):
        """The consequences of a step."""
        yield from self.settle()
        if compared:
            self.seen.append((step, self.side.seen(self.serial(), self.ids)))
        else:
            self.drop()
        if self.side.dead():
            self.sessions.clear()
            self.side.revive()

    def settle(self):
        if not self.side.dead():
            yield from self.side.settle(self.sessions.values(), self.accounts, self.far)

    def serial(self):
        return self.scenario.serial

    def drop(self):
        self.side.take(self.serial())

    def speak(self, actor, stanza):
        if actor == 'far':
            self.far = True
            stanza = stanza.replace('{query}', self.side.far.query or '')
            to = re.search(r'''\sto=['"]([^'"]*)''', stanza).group(1).partition('/')[0].rpartition('@')[2]
            if not re.match(r'<[^>]*\sxmlns=', stanza):
                stanza = re.sub(r'^<([A-Za-z]+)', r"<\1 xmlns='%s'" % NS_CLIENT, stanza)
            self.side.far.route(to, stanza, FAR)
        elif actor == 'c2s':
            self.side.c2s.claimed.update((cid, self.serial()) for cid in re.findall(r"sc:c2s='([^{']+)'", stanza))
            self.side.c2s.send(self.marked(stanza).replace('<route ', "<route xmlns='%s' " % NS_COMPONENT, 1))
        else:
            versions = self.side.c2s.versions
            stanza = re.sub(r'\{ver:([^}]+)\}', lambda m: attr(versions[self.sessions[m.group(1)].cid])[1:-1], stanza)
            self.side.say(self.sessions[actor], stanza)

    def marked(self, route):
        """{c2s:alice/a} and {sm:alice/a} in a raw route."""
        for label, session in self.sessions.items():
            route = route.replace('{c2s:%s}' % label, session.cid).replace('{sm:%s}' % label, session.sm or '')
        return route

    # -- lines ------------------------------------------------------------------------------------------------------------

    def do_users(self, _step, names):
        for name in names:
            yield from self.side.ask(self.serial(), 'create', self.jid(name))
            self.accounts.append(self.jid(name))
        self.drop()

    def begin(self, labels):
        for label in labels:
            label, _, cid = label.partition(':')
            self.sessions[label] = yield from self.side.begin(self.serial(), label, self.jid(label), cid or None)

    def do_session(self, _step, labels):
        yield from self.begin(labels)
        for label in labels:
            if not self.sessions[label.partition(':')[0]].live:
                raise Trouble('%s was refused' % label)
        yield from self.settle()
        self.drop()

    def do_online(self, step, labels):
        for label in labels:
            label, _, priority = label.partition('=')
            yield from self.do_session(step, [label])
            self.side.say(self.sessions[label.partition(':')[0]], '<presence>%s</presence>' % ('<priority>%s</priority>' % priority if priority else ''))
        yield from self.settle()
        self.drop()

    def one_of(self, user):
        return next(s for label, s in self.sessions.items() if label.partition('/')[0] == user)

    def do_follows(self, _step, words):
        follower, followed = self.one_of(words[0]), self.one_of(words[1])
        self.side.say(follower, "<presence type='subscribe' to=%s/>" % attr(followed.bare))
        yield from self.settle()
        self.side.say(followed, "<presence type='subscribed' to=%s/>" % attr(follower.bare))
        yield from self.settle()
        self.drop()

    def do_friends(self, step, words):
        yield from self.do_follows(step, words)
        yield from self.do_follows(step, words[::-1])

    def do_start(self, step, labels):
        yield from self.begin(labels)
        yield from self.look(step)

    def do_end(self, step, labels):
        for label in labels:
            yield from self.side.end(self.sessions[label])
        yield from self.look(step)

    def do_create(self, step, names):
        for name in names:
            yield from self.side.ask(self.serial(), 'create', self.jid(name))
            self.accounts.append(self.jid(name))
        yield from self.look(step)

    def do_delete(self, step, names):
        for name in names:
            yield from self.side.ask(self.serial(), 'delete', self.jid(name))
        yield from self.look(step)

    def do_command(self, step, words):
        """command ACTION TARGET|- DOMAIN|- CID: no answer is waited for."""
        action, target, domain = words[:3]
        self.side.c2s.claimed[words[3]] = self.serial()
        self.side.control(self.serial(), action, None if target == '-' else self.jid(target), words[3],
                          DOMAINS[0] if domain == '-' else domain)
        yield from self.look(step)

    def do_unmarked(self, _step, names):
        for name in names:
            self.accounts.remove(self.jid(name))
        yield from ()


def rows_of(scenario):
    """The owners, beside its own users, whose rows belong to a scenario."""
    return {w for s in scenario.steps if s.text.startswith('rows ') for w in s.words()[1:]}
