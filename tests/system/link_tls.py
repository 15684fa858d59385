#!/usr/bin/python3
"""link_tls.py - TLS on links, both ways: with jabberd2's router and c2s, and against peers that cheat, stall or send nonsense.
Threads: one, and a log reader for each server.
Owns: certificates, servers and sockets that it makes.
"""
import sys
sys.dont_write_bytecode = True
import os
import socket
import ssl
import subprocess
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'io'))
import clients
from peer import HEADER, NS_COMP, NS_SASL, NS_STREAMS, Closed, Peer
from servers import SECONDS, SHARDSM, Report, World, need_jabberd2, need_shardsm

DOMAIN = 'example.test'
NS_TLS = 'urn:ietf:params:xml:ns:xmpp-tls'
NS_ERRORS = 'urn:ietf:params:xml:ns:xmpp-streams'
STARTTLS = "<starttls xmlns='%s'/>" % NS_TLS


def openssl(*argv):
    subprocess.run(['openssl', *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Certificates:
    """One authority; certificates for names, each with its key in one PEM file."""

    def __init__(self, world):
        self.world = world
        self.ca = world.path('ca.pem')
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=authority',
                '-keyout', world.path('ca.key'), '-out', self.ca)

    def signed(self, name, san, days='2'):
        key, request, cert, ext = (self.world.path(name + end) for end in ('.key', '.csr', '.crt', '.ext'))
        self.world.write(name + '.ext', 'subjectAltName=%s\n' % san)
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=' + name, '-keyout', key, '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.ca, '-CAkey', self.world.path('ca.key'), '-CAcreateserial', '-days', days,
                '-extfile', ext, '-out', cert)
        return self.join(name, cert, key)

    def own(self, name, password=None):
        """Self-signed, as jabberd2's packages make one."""
        key, cert = self.world.path(name + '.key'), self.world.path(name + '.crt')
        openssl('req', '-x509', '-newkey', 'rsa:2048', '-days', '2', '-subj', '/CN=' + name, '-keyout', key, '-out', cert,
                *(['-passout', 'pass:' + password] if password else ['-nodes']))
        return self.join(name, cert, key)

    def join(self, name, *files):
        return self.world.write(name + '.pem', ''.join(open(f).read() for f in files))


def client_context(pem=None, ca=None, **limits):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        context.load_verify_locations(ca)
    if pem:
        context.load_cert_chain(pem)
    for name, value in limits.items():
        setattr(context, name, value)
    return context


class SecurePeer(Peer):
    """A Peer that can go over to TLS."""

    def _recv(self, timeout):
        self.sock.settimeout(max(timeout, 0.001))
        try:
            return self.sock.recv(262144)
        except (TimeoutError, ssl.SSLWantReadError):
            return None
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            return b''

    def features(self):
        """Its stream's header and features: the local names in them, and whether TLS is required."""
        self.send(HEADER)
        self.wait_header()
        features = self.next()
        assert features.is_(NS_STREAMS, 'features'), features.name
        starttls = [c for c in features.children if c.is_(NS_TLS, 'starttls')]
        return [c.name.split()[-1] for c in features.children], bool(starttls and starttls[0].children)

    def starttls(self, context):
        self.features()
        self.send(STARTTLS)
        answer = self.next()
        assert answer.is_(NS_TLS, 'proceed'), answer.raw
        self.secure(context)

    def secure(self, context, **kw):
        self.sock.settimeout(SECONDS)
        self.sock = context.wrap_socket(self.sock, **kw)
        self.restart()


def gone(peer):
    """Whatever still came; the other end has closed."""
    return peer.wait_closed(SECONDS)


class Listening:
    """A shardsm that is dialled, with TLS."""

    def __init__(self, world, keys, **kw):
        self.process, self.port = world.listening_shardsm([DOMAIN], in_listen=keys, **kw)

    def dial(self):
        return SecurePeer.dial(self.port)

    def works(self, context, name='c2s'):
        """A component logs in through TLS, binds, and hears of us."""
        peer = self.dial()
        peer.starttls(context)
        assert peer.login() == 'ok'
        assert peer.bind(name) is None
        while peer.advert() != '+' + DOMAIN:
            pass
        return peer


# --- jabberd2's own components ---------------------------------------------------------------------------------------------

