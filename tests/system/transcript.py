"""transcript.py - plays one transcript: a test that reads like an XMPP session.
Threads: one.
Owns: a Player owns the links that it opens.

A file is one case on one server; {d} is a domain of its own, so its users are fresh. Lines:
  # text                    a comment; the first one is the case's title
  user alice bob            creates accounts
  session alice/a bob/b     starts sessions (session@two ...: on the link two; alice/a:PBX7 gives the c2s id)
  online alice/a=5          starts a session, sends presence with that priority, forgets what came of it
  friends alice bob         makes both subscribed to each other, forgets what came of it
  follows alice bob         makes alice subscribed to bob's presence
  alice/a > XML             alice/a sends a stanza
  alice/a < XML             the next stanza that alice/a gets (see Matcher for the wildcards; {me}: its bare or full JID)
  alice/a <* XML            lines in a row with <*: in any order
  alice/a <? XML            may have come by now, before or after what comes next, or not
  alice/a nothing           nothing more came for alice/a; `nothing` alone: for nobody
  drop                      forgets everything that came so far
  alice/a end | ended | replaced | forget    ends it; the server ended it; it was replaced; the client's side forgets it
  link two                  one more c2s; `link two close` cuts it
  component c x.{d} [default]   a component that serves x.{d}
  c >> XML, c << XML        a whole route on a link (c2s: the first link)
  restart | crash           SIGTERM or SIGKILL, and a new server on the same database
  stop                      SIGTERM: the server must exit with 0
A line that begins with white space continues the one before. At the end nothing unexpected may have been left anywhere.
"""
import re
import time

from component import FakeC2S, Hub, Marks, Session, attr
from xmltree import NS_COMPONENT, NS_SESSION, Matcher, Node, parse

ERROR = re.compile(r'\{err:([a-z]+):([a-z-]+)\}')
NAMES = re.compile(r'\{(d|c2s:[^}]+|sm:[^}]+)\}')
STAMP = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z')
DELAY = ('urn:xmpp:delay', 'delay')


class Failure(AssertionError):
    pass


