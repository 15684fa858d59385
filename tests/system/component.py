"""component.py - the component protocol from the other side: a fake c2s, and a XEP-0114 component.
Threads: one; every socket is read and written by Hub.until(), which waits for a condition and never sleeps.
Owns: a Hub owns its links and their sockets until close().
"""
import base64
import collections
import hashlib
import os
import re
import select
import socket
import time
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from xmltree import NS_CLIENT, NS_COMPONENT, NS_SASL, NS_SESSION, NS_STREAMS, Node, StreamReader, parse

SECONDS = float(os.environ.get('SYSTEM_TEST_SECONDS', '10'))  # a wait longer than this is a failure
HEADER = "<?xml version='1.0'?><stream:stream xmlns:stream='%s' version='1.0'%s>"


class Timeout(Exception):
    pass


class Closed(Exception):
    pass


def attr(value):
    return quoteattr(value, {"'": '&apos;'})


class Hub:
    """The links of one test program, pumped together so that none of them blocks the server."""

    def __init__(self):
        self.links = []

    def add(self, link):
        self.links.append(link)
        return link

    def close(self):
        for link in self.links[:]:
            link.close()

    def pump(self, seconds):
        """One round: everything that is ready now, or the first thing within seconds."""
        live = [l for l in self.links if l.sock is not None]
        readable = [l for l in live if not l.eof]
        writable = [l for l in live if l.out]
        if not readable and not writable:
            raise Closed('every link is closed')
        r, w, _ = select.select(readable, writable, [], max(0, seconds))
        for link in w:
            link.flush()
        for link in r:
            link.receive()

    def until(self, condition, what, seconds=None):
        """Pumps until condition() is true and returns its value; Timeout with `what` after the deadline."""
        deadline = time.monotonic() + (seconds or SECONDS)
        while True:
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout('still waiting for ' + (what() if callable(what) else what))
            self.pump(min(left, 0.5))

    def accept(self, listener, what):
        """The next connection of a listening socket."""
        deadline = time.monotonic() + SECONDS
        while True:
            r, _, _ = select.select([listener] + [l for l in self.links if l.sock and not l.eof], [], [],
                                    max(0, deadline - time.monotonic()))
            for link in r:
                if link is not listener:
                    link.receive()
            if listener in r:
                return listener.accept()[0]
            if time.monotonic() > deadline:
                raise Timeout('still waiting for ' + what)


class Link:
    """One socket and its XML stream. Subclasses get every top-level element in on_element()."""

    def __init__(self, hub, sock):
        self.sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hub = hub
        self.out = bytearray()
        self.eof = False          # the peer closed, or the stream broke
        self.broken = None        # what expat said of the peer's bytes
        self.elements = collections.deque()  # top-level elements that on_element() did not take
        self.reader = StreamReader()
        hub.add(self)

    def fileno(self):
        return self.sock.fileno()

    def send(self, data):
        self.out += data.encode() if isinstance(data, str) else data
        self.flush()

    def flush(self):
        try:
            while self.out and self.sock is not None:
                del self.out[:self.sock.send(self.out)]
        except BlockingIOError:
            pass
        except OSError:
            self.out.clear()
            self.eof = True

    def receive(self):
        try:
            data = self.sock.recv(262144)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)   # jabberd2's router waits for acknowledgements
        except BlockingIOError:
            return
        except OSError:
            data = b''
        if not data:
            self.eof = True
            return
        try:
            self.reader.feed(data)
        except expat.ExpatError as e:
            self.broken = '%s in %r' % (e, data[-400:])
            self.eof = True
        for node in self.reader.take():
            if not self.on_element(node):
                self.elements.append(node)

    def on_element(self, node):
        return False

    def restart(self):
        self.reader = StreamReader()

    def next(self, what):
        """The next top-level element that nobody took."""
        self.hub.until(lambda: self.elements or self.eof, what)
        if not self.elements:
            raise Closed('%s: the link was closed%s' % (what, ' (%s)' % self.broken if self.broken else ''))
        return self.elements.popleft()

    def header(self):
        self.hub.until(lambda: self.reader.header or self.eof, 'a stream header')
        if self.reader.header is None:
            raise Closed('closed before the stream header')
        return self.reader.header

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self in self.hub.links:
            self.hub.links.remove(self)


def digest_response(fields, user, password, uri, start='AUTHENTICATE'):
    """The response value of DIGEST-MD5 (RFC 2831) for algorithm md5-sess and qop auth."""
    def h(data):
        return hashlib.md5(data).digest()
    a1 = h(('%s:%s:%s' % (user, fields['realm'], password)).encode())
    a1 += (':%s:%s' % (fields['nonce'], fields['cnonce'])).encode()
    a2 = ('%s:%s' % (start, uri)).encode()
    text = ':'.join((h(a1).hex(), fields['nonce'], fields['nc'], fields['cnonce'], 'auth', h(a2).hex()))
    return h(text.encode()).hex()