async def large(party, port):
    """Stanzas of many reads of jabberd2's, both ways."""
    got = []
    await party.register('carol', port)
    one, two = await party.join('carol', 'one', port), await party.join('carol', 'two', port)
    two.add_event_handler('message', lambda m: got.append(len(m['body'])))
    sizes = [100, 1000, 1024, 1500, 3000, 20000, 40000]
    for size in sizes:
        one.send_message(mto='carol@%s/two' % DOMAIN, mbody='x' * size, mtype='chat')
    await party.until(lambda: got == sizes, 'large messages')


def everyday(report, ports):
    async def scenario(check):
        party = clients.Party(DOMAIN)
        try:
            await clients.everyday(party, ports, check)
            await check('large', lambda: large(party, ports[0]))
        finally:
            await party.leave()
    clients.run(report, scenario)


def real_c2s(report):
    """c2s dials shardsm with the certificate that both share, and is asked for it."""
    with World() as world:
        world.make_schema()
        pem = Certificates(world).own('server')
        sm = Listening(world, '<pemfile>%s</pemfile><require-tls/><verify>required</verify>' % pem)
        _, port = world.c2s(DOMAIN, sm.port, in_router='<pemfile>%s</pemfile>' % pem)
        report.case('jabberd2\'s c2s dials us: TLS', lambda: sm.process.wait_line(r'is in TLS \(TLSv1\.3, .*certificate of /CN=server\)'))
        everyday(report, [port])


def real_router(report):
    """shardsm and c2s dial jabberd2's router, all three with one certificate."""
    with World() as world:
        world.make_schema()
        pem = Certificates(world).own('server')
        part = '<pemfile>%s</pemfile>' % pem
        _, router = world.router(in_local=part)
        sm = world.shardsm(world.sm_config([DOMAIN], router=router, in_router=part + '<require-tls/><verify>chain</verify>'))
        sm.wait_line('ready for sessions')
        report.case('we dial jabberd2\'s router: TLS', lambda: sm.wait_line(r'\(router\) is in TLS \(TLSv1\.3, .*certificate of /CN=server\)'))
        _, port = world.c2s(DOMAIN, router, in_router=part)
        everyday(report, [port])


# --- who dials us ----------------------------------------------------------------------------------------------------------

def offered(world, certs):
    """Offered, not demanded, on a loopback address: both ways in are open, and say so."""
    sm = Listening(world, '<pemfile>%s</pemfile>' % certs.own('server'))
    assert sm.dial().features() == (['starttls', 'mechanisms'], False)
    assert sm.dial().login() == 'ok'
    sm.works(client_context())


def required(world, certs):
    """No login in clear, of either protocol; nor a second TLS in the first."""
    sm = Listening(world, '<pemfile>%s</pemfile><require-tls/>' % certs.own('server'))
    peer = sm.dial()
    assert peer.features() == (['starttls'], True)
    peer.send("<auth xmlns='%s' mechanism='DIGEST-MD5'/>" % NS_SASL)
    assert peer.next().child().is_(NS_SASL, 'encryption-required')
    gone(peer)
    peer = sm.dial()
    peer.send("<stream:stream xmlns:stream='%s' xmlns='jabber:component:accept' to='comp.test'>" % NS_STREAMS)
    assert peer.next().child().is_(NS_ERRORS, 'policy-violation')
    gone(peer)
    peer = sm.dial()
    peer.starttls(client_context())
    assert peer.features() == (['mechanisms'], False)
    peer.send(STARTTLS)
    assert peer.next().is_(NS_TLS, 'failure')
    gone(peer)
    sm.works(client_context())


def not_offered(world, _certs):
    """Without a pemfile TLS is refused by name, not by silence."""
    sm = Listening(world, '')
    peer = sm.dial()
    assert peer.features() == (['mechanisms'], False)
    peer.send(STARTTLS)
    assert peer.next().is_(NS_TLS, 'failure')
    gone(peer)