def read_lines(path):
    """(number, text) of each logical line; the title."""
    lines, title = [], None
    with open(path, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if line.startswith('#'):
                title = title or line.strip('# ')
            elif line[:1].isspace() and line.strip() and lines:
                before = lines[-1][1]
                lines[-1] = (lines[-1][0], before + ('' if before.endswith('>') else ' ') + line.strip())
            elif line.strip():
                lines.append((number, line.strip()))
    return lines, title


class Player:
    def __init__(self, server, domain):
        """server: .address() to dial, .restart(sig) and .stop() for the files that ask for it."""
        self.server, self.domain = server, domain
        self.hub = Hub()
        self.links = {}       # label -> Component
        self.served = {}      # label -> a JID that a component serves
        self.sessions = {}    # alice/a -> Session
        self.users = []
        self.matcher = Matcher()
        self.marks = Marks(self.hub)
        self.unordered = []   # a run of <* lines: (actor, expected, line)

    def close(self):
        self.hub.close()

    # -- the file ---------------------------------------------------------------------------------------------------

    def play(self, path):
        lines, _ = read_lines(path)
        self.link('c2s')
        number = 0
        try:
            for number, line in lines:
                self.line(number, line)
            self.settle()
            number = 'end'
            self.nothing_for_all()
        except Failure as e:
            raise Failure('line %s: %s' % (number, e)) from None
        except Exception as e:
            raise type(e)('line %s: %s' % (number, e)) from e

    def line(self, number, line):
        words = line.split()
        actor, verb = words[0], words[1] if len(words) > 1 else ''
        if verb != '<*' or (self.unordered and self.unordered[0][0] != actor):
            self.settle()
        if verb in ('>', '<', '<*', '<?', '>>', '<<'):
            self.stanza(actor, verb, line.split(verb, 1)[1].strip(), number)
        elif actor in self.sessions:
            self.session_verb(self.sessions[actor], actor, verb)
        else:
            method = getattr(self, 'do_' + actor.partition('@')[0], None)
            if method is None:
                raise Failure('no such line: ' + line)
            method(actor.partition('@')[2] or 'c2s', [self.expand(w) for w in words[1:]])

    def expand(self, text):
        def name(m):
            kind, _, who = m.group(1).partition(':')
            if kind == 'd':
                return self.domain
            session = self.sessions[who] if who in self.sessions else self.matcher.env['session ' + who]
            return session.cid if kind == 'c2s' else session.sm
        text = NAMES.sub(name, text).replace("{S}", NS_SESSION)
        return ERROR.sub(r"<error type='\1'><\2 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", text)

    def fill(self, text):
        """What is sent: remembered values filled in."""
        text = self.expand(text)
        for name, value in self.matcher.env.items():
            if isinstance(value, str):
                text = text.replace('{%s}' % name, value)
        return text

    # -- stanzas ----------------------------------------------------------------------------------------------------

    def stanza(self, actor, verb, text, number):
        if verb == '>':
            self.speak(actor, self.fill(text))
        elif verb == '>>':
            route = self.fill(text)
            self.links[actor].send(route.replace('<route ', "<route xmlns='%s' " % NS_COMPONENT, 1))
        elif verb == '<<':
            self.match_route(actor, self.expand(text))
        elif verb == '<*':
            self.unordered.append((actor, parse(self.expand(text)), number))
        else:
            self.match(actor, parse(self.expand(text)), verb == '<?')

    def speak(self, actor, stanza):
        if actor in self.sessions:
            self.sessions[actor].send(stanza)
            return
        link = self.links[actor]   # a component: routed by the stanza's own addressee
        to = re.search(r"\sto=['\"]([^'\"]*)", stanza).group(1).partition('/')[0].rpartition('@')[2]
        if ' xmlns=' not in stanza.split('>')[0]:
            stanza = re.sub(r'^<([a-z]+)', r"<\1 xmlns='jabber:client'", stanza)
        link.route(to, stanza)

    def take(self, actor, what):
        if actor in self.sessions:
            return self.stanza_of(actor, self.sessions[actor].next(what))
        return self.stanza_of(actor, self.links[actor].next_route(what))

    def stanza_of(self, actor, got):
        """What the client behind c2s, or the component's user, sees of what came."""
        return strip_session(got) if actor in self.sessions else got.elements()[0]

    def match(self, actor, want, optional):
        if optional:
            self.flush()
            queue = self.sessions[actor].queue if actor in self.sessions else self.links[actor].inbox
            for got in queue:
                if self.differs(actor, want, self.stanza_of(actor, got)) is None:
                    queue.remove(got)
                    break
            return
        got = self.take(actor, str(want))
        reason = self.differs(actor, want, got)
        if reason:
            raise Failure('%s\n#   expected %s\n#   got      %s' % (reason, want, got))

    def differs(self, actor, want, got):
        session = self.sessions.get(actor)
        self.matcher.env['me'] = [session.bare, session.jid] if session else ['']
        for node in walk(got):
            if (node.ns, node.name) == DELAY and not STAMP.fullmatch(node.get('stamp', '')):
                return 'a delay with a bad stamp: %s' % node
        return self.matcher.differs(want, got)

    def settle(self):
        """The end of a run of <* lines: each must have come, in any order."""
        run, self.unordered = self.unordered, []
        left = list(run)
        for _ in run:
            actor = left[0][0]
            got = self.take(actor, ' or '.join(str(w) for _, w, _ in left))
            reasons = []
            for entry in left:
                reason = self.differs(actor, entry[1], got)
                if reason is None:
                    left.remove(entry)
                    break
                reasons.append(reason)
            else:
                raise Failure('not expected: %s\n#   (%s)' % (got, '; '.join(reasons)))

    def match_route(self, label, text):
        link = self.links[label]
        want = parse(text.replace('<route ', "<route xmlns='%s' " % NS_COMPONENT, 1))
        queues = [q for q in (getattr(link, 'actions', None), link.inbox) if q is not None]
        self.hub.until(lambda: any(queues) or link.eof, str(want))
        queue = next((q for q in queues if q), None)
        if queue is None:
            raise Failure('the link %s was closed instead of %s' % (label, want))
        got = queue.popleft()
        reason = self.matcher.differs(want, got)
        if reason:
            raise Failure('%s\n#   expected %s\n#   got      %s' % (reason, want, got))

    # -- proof of silence -------------------------------------------------------------------------------------------

    def flush(self):
        live = [s for s in self.sessions.values() if not s.c2s.eof and not s.ended]
        components = [(self.links[n], jid) for n, jid in self.served.items() if not self.links[n].eof]
        self.marks.flush(live, ['%s@%s' % (u, self.domain) for u in self.users], components)

    def nothing_for_all(self):
        self.flush()
        for label, session in self.sessions.items():
            self.no_more(label, session)
        for label, link in self.links.items():
            for queue in (getattr(link, 'actions', ()), link.inbox):
                if queue:
                    raise Failure('%s got %s' % (label, queue[0]))

    def no_more(self, label, session):
        if session.faults:
            raise Failure('%s got %s' % (label, session.faults[0]))
        if session.queue:
            raise Failure('%s got %s' % (label, strip_session(session.queue[0])))

    # -- lines ------------------------------------------------------------------------------------------------------

    def session_verb(self, session, label, verb):
        if verb == 'nothing':
            self.flush()
            self.no_more(label, session)
        elif verb == 'end':
            session.end()
            self.hub.until(lambda: session.ended or session.c2s.eof, 'ended for ' + label)
            self.last_word(session, label, 'ended')
        elif verb in ('ended', 'replaced'):
            self.hub.until(lambda: session.ended or session.c2s.eof, '%s for %s' % (verb, label))
            self.last_word(session, label, verb)
        elif verb == 'forget':
            self.remember(label)
        else:
            raise Failure('no such line: %s %s' % (label, verb))

    def last_word(self, session, label, verb):
        if session.ended != verb:
            raise Failure('%s: action %s instead of %s' % (label, session.ended, verb))
        action = session.queue.pop()
        own_end = parse("<presence type='unavailable' from='{any}' to='{any}'/>")
        for got in map(strip_session, session.queue):   # its own unavailable presence may be reflected to it
            if got.get('from') != session.jid or self.matcher.differs(own_end, got):
                raise Failure('%s got %s before %s' % (label, got, action))
        self.remember(label)

    def remember(self, label):
        session = self.sessions.pop(label)
        session.c2s.sessions.pop(session.cid, None)
        self.matcher.env['session ' + label] = session

    def do_user(self, link, names):
        for name in names:
            self.links[link].create('%s@%s' % (name, self.domain))
            self.users.append(name)

    def jid(self, label):
        user, _, resource = label.partition('/')
        return '%s@%s/%s' % (user, self.domain, resource)

    def do_session(self, link, labels):
        for label in labels:
            label, _, cid = label.partition(':')
            self.sessions[label] = self.links[link].start(self.jid(label), cid or None)

    def do_online(self, link, labels):
        for label in labels:
            label, _, priority = label.partition('=')
            self.do_session(link, [label])
            body = '<priority>%s</priority>' % priority if priority else ''
            self.sessions[label].send('<presence>%s</presence>' % body)
        self.do_drop(link, ())

    def do_drop(self, _link, _words):
        self.flush()
        for label, session in self.sessions.items():
            if session.faults:
                raise Failure('%s got %s' % (label, session.faults[0]))
            session.queue.clear()
        for link in self.links.values():
            link.inbox.clear()

    def do_nothing(self, _link, _words):
        self.nothing_for_all()

    def one_of(self, user):
        return next(s for label, s in self.sessions.items() if label.split('/')[0] == user)

    def do_follows(self, link, words):
        follower, followed = self.one_of(words[0]), self.one_of(words[1])
        follower.send("<presence type='subscribe' to=%s/>" % attr(followed.bare))
        self.flush()
        followed.send("<presence type='subscribed' to=%s/>" % attr(follower.bare))
        self.do_drop(link, ())

    def do_friends(self, link, words):
        self.do_follows(link, words)
        self.do_follows(link, words[::-1])

    def link(self, label):
        name = 'c2s-%s' % self.domain if label == 'c2s' else '%s-%s' % (label, self.domain)
        c2s = FakeC2S(self.hub, self.server.address(), name)
        self.links[label] = c2s
        c2s.connect()
        c2s.online(self.domain)

    def do_link(self, _link, words):
        if words[1:] == ['close']:
            gone = self.links.pop(words[0])
            self.served.pop(words[0], None)
            gone.close()
            for label in [l for l, s in self.sessions.items() if s.c2s is gone]:
                self.remember(label)
        else:
            self.link(words[0])

    def do_component(self, _link, words):
        label, name = words[0], words[1]
        component = FakeC2S(self.hub, self.server.address(), name)
        component.join(name, child='<default/>' if words[2:] == ['default'] else '')
        self.links[label] = component
        self.served[label] = 'mark@' + ('elsewhere.test' if words[2:] == ['default'] else name)

    def do_advert(self, link, words):
        """advert NAME [gone]: link's view of a name."""
        gone = words[1:] == ['gone']
        self.hub.until(lambda: self.links[link].adverts.get(words[0]) is (not gone), 'the advertisement of ' + words[0])

    def do_restart(self, _link, _words, crash=False):
        for label in list(self.sessions):
            self.remember(label)
        labels = [l for l in self.links if l not in self.served]
        for link in list(self.links.values()):
            link.close()
        self.links.clear()
        self.server.restart(crash)
        for label in labels:
            self.link(label)

    def do_crash(self, link, words):
        self.do_restart(link, words, True)

    def do_stop(self, _link, _words):
        """Sessions get `ended`, links are closed, the status is 0."""
        self.server.terminate()
        for label, session in list(self.sessions.items()):
            self.hub.until(lambda s=session: s.ended or s.c2s.eof, 'ended for ' + label)
            self.last_word(session, label, 'ended')
        self.server.restart(False)
        for label in [l for l in self.links if l not in self.served]:
            self.links[label].close()
            self.link(label)


def walk(node):
    yield node
    for child in node.elements():
        yield from walk(child)


def strip_session(node):
    """What the client behind c2s would get."""
    return Node(node.ns, node.name, {k: v for k, v in node.attrs.items() if k[0] != NS_SESSION},
                node.children)