def digest_fields(data):
    return {k.lower(): (q if q is not None else p)
            for k, q, p in ((m.group(1), m.group(2), m.group(3))
                            for m in re.finditer(r'([A-Za-z-]+)\s*=\s*(?:"([^"]*)"|([^,\s]+))', data))}


class Component(Link):
    """Dials a listening router (jabberd2's, or shardsm), authenticates and binds: what c2s and s2s do."""

    def __init__(self, hub, address, user='jabberd', password='secret'):
        super().__init__(hub, socket.create_connection(address, timeout=SECONDS))
        self.user, self.password = user, password
        self.names = []            # bound
        self.adverts = {}          # name -> online?
        self.marks = set()
        self.binds = collections.deque()
        self.inbox = collections.deque()  # routes that belong to no session

    def on_element(self, node):
        if node.ns != NS_COMPONENT:
            return False
        if node.name == 'presence':
            self.adverts[node.get('from')] = node.get('type') != 'unavailable'
        elif node.name in ('bind', 'unbind'):
            self.binds.append(node)
        elif node.name == 'route':
            self.on_route(node)
        else:
            return False
        return True

    def on_route(self, route):
        mark = mark_of(route.elements()[0]) if route.elements() else None
        if mark:
            self.marks.add(mark)
        elif not is_service_query(route):
            self.inbox.append(route)

    def open_stream(self):
        self.restart()
        self.send(HEADER % (NS_STREAMS, ''))
        self.header()
        return self.next('stream features')

    def authenticate(self):
        """None on success, else the name of the SASL failure condition."""
        features = self.open_stream()
        mechanisms = features.find('mechanisms', NS_SASL)
        if mechanisms is None or 'DIGEST-MD5' not in [m.text() for m in mechanisms.elements()]:
            raise AssertionError('DIGEST-MD5 is not offered: %s' % features)
        self.send("<auth xmlns='%s' mechanism='DIGEST-MD5'></auth>" % NS_SASL)
        node = self.next('a SASL challenge')
        if node.name != 'challenge':
            raise AssertionError('no challenge: %s' % node)
        fields = digest_fields(base64.b64decode(node.text()).decode())
        fields.setdefault('realm', 'jabberd-router')
        fields.update(cnonce=base64.b64encode(os.urandom(16)).decode(), nc='00000001')
        uri = 'jabberd-router/localhost'
        reply = 'username="%s",realm="%s",nonce="%s",cnonce="%s",nc=%s,qop=auth,digest-uri="%s",response=%s,charset=utf-8' % (
            self.user, fields['realm'], fields['nonce'], fields['cnonce'], fields['nc'], uri,
            digest_response(fields, self.user, self.password, uri))
        self.send("<response xmlns='%s'>%s</response>" % (NS_SASL, base64.b64encode(reply.encode()).decode()))
        node = self.next('the outcome of SASL')
        if node.name == 'challenge':   # rspauth in a round of its own
            self.send("<response xmlns='%s'/>" % NS_SASL)
            node = self.next('the outcome of SASL')
        elif node.name == 'success':
            fields = dict(fields, **digest_fields(base64.b64decode(node.text()).decode()))
            want = digest_response(fields, self.user, self.password, uri, '')
            if fields.get('rspauth') != want:
                raise AssertionError('the server did not prove that it knows the password')
        if node.name != 'success':
            return node.elements()[0].name if node.elements() else node.name
        self.open_stream()
        return None

    def bind(self, name, extra='', child=''):
        """0 on success, else the error code."""
        self.send('<bind xmlns=%s name=%s%s>%s</bind>' % (attr(NS_COMPONENT), attr(name), extra, child))
        self.hub.until(lambda: self.binds or self.eof, 'the answer to bind ' + name)
        if not self.binds:
            raise Closed('closed while binding ' + name)
        error = int(self.binds.popleft().get('error', '0'))
        if not error:
            self.names.append(name)
        return error

    def unbind(self, name):
        self.send('<unbind xmlns=%s name=%s/>' % (attr(NS_COMPONENT), attr(name)))
        self.hub.until(lambda: self.binds or self.eof, 'the answer to unbind ' + name)
        return self.binds.popleft() if self.binds else None

    def join(self, name, extra='', child=''):
        """Everything up to a bound name; raises when refused."""
        failure = self.authenticate()
        if failure:
            raise AssertionError('SASL failed: ' + failure)
        error = self.bind(name, extra, child)
        if error:
            raise AssertionError('bind %s: error %d' % (name, error))
        return self

    def online(self, name):
        self.hub.until(lambda: self.adverts.get(name), 'the advertisement of ' + name)

    def route(self, to, payload, source=None, extra=''):
        self.send('<route xmlns=%s to=%s from=%s%s>%s</route>' % (
            attr(NS_COMPONENT), attr(to), attr(source or self.names[0]), extra, payload))

    def next_route(self, what):
        self.hub.until(lambda: self.inbox or self.eof, what)
        if not self.inbox:
            raise Closed('%s: the link was closed' % what)
        return self.inbox.popleft()