def large_and_many(world, certs):
    """Frames of many records, many frames in a record, both directions at once: every byte arrives, in order."""
    sm = Listening(world, '<pemfile>%s</pemfile>' % certs.own('server'))
    one, two = sm.works(client_context(), 'one.test'), sm.works(client_context(), 'two.test')
    bodies = ['%d ' % i + 'x' * size for i, size in enumerate([1, 16300, 16384, 16385, 40000, 200000, 900000] + [50] * 2000)]
    frames = "".join("<route xmlns='%s' to='two.test' from='one.test'><message xmlns='jabber:client' to='b@two.test' from='a@one.test'>"
                     "<body>%s</body></message></route>" % (NS_COMP, body) for body in bodies).encode()
    sent, got = 0, []
    one.sock.setblocking(False)
    deadline = time.monotonic() + SECONDS * 3
    while len(got) < len(bodies):
        assert time.monotonic() < deadline, 'only %d of %d came' % (len(got), len(bodies))
        try:
            sent += one.sock.send(frames[sent:sent + 65536]) if sent < len(frames) else 0
        except ssl.SSLWantWriteError:
            pass
        try:
            while two._feed(0.001):
                pass
        finally:
            got += [e.child().child().text for e in two.done if e.is_(NS_COMP, 'route') and e.child().name.endswith(' message')]
            two.done.clear()
    assert got == bodies


def versions(world, certs):
    """TLS 1.2 passes, with the ciphers that the config names; nothing older does."""
    sm = Listening(world, '<pemfile>%s</pemfile><ciphers>ECDHE-RSA-AES256-GCM-SHA384</ciphers>' % certs.own('server'))
    twelve = client_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    assert sm.works(twelve).sock.cipher()[0] == 'ECDHE-RSA-AES256-GCM-SHA384'
    twelve.set_ciphers('ECDHE-RSA-AES128-GCM-SHA256')
    handshake_fails(sm, twelve)
    old = client_context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers('ALL:@SECLEVEL=0')
    handshake_fails(sm, old)


def handshake_fails(sm, context):
    peer = sm.dial()
    peer.features()
    peer.send(STARTTLS)
    assert peer.next().is_(NS_TLS, 'proceed')
    try:
        peer.secure(context)
    except (ssl.SSLError, ConnectionResetError):
        return
    # In TLS 1.3 the client hears only after its own part is done that its certificate was not good.
    try:
        peer.send(HEADER)
    except (ssl.SSLError, OSError):
        return
    assert gone(peer) == [] and peer.header is None


def client_certificates(world, certs):
    """cachain: who dials us shows a certificate that the authority signed; another one's, or none, is turned away."""
    pem, good = certs.signed('server', 'DNS:server.test'), certs.signed('c2s', 'DNS:c2s.test')
    stranger = certs.own('stranger')
    sm = Listening(world, '<pemfile>%s</pemfile><cachain>%s</cachain>' % (pem, certs.ca))
    sm.works(client_context(good, certs.ca), 'good.test')
    handshake_fails(sm, client_context(stranger))
    sm.process.wait_line('its certificate was not accepted')
    handshake_fails(sm, client_context())
    sm.process.wait_line('no TLS: peer did not return a certificate')
    sm.works(client_context(good, certs.ca), 'still.test')
    lax = Listening(world, '<pemfile>%s</pemfile><cachain>%s</cachain><verify>optional</verify>' % (pem, certs.ca), name='lax')
    lax.works(client_context(), 'none.test')
    handshake_fails(lax, client_context(stranger))


def injected(world, certs):
    """What comes in clear behind <starttls/> is never read as if it had come in TLS: the link ends."""
    sm = Listening(world, '<pemfile>%s</pemfile>' % certs.own('server'))
    for more in (HEADER, "<auth xmlns='%s' mechanism='DIGEST-MD5'/>" % NS_SASL, ' ', "<presence/>", '\x16\x03\x01'):
        peer = sm.dial()
        peer.features()
        peer.send(STARTTLS + more)
        answers = gone(peer)
        assert [a.child().name for a in answers if a.children] == [NS_ERRORS + ' policy-violation'], [a.raw for a in answers]
        sm.process.wait_line('bytes in clear came where TLS has to begin')
    # In a segment of its own it meets the handshake, which it is no part of.
    peer = sm.dial()
    peer.features()
    peer.send(STARTTLS)
    assert peer.next().is_(NS_TLS, 'proceed')
    peer.send(HEADER)
    try:
        gone(peer)
    except Exception as e:      # an alert, which is no XML
        assert 'not well-formed' in str(e), e
    assert peer.header is not None and not peer.done
    sm.works(client_context())


