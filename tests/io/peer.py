"""peer.py - the other end of a component link, written from the wire: for tests that talk to the server or play a router.

One Peer is one TCP connection. Elements are cut with expat, so that what the server sends is checked by a real parser.
"""
import base64
import hashlib
import os
import re
import select
import socket
import time
import xml.parsers.expat

NS_STREAMS = 'http://etherx.jabber.org/streams'
NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
NS_COMP = 'http://jabberd.jabberstudio.org/ns/component/1.0'
NS_SESS = 'http://jabberd.jabberstudio.org/ns/session/1.0'
HEADER = "<?xml version='1.0'?><stream:stream xmlns:stream='%s' version='1.0'>" % NS_STREAMS
TIMEOUT = 20


class Closed(Exception):
    """The other end closed the connection."""


class Element:
    """A parsed element: name is 'namespace local', attributes likewise; raw is its bytes as they came."""

    def __init__(self, name, attrs):
        self.name, self.attrs, self.children, self.text, self.raw = name, attrs, [], '', b''

    def get(self, name, default=None):
        return self.attrs.get(name, default)

    def is_(self, ns, local):
        return self.name == (ns + ' ' + local if ns else local)

    def child(self, i=0):
        return self.children[i] if i < len(self.children) else None


class Peer:
    def __init__(self, sock):
        self.sock, self.header, self.closed = sock, None, False
        self.restart()

    @classmethod
    def dial(cls, port, host='127.0.0.1'):
        return cls(socket.create_connection((host, port), TIMEOUT))

    def restart(self):
        """A new stream on the same connection."""
        self.parser = xml.parsers.expat.ParserCreate('UTF-8', ' ')
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.open, self.done, self.fed, self.base = [], [], b'', 0
        self.header, self.stream_ended = None, False

    def _start(self, name, attrs):
        e = Element(name, attrs)
        e.at = self.parser.CurrentByteIndex
        if not self.open and self.header is None:
            self.header = e
        elif len(self.open) > 1:
            self.open[-1].children.append(e)
        self.open.append(e)

    def _end(self, _name):
        e = self.open.pop()
        if len(self.open) == 1:
            end = self.parser.CurrentByteIndex  # of an empty-element tag, behind it
            if self.fed.count(b'<', e.at, end) > 1 or self.fed[end - 2:end] != b'/>':
                end = self.fed.index(b'>', end) + 1
            e.raw = self.fed[e.at:end]
            self.done.append(e)
        elif not self.open:
            self.stream_ended = True

    def _text(self, text):
        if len(self.open) > 1:
            self.open[-1].text += text

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def _recv(self, timeout):
        """What came; None: nothing in that time; empty: the end."""
        if not select.select([self.sock], [], [], max(0, timeout))[0]:
            return None
        try:
            return self.sock.recv(262144)
        except ConnectionResetError:
            return b''

    def _feed(self, timeout):
        data = self._recv(timeout)
        if data is None:
            return False
        if not data:
            self.closed = True
            raise Closed()
        self.fed += data
        self.parser.Parse(data)
        return True

    def next(self, timeout=TIMEOUT):
        """The next top-level element. Raises TimeoutError or Closed."""
        end = time.monotonic() + timeout
        while not self.done:
            if time.monotonic() > end:
                raise TimeoutError('nothing came; so far: %r' % self.fed[-300:])
            self._feed(end - time.monotonic())
        return self.done.pop(0)

    def wait_header(self, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        while self.header is None:
            if time.monotonic() > end:
                raise TimeoutError('no stream header')
            self._feed(end - time.monotonic())
        return self.header

    def wait_closed(self, timeout=TIMEOUT):
        """Reads to the end. Returns the elements that still came."""
        end = time.monotonic() + timeout
        try:
            while time.monotonic() < end:
                self._feed(end - time.monotonic())
        except Closed:
            rest, self.done = self.done, []
            return rest
        raise TimeoutError('not closed')

    def close(self):
        self.sock.close()

    # The client's side.

    def login(self, user='jabberd', password='secret', host='jabberd-router'):
        """Header, features, DIGEST-MD5, restart. Returns 'ok' or the name of the failure."""
        self.send(HEADER)
        self.wait_header()
        features = self.next()
        assert features.is_(NS_STREAMS, 'features'), features.name
        names = [m.text for c in features.children if c.is_(NS_SASL, 'mechanisms') for m in c.children]
        assert 'DIGEST-MD5' in names, names
        self.send("<auth xmlns='%s' mechanism='DIGEST-MD5'></auth>" % NS_SASL)
        challenge = self.next()
        if challenge.is_(NS_SASL, 'failure'):
            return challenge.child().name
        text = base64.b64decode(challenge.text).decode()
        answer, want = digest_answer(text, user, password, 'jabberd-router/' + host)
        self.send("<response xmlns='%s'>%s</response>" % (NS_SASL, base64.b64encode(answer.encode()).decode()))
        result = self.next()
        if result.is_(NS_SASL, 'failure'):
            return result.child().name if result.child() else 'failure'
        assert result.is_(NS_SASL, 'success'), result.name
        got = base64.b64decode(result.text).decode()
        assert got == 'rspauth=' + want, (got, want)
        self.restart()
        self.send(HEADER)
        self.wait_header()
        assert self.next().is_(NS_STREAMS, 'features')
        return 'ok'

    def bind(self, name, multi=False, inner=''):
        """Returns the error code, or None. Advertisements that come before the answer stay in done."""
        self.send("<bind xmlns='%s'%s name='%s'>%s</bind>" % (NS_COMP, " multi='to'" if multi else '', name, inner))
        return self.answer('bind').get('error')

    def unbind(self, name):
        self.send("<unbind xmlns='%s' name='%s'/>" % (NS_COMP, name))
        return self.answer('unbind').get('error')

    def answer(self, local, timeout=TIMEOUT):
        """The next element of that name in the component namespace; others wait for next()."""
        end, skipped = time.monotonic() + timeout, []
        while True:
            e = self.next(end - time.monotonic())
            if e.is_(NS_COMP, local):
                self.done = skipped + self.done
                return e
            skipped.append(e)

    def advert(self, timeout=TIMEOUT):
        """The next advertisement as '+name' or '-name'."""
        e = self.answer('presence', timeout)
        return ('-' if e.get('type') == 'unavailable' else '+') + e.get('from')

    # The router's side.

    def accept_login(self, users=None):
        """Serves one login. Returns True when the password was right."""
        self.wait_header()
        self.send(HEADER.replace("version='1.0'>", "version='1.0' id='%s'>" % os.urandom(8).hex()))
        self.send("<stream:features xmlns:stream='%s'><mechanisms xmlns='%s'><mechanism>DIGEST-MD5</mechanism>"
                  "</mechanisms></stream:features>" % (NS_STREAMS, NS_SASL))
        auth = self.next()
        assert auth.is_(NS_SASL, 'auth') and auth.get('mechanism') == 'DIGEST-MD5', auth.raw
        nonce = base64.b64encode(os.urandom(16)).decode()
        text = 'realm="jabberd-router", nonce="%s", qop="auth", charset=utf-8, algorithm=md5-sess' % nonce
        self.send("<challenge xmlns='%s'>%s</challenge>" % (NS_SASL, base64.b64encode(text.encode()).decode()))
        response = self.next()
        assert response.is_(NS_SASL, 'response'), response.raw
        f = fields(base64.b64decode(response.text).decode())
        password = (users or {'jabberd': 'secret'}).get(f['username'], None)
        if password is None or f['nonce'] != nonce or f['response'] != digest(f, password, 'AUTHENTICATE'):
            self.send("<failure xmlns='%s'><not-authorized/></failure>" % NS_SASL)
            return False
        rspauth = base64.b64encode(('rspauth=' + digest(f, password, '')).encode()).decode()
        self.restart()
        self.send("<success xmlns='%s'>%s</success>" % (NS_SASL, rspauth))
        self.wait_header()
        self.send(HEADER.replace("version='1.0'>", "version='1.0' id='%s'>" % os.urandom(8).hex()))
        self.send("<stream:features xmlns:stream='%s'></stream:features>" % NS_STREAMS)
        return True


def fields(text):
    return {k: v[1:-1] if v.startswith('"') else v for k, v in re.findall(r'([a-z-]+)=("(?:[^"\\]|\\.)*"|[^,"\s]+)', text)}


def digest(f, password, verb):
    """RFC 2831, section 2.1.2.1; verb AUTHENTICATE for the response, empty for rspauth."""
    def h(data):
        return hashlib.md5(data.encode() if isinstance(data, str) else data)
    a1 = h(f['username'] + ':' + f['realm'] + ':' + password).digest() + (':' + f['nonce'] + ':' + f['cnonce']).encode()
    if 'authzid' in f:
        a1 += (':' + f['authzid']).encode()
    a2 = verb + ':' + f['digest-uri']
    return h(h(a1).hexdigest() + ':' + ':'.join((f['nonce'], f['nc'], f['cnonce'], f['qop'], h(a2).hexdigest()))).hexdigest()


def digest_answer(challenge, user, password, uri):
    """Returns the response and the rspauth that must come back."""
    c = fields(challenge)
    f = {'username': user, 'realm': c['realm'], 'nonce': c['nonce'], 'cnonce': base64.b64encode(os.urandom(12)).decode(),
         'nc': '00000001', 'qop': 'auth', 'digest-uri': uri}
    text = ('username="%(username)s", realm="%(realm)s", nonce="%(nonce)s", cnonce="%(cnonce)s", nc=%(nc)s, qop=auth, '
            'digest-uri="%(digest-uri)s", charset=utf-8, response=' % f) + digest(f, password, 'AUTHENTICATE')
    return text, digest(f, password, '')