def is_service_query(route):
    """The sm asks every component that comes online for its disco#info: no part of what these tests look at."""
    iq = route.elements()[0] if route.elements() else None
    return (iq is not None and iq.name == 'iq' and iq.session('c2s') is None and iq.get('type') == 'get'
            and iq.find('query', 'http://jabber.org/protocol/disco#info') is not None
            and (iq.get('to'), iq.get('from')) == (route.get('to'), route.get('from')))


def mark_of(payload):
    """The mark that a stanza carries, or None."""
    ident = payload.get('id', '')
    return ident if ident.startswith('mark-') else None


class Marks:
    """Proves that nothing more is on its way, without waiting for time to pass.

    Every session sends a message to every session's full JID and a request to every account, after all that it sent before.
    What a session sends to one recipient arrives in order (RFC 6120 section 10.1), so once all of these are there, or are
    answered, everything sent earlier has arrived, or never will. The second round follows what the first one caused.
    """
    ROUNDS = 2

    def __init__(self, hub):
        self.hub = hub
        self.count = 0

    def flush(self, sessions, accounts, components=()):
        """components: (Component, a JID that it serves)."""
        for _ in range(self.ROUNDS):
            due = []
            for source in sessions:
                for target in sessions:
                    due.append((target, self._mark(source, 'message', target.jid)))
                for account in accounts:
                    due.append((source, self._mark(source, 'iq', account)))
                for component, jid in components:
                    due.append((component, self._mark(source, 'message', jid)))
            self.hub.until(lambda due=due: all(i in t.marks for t, i in due) or not self._live(due),
                           lambda due=due: 'the marks that follow what was sent (%s)' % ', '.join(
                               getattr(t, 'jid', 'component') for t, i in due if i not in t.marks))
            if not self._live(due):
                raise Closed('a link was closed (%s)' % [getattr(t, 'c2s', t).broken for t, _ in due])

    @staticmethod
    def _live(due):
        return not any(getattr(t, 'c2s', t).eof for t, _ in due)

    def _mark(self, source, kind, jid):
        self.count += 1
        ident = 'mark-%d' % self.count
        kind_type = 'get' if kind == 'iq' else 'chat'
        source.send("<%s to=%s id='%s' type='%s'><mark xmlns='urn:test:mark'/></%s>" % (kind, attr(jid), ident, kind_type, kind))
        return ident


class Session:
    """A client's session as its c2s knows it. queue: stanzas and session actions for it, in order of arrival."""

    def __init__(self, c2s, jid, cid):
        self.c2s, self.jid, self.cid = c2s, jid, cid
        self.bare, _, self.resource = jid.partition('/')
        self.domain = self.bare.partition('@')[2]
        self.sm = None       # sc:sm
        self.home = None     # the name that its traffic goes to
        self.ended = None    # 'ended' or 'replaced', once that came
        self.queue = collections.deque()
        self.faults = []     # routes that no c2s could make sense of
        self.marks = set()   # ids of the marks that came by (see Marks)
        self.asked = 0

    def send(self, stanza, to=None):
        self.c2s.route(to or self.home, with_session(stanza, self.cid, self.sm))

    def start(self, answer=True):
        self.c2s.command('start', self.jid, self.cid, to=self.domain)
        return self.c2s.answer('start', self.cid) if answer else None

    def end(self):
        self.c2s.route(self.home, "<sc:session xmlns:sc='%s' sc:c2s=%s sc:sm=%s action='end'/>" % (
            NS_SESSION, attr(self.cid), attr(self.sm)))

    def ask(self, kind, payload, to=None):
        """The answer to a request; what comes before it is dropped."""
        self.asked += 1
        ident = 'q%d' % self.asked
        self.send("<iq type='%s' id='%s'%s>%s</iq>" % (kind, ident, '' if to is None else ' to=' + attr(to), payload))
        return self.answer(ident, payload)

    def answer(self, ident, payload=''):
        while True:
            got = self.next('the answer %s to %.300s' % (ident, payload))
            if got.get('id') == ident and got.get('type') in ('result', 'error'):
                return got

    def next(self, what):
        self.c2s.hub.until(lambda: self.queue or self.c2s.eof, lambda: '%s at %s' % (what, self.jid))
        if not self.queue:
            raise Closed('%s: the link of %s was closed' % (what, self.jid))
        return self.queue.popleft()