def bad_handshakes(world, certs):
    """Nonsense, a cut, a record too large, an alert: each costs its own connection."""
    sm = Listening(world, '<pemfile>%s</pemfile>' % certs.own('server'))
    for nonsense in (b'\0' * 300, b'\x16\x03\x01\xff\xff' + b'a' * 70000, b'\x15\x03\x03\x00\x02\x02\x28', b'GET / HTTP/1.0\r\n\r\n',
                     b'\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03', os.urandom(5000), b''):
        peer = sm.dial()
        peer.features()
        peer.send(STARTTLS)
        assert peer.next().is_(NS_TLS, 'proceed')
        try:
            peer.send(nonsense)
            peer.sock.shutdown(socket.SHUT_WR)
            while peer.sock.recv(65536):
                pass
        except OSError:
            pass
    # A record that was changed on its way, on a link that is online.
    peer = sm.works(client_context())
    raw = socket.socket(fileno=os.dup(peer.sock.fileno()))
    raw.sendall(b'\x17\x03\x03\x00\x20' + os.urandom(32))
    sm.process.wait_line(r'disconnect \(Protocol error')
    raw.close()
    sm.works(client_context(), 'after.test')


def stalls(world, certs):
    """Handshakes that stop half way hold nobody up, and are ended."""
    sm = Listening(world, '<pemfile>%s</pemfile>' % certs.own('server'))
    stalled = []
    for _ in range(30):
        peer = sm.dial()
        peer.features()
        peer.send(STARTTLS)
        assert peer.next().is_(NS_TLS, 'proceed')
        peer.send(b'\x16\x03\x01\x02\x00\x01')
        stalled.append(peer)
    sm.works(client_context())
    for peer in stalled:
        try:
            assert peer.wait_closed(SECONDS + 15) == []
        except Exception as e:
            assert 'not well-formed' in str(e), e   # an alert at most: no stream error in clear in the middle of TLS
    assert stalled[0].closed


def close_notify(world, certs):
    """The end is said in TLS too, in both directions."""
    sm = Listening(world, '<pemfile>%s</pemfile>' % certs.own('server'))
    context = client_context()
    context.options &= ~getattr(ssl, 'OP_IGNORE_UNEXPECTED_EOF', 0)
    peer = sm.works(context)
    peer.send('</stream:stream>')
    ended = False
    peer.sock.settimeout(SECONDS)
    data = b''
    while not ended:
        more = peer.sock.recv(65536)    # a cut raises ssl.SSLEOFError
        ended = not more
        data += more
    assert data.endswith(b'</stream:stream>'), data
    peer.sock.unwrap()


# --- the router that we dial -----------------------------------------------------------------------------------------------

class Router:
    """A router that one sm dials, with a certificate of its choice."""

    def __init__(self, pem=None, ca=None):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.listener.settimeout(SECONDS)
        self.port = self.listener.getsockname()[1]
        self.context = None
        if pem:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(pem)
        if ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(ca)

    def accept(self, starttls=True):
        peer = SecurePeer(self.listener.accept()[0])
        peer.wait_header()
        peer.send(HEADER.replace("version='1.0'>", "version='1.0' id='1'>"))
        peer.send("<stream:features xmlns:stream='%s'>%s<mechanisms xmlns='%s'><mechanism>DIGEST-MD5</mechanism></mechanisms></stream:features>"
                  % (NS_STREAMS, STARTTLS if starttls else '', NS_SASL))
        return peer

    def handshake(self, peer, proceed="<proceed xmlns='%s'/>" % NS_TLS):
        asked = peer.next()
        assert asked.is_(NS_TLS, 'starttls'), asked.raw
        peer.send(proceed)
        peer.secure(self.context, server_side=True)

    def login(self):
        peer = self.accept()
        self.handshake(peer)
        assert peer.accept_login()
        assert peer.next().is_(NS_COMP, 'bind')
        return peer


def dialling(world, router, keys, retry=(1, 1)):
    return world.shardsm(world.sm_config([DOMAIN], router=router.port, in_router=keys, retry=retry))


def trusted_router(world, certs):
    """cachain: chain and name. The certificate is ours to the authority's: the router asks for it, and gets it."""
    ours, theirs = certs.signed('sm', 'DNS:sm.test'), certs.signed('router', 'DNS:router.test,IP:127.0.0.1')
    router = Router(theirs, certs.ca)
    keys = '<pemfile>%s</pemfile><cachain>%s</cachain>' % (ours, certs.ca)
    for more in ('', '<certificate-name>router.test</certificate-name>', '<verify>chain</verify>'):
        sm = dialling(world, router, keys + more)
        assert router.login().sock.getpeercert()['subject'] == ((('commonName', 'sm'),),)
        sm.stop()


def strange_router(world, certs):
    """Another authority's, another name's, an expired one: no login goes there."""
    ours = certs.signed('sm', 'DNS:sm.test')
    for pem, more, why in (
            (certs.own('stranger'), '<cachain>%s</cachain>' % certs.ca, 'self-signed certificate'),
            (certs.own('stranger'), '<verify>chain</verify>', 'self-signed certificate'),
            (certs.signed('other', 'DNS:other.test'), '<cachain>%s</cachain>' % certs.ca, 'IP address mismatch'),
            (certs.signed('other', 'DNS:other.test'), '<cachain>%s</cachain><certificate-name>router.test</certificate-name>' % certs.ca,
             'hostname mismatch'),
            (certs.signed('late', 'IP:127.0.0.1', '-1'), '<cachain>%s</cachain>' % certs.ca, 'certificate has expired')):
        router = Router(pem)
        sm = dialling(world, router, '<pemfile>%s</pemfile>' % ours + more)
        peer = router.accept()
        try:
            router.handshake(peer)
            got = gone(peer)
            assert got == [] and peer.header is None, 'it went on'
        except (ssl.SSLError, ConnectionResetError):
            pass
        sm.wait_line('its certificate was not accepted: ' + why)
        router.listener.close()
        assert sm.wait() == 1


def shared_certificate(world, certs):
    """One server.pem for all components of a site, no authority: it is trusted, and nobody else's is."""
    pem = certs.own('server')
    router = Router(pem)
    sm = dialling(world, router, '<pemfile>%s</pemfile><verify>chain</verify>' % pem)
    router.login()
    sm.stop()


def as_jabberd2(world, certs):
    """<pemfile> alone, on a loopback address: any certificate; and a router without TLS is warned of, and spoken to."""
    keys = '<pemfile>%s</pemfile>' % certs.own('sm')
    router = Router(certs.own('router'))
    sm = dialling(world, router, keys)
    router.login()
    sm.wait_line(r'certificate of /CN=router \(not verified\)')
    sm.stop()
    router = Router()
    sm = dialling(world, router, keys)
    peer = router.accept(starttls=False)
    assert peer.next().is_(NS_SASL, 'auth')
    sm.wait_line('offers no TLS: the link is in clear')
    sm.stop()


def stripped(world, certs):
    """require-tls: a router, or whoever is in between, that hides STARTTLS gets no login, nor does one that refuses it."""
    keys = '<pemfile>%s</pemfile><require-tls/>' % certs.own('sm')
    router = Router()
    sm = dialling(world, router, keys)
    peer = router.accept(starttls=False)
    assert gone(peer) == []
    sm.wait_line('offers no TLS: give it a <pemfile>')
    peer = router.accept()
    assert peer.next().is_(NS_TLS, 'starttls')
    peer.send("<failure xmlns='%s'/>" % NS_TLS)
    assert gone(peer) == []
    router.listener.close()
    assert sm.wait() == 1


def injected_by_router(world, certs):
    """What comes in clear behind <proceed/> is not taken for the router's."""
    pem = certs.own('server')
    for more in (HEADER, "<stream:features xmlns:stream='%s'/>" % NS_STREAMS, '\n'):
        router = Router(pem)
        sm = dialling(world, router, '<pemfile>%s</pemfile><verify>chain</verify>' % pem)
        peer = router.accept()
        assert peer.next().is_(NS_TLS, 'starttls')
        peer.send("<proceed xmlns='%s'/>" % NS_TLS + more)
        assert [e.child().name for e in gone(peer) if e.children] == [NS_ERRORS + ' policy-violation']
        sm.stop()


# --- the configuration -----------------------------------------------------------------------------------------------------