def with_session(stanza, cid, sm):
    """Puts the c2s's mark on a stanza's start tag."""
    m = re.match(r'\s*<([A-Za-z:]+)', stanza)
    mark = " xmlns:sc='%s' sc:c2s=%s sc:sm=%s" % (NS_SESSION, attr(cid), attr(sm or ''))
    if not re.match(r'\s*<[^>]*\sxmlns=', stanza):
        mark = " xmlns='%s'" % NS_CLIENT + mark
    return stanza[:m.end()] + mark + stanza[m.end():]


class FakeC2S(Component):
    """A c2s: session control, and stanzas sorted by session."""

    def __init__(self, hub, address, name='c2s', **kw):
        super().__init__(hub, address, **kw)
        self.name = name
        self.sessions = {}   # c2s id -> Session
        self.actions = collections.deque()  # answers to create, delete, start and failures
        self.count = 0

    def connect(self):
        return self.join(self.name)

    def new_id(self):
        self.count += 1
        return '%d' % (10 + self.count)

    def on_route(self, route):
        payload = route.elements()[0] if route.elements() else None
        if payload is None or is_service_query(route):
            return
        session = self.sessions.get(payload.session('c2s'))
        if payload.ns == NS_SESSION and payload.get('action') not in ('ended', 'replaced'):
            self.actions.append(route)
        elif payload.ns == NS_SESSION and session is not None and payload.session('sm') == session.sm:
            session.ended = payload.get('action')
            session.queue.append(payload)
        elif session is not None and payload.ns == NS_CLIENT:
            self.check(session, route, payload)
            mark = mark_of(payload)
            if mark:
                session.marks.add(mark)
            else:
                session.queue.append(payload)
        else:
            super().on_route(route)

    def check(self, session, route, payload):
        known = payload.session('sm') == session.sm and route.get('from') in (session.domain, session.home)
        if not known or route.get('error'):
            session.faults.append(str(route))
        if payload.session('failed') is not None:
            session.faults.append('a stanza with a session-namespace failed breaks the whole c2s: %s' % route)

    def command(self, action, target, cid=None, to=None, element='session', ident=None):
        cid = '' if cid is None else ' sc:c2s=' + attr(cid)
        self.route(to or target.partition('@')[2].partition('/')[0],
                   "<sc:%s xmlns:sc='%s'%s action='%s' target=%s id=%s/>" % (
                       element, NS_SESSION, cid, action, attr(target), attr(ident or 'q%d' % self.count)))

    def answer(self, action, cid=None):
        """The route that answers a start, create or delete."""
        def found():
            for route in self.actions:
                payload = route.elements()[0]
                if payload.get('action', '').startswith(action) and (cid is None or payload.session('c2s') == cid):
                    self.actions.remove(route)
                    return route
            return self.eof
        route = self.hub.until(found, 'the answer to %s' % action)
        if route is True:
            raise Closed('%s: the link was closed (%s)' % (action, self.broken))
        return route

    def create(self, bare):
        self.count += 1
        self.command('create', bare, '1')
        payload = self.answer('create').elements()[0]
        if payload.get('action') != 'created' or payload.session('failed'):
            raise AssertionError('create %s: %s' % (bare, payload))

    def delete(self, bare):
        self.command('delete', bare)
        self.answer('delete')

    def start(self, jid, cid=None):
        """A started session; AssertionError when it was refused."""
        session = Session(self, jid, cid or self.new_id())
        self.finish_start(session, session.start())
        return session

    def finish_start(self, session, route):
        payload = route.elements()[0]
        if payload.get('action') != 'started' or payload.session('failed') or not payload.session('sm'):
            raise AssertionError('start %s: %s' % (session.jid, route))
        session.sm = payload.session('sm')
        session.home = route.get('from')
        self.sessions[session.cid] = session
        early = [r for r in self.inbox if r.elements() and r.elements()[0].session('c2s') == session.cid]   # read together with the answer
        for r in early:
            self.inbox.remove(r)
            self.on_route(r)

    def end(self, session):
        session.end()
        self.hub.until(lambda: session.ended or self.eof, 'ended for ' + session.jid)
        if not session.ended:
            raise Closed('the link was closed')
        del self.sessions[session.cid]


class LegacyComponent(Link):
    """A XEP-0114 component: stanzas without routes, authenticated by a shared secret."""

    def __init__(self, hub, address, name, secret='secret', source=None):
        super().__init__(hub, socket.create_connection(address, timeout=SECONDS, source_address=source and (source, 0)))
        self.name, self.secret = name, secret
        self.inbox = self.elements

    def handshake(self):
        """True when the secret was accepted."""
        self.send("<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='%s' to=%s>" % (
            NS_STREAMS, attr(self.name)))
        ident = self.header().get('id')
        digest = hashlib.sha1((ident + self.secret).encode()).hexdigest()
        self.send('<handshake>%s</handshake>' % digest)
        node = self.next('the outcome of the handshake')
        return node.name == 'handshake'