def check(world, config, status, *said):
    done = subprocess.run([SHARDSM, '-c', config, '--check'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == status, (done.returncode, done.stdout)
    for text in said:
        assert text in done.stdout, (text, done.stdout)
    return done.stdout


def bad_files(world, certs):
    """Every file that cannot be used is an error at start, with its line and what would be right; passwords are in none of them."""
    pem, locked = certs.own('server'), certs.own('locked', 'hush-hush')
    nothing = world.write('empty.pem', '')
    only_cert = world.write('only.pem', open(world.path('server.crt')).read())
    mixed = certs.join('mixed', world.path('server.crt'), world.path('ca.key'))
    for keys, why in (
            ('<pemfile>/nowhere.pem</pemfile>', 'No such file'),
            ('<pemfile>%s</pemfile>' % nothing, 'no certificate can be had'),
            ('<pemfile>%s</pemfile>' % only_cert, 'no private key can be had'),
            ('<pemfile>%s</pemfile>' % mixed, 'no private key can be had'),
            ('<pemfile>%s</pemfile>' % locked, 'no private key can be had'),
            ('<pemfile>%s</pemfile><private_key_password>wrong-one</private_key_password>' % locked, 'that <private_key_password> opens'),
            ('<pemfile>%s</pemfile><cachain>%s</cachain>' % (pem, nothing), 'no certificates can be had'),
            ('<pemfile>%s</pemfile><ciphers>NONSENSE</ciphers>' % pem, 'names no cipher'),
            ('<pemfile>%s</pemfile><verify>perhaps</verify>' % pem, '"perhaps" is none of'),
            ('<require-tls/>', 'no TLS without a <pemfile>'),
            ('<cachain>%s</cachain>' % certs.ca, 'no TLS without a <pemfile>')):
        for part in ({'listen': 0, 'in_listen': keys}, {'router': 1, 'in_router': keys}):
            said = check(world, world.sm_config([DOMAIN], **part), 2, why)
            assert '.xml:' in said and 'wrong-one' not in said, said
    said = check(world, world.sm_config([DOMAIN], listen=0, in_listen='<pemfile>%s</pemfile><private_key_password>hush-hush'
                                        '</private_key_password>' % locked), 0, 'TLS if the other side has it')
    assert 'hush' not in said


def network(world, certs):
    """A port for the network has TLS, and demands it, unless it is said that it need not."""
    pem = '<pemfile>%s</pemfile>' % certs.own('server')

    def config(ip, keys):
        path = world.sm_config([DOMAIN], listen=0, in_listen=keys)
        with open(path) as f:
            text = f.read()
        return world.write('sm.xml', text.replace('<listen><ip>127.0.0.1<', '<listen><ip>%s<' % ip))
    for ip in ('0.0.0.0', '192.0.2.1', '::', '2001:db8::1', '::ffff:192.0.2.1'):
        check(world, config(ip, ''), 2, '%s is reached from the network' % ip, '<allow-unencrypted-network/>')
        check(world, config(ip, pem), 0, 'listen: %s, port 0, TLS required' % ip)
        check(world, config(ip, pem + '<allow-unencrypted-network/>'), 0, 'TLS if the other side has it')
        check(world, config(ip, '<allow-unencrypted-network/>'), 0)
    for ip in ('127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1'):
        check(world, config(ip, ''), 0)
        check(world, config(ip, pem + '<require-tls/>'), 0, 'TLS required')


def renewed(world, certs):
    """A certificate that was renewed is in force after SIGHUP, for who dials from then on; a broken one is not, and is told of."""
    import signal
    first, second = certs.own('first'), certs.own('second')
    live = certs.join('live', first)
    sm = Listening(world, '<pemfile>%s</pemfile>' % live)

    def shown(name):
        peer = sm.works(client_context(), name)
        return peer, peer.sock.getpeercert(True)
    old, before = shown('one.test')
    certs.join('live', second)
    after = len(sm.process.lines)
    sm.process.kill(signal.SIGHUP)
    sm.process.wait_line('read again, in force', after)
    _, now = shown('two.test')
    assert before == ssl.PEM_cert_to_DER_cert(open(world.path('first.crt')).read())
    assert now == ssl.PEM_cert_to_DER_cert(open(world.path('second.crt')).read())
    world.write('live.pem', 'broken')
    after = len(sm.process.lines)
    sm.process.kill(signal.SIGHUP)
    sm.process.wait_line('no certificate can be had', after)
    sm.process.wait_line('stays in force', after)
    assert shown('three.test')[1] == now
    old.send("<throttle xmlns='%s'/>" % NS_COMP)      # what was made from the first one goes on
    old.answer('throttle')


def alone(test):
    with World() as world:
        test(world, Certificates(world))


CASES = (offered, required, not_offered, large_and_many, versions, client_certificates, injected, bad_handshakes, stalls, close_notify,
         trusted_router, strange_router, shared_certificate, as_jabberd2, stripped, injected_by_router, bad_files, network, renewed)


def main():
    need_shardsm()
    report = Report()
    for test in CASES:
        if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]:
            report.case(test.__name__.replace('_', ' '), alone, test)
    if len(sys.argv) < 2 or 'real' in sys.argv[1:]:
        need_jabberd2('router', 'c2s')
        real_c2s(report)
        real_router(report)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
