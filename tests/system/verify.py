#!/usr/bin/python3
"""verify.py - the module verify: messages are held back until a code that was mailed comes back; and the mail server is every kind of bad.
Threads: one for each connection to the fake mail server.
Owns: the servers that it starts.

usage: verify.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import base64
import email
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import engines
import servers
from module_options import StandIn
from servers import SBIN, SECONDS, SHARDSM, Report, World, free_port, need_shardsm
from transcript import Player, strip_session

servers.CHAINS['in-sess'] = servers.CHAINS['in-sess'].replace('announce ', 'announce verify ')
servers.CHAINS['user-load'] += ' verify'
servers.CHAINS['user-delete'] += ' verify'
CODE = re.compile(r'^code: ([a-z2-9]{10})$', re.M)


class Relay:
    """A mail server. moods: what each connection meets, the last one for ever; see _talk(). heard: the lines of each; mails: what it took."""

    def __init__(self, *moods, tls=None, certificate=None):
        self.moods = list(moods) or ['accept']
        self.tls, self.certificate = tls, certificate
        self.mails, self.heard, self.open = [], [], []
        self.changed = threading.Condition()
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()
        for sock in self.open:
            sock.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                mood = self.moods.pop(0) if len(self.moods) > 1 else self.moods[0]
                self.open.append(sock)
                self.heard.append([])
                lines = self.heard[-1]
            threading.Thread(target=self._meet, args=(sock, mood, lines), daemon=True).start()

    def _meet(self, sock, mood, lines):
        try:
            self._talk(sock, mood, lines)
        except OSError:
            pass
        if mood != 'silent':
            sock.close()
        with self.changed:
            lines.append('[closed]')
            self.changed.notify_all()

    def _talk(self, sock, mood, lines):
        def say(text):
            sock.sendall(text.encode() + b'\r\n')

        def hear():
            line = stream.readline()
            if not line:
                raise OSError('closed')
            assert line.endswith(b'\r\n'), line
            with self.changed:
                lines.append(line[:-2].decode('ascii'))
                self.changed.notify_all()
            return lines[-1]

        def encrypted():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            return context.wrap_socket(sock, server_side=True)

        offers = '250-relay.test\r\n250-SIZE 100000\r\n'
        if self.tls == 'tls':
            sock = encrypted()
        secure = self.tls == 'tls'
        stream = sock.makefile('rb')
        if mood == 'silent':
            stream.read()
            return
        if mood == 'close':
            return
        if mood == 'garbage':
            sock.sendall(bytes(range(256)) * 4000)
            stream.read()
            return
        if mood == 'endless':
            while True:
                sock.sendall(b'220-' + b'x' * 500 + b'\r\n')
        say('554 no mail here' if mood == 'greeting' else '220 relay.test ESMTP')
        while True:
            verb = hear().upper()
            if verb == 'QUIT':
                if mood != 'no goodbye':
                    say('221 bye')
                return
            if verb.startswith('EHLO'):
                say(offers + ('250 AUTH PLAIN' if secure else '250 STARTTLS' if self.tls == 'starttls' else '250 8BITMIME'))
            elif verb == 'STARTTLS':
                say('220 go ahead')
                sock = encrypted()
                stream, secure = sock.makefile('rb'), True
            elif verb == 'AUTH PLAIN':
                say('334 ')
                hear()
                say('535 5.7.8 no' if mood == 'stranger' else '235 welcome')
            elif verb.startswith('RCPT') and mood == 'refuse':
                say('550 5.1.1 no such \x07user <b>')
            elif verb.startswith('RCPT') and mood == 'defer':
                say('451 4.7.1 greylisted, come again')
            elif verb == 'DATA' and mood == 'full':
                say('452 4.3.1 disk full')
            elif verb == 'DATA':
                say('354 go ahead')
                text = []
                while (line := hear()) != '.':
                    text.append(line[1:] if line.startswith('.') else line)
                if mood == 'drop':
                    return
                if mood == 'late':
                    say('554 5.6.0 it looks like spam')
                    continue
                with self.changed:
                    self.mails.append(('\n'.join(text), lines))
                    self.changed.notify_all()
                say('250 taken')
                if mood == 'no goodbye':
                    continue
            else:
                say('250 fine')

    def wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, SECONDS):
                raise AssertionError('%s never came: %s' % (what, self.heard))
            return condition()

    def mail(self, n=1):
        """The n-th mail that it took, and what was said before."""
        self.wait(lambda: len(self.mails) >= n, 'mail %d' % n)
        return self.mails[n - 1]

    def code(self, n=1):
        return CODE.search(self.mail(n)[0]).group(1)


class Case:
    """A server with the module in its chains, a mail server, and users; alice is not verified, bob is."""

    def __init__(self, *moods, settings='', smtp='', relay=True, start=True, tls=None, timeout=60):
        self.world = World()
        self.smtp, self.timeout = smtp.replace('{dir}', self.world.dir), timeout
        certificate = self.certify() if tls else None
        self.relay = Relay(*moods, tls=tls, certificate=certificate) if relay else None
        self.port = self.relay.port if relay else free_port()
        self.settings = settings
        self.count = 0
        self.player = None
        if start:
            self.start()
            self.play('user alice bob\n')
            self.put_row('bob', 'bob@x.test', "'Zz'", 1)
            self.sign_in()

    def extra(self):
        return ('<user><verify><smtp><host>127.0.0.1</host><port>%d</port><timeout>%d</timeout><retry><attempts>3</attempts>'
                '<sleep>1</sleep></retry>%s</smtp>%s</verify></user>' % (self.port, self.timeout, self.smtp, self.settings))

    def certify(self):
        """ca.pem, for 127.0.0.1; and it with its key."""
        key, ca, both = (self.world.path(n) for n in ('key.pem', 'ca.pem', 'both.pem'))
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                        '-subj', '/CN=relay.test', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', ca],
                       check=True, stderr=subprocess.DEVNULL)
        with open(both, 'w') as out:
            for path in (key, ca):
                with open(path) as f:
                    out.write(f.read())
        return both

    def start(self):
        self.early = []
        self.process, self.port_in = self.world.listening_shardsm(['t.test'], extra=self.extra())
        self.player = Player(self, 't.test')
        self.player.link('c2s')

    def restart(self):
        self.player.close()
        assert self.process.stop() == 0
        self.world.processes.remove(self.process)
        self.start()

    def sign_in(self):
        self.play('session alice/a bob/b\n')
        for actor in ('alice/a', 'bob/b'):
            self.player.speak(actor, '<presence/>')
            self.until(actor, lambda node: node.name == 'presence')

    def address(self):
        return ('127.0.0.1', self.port_in)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.player:
            self.player.close()
        self.world.close()
        if self.relay:
            self.relay.close()

    def play(self, text):
        for number, line in enumerate(text.strip().splitlines(), 1):
            self.player.line(number, line.strip())

    def sql(self, statement):
        """Rows; all of their cells are texts."""
        server = engines.instead_of(self.world.db)
        if server is not None:
            lines = server.ask(statement.replace('"', '`' if server.DRIVER == 'mysql' else '"') + ';').splitlines()
            return [tuple(line.split('\t' if server.DRIVER == 'mysql' else '|')) for line in lines]
        with sqlite3.connect(self.world.db, timeout=5) as db:
            rows = db.execute(statement).fetchall()
        db.close()
        return [tuple(str(cell) for cell in row) for row in rows]

    def row(self, owner='alice@t.test'):
        return self.sql("SELECT email, code, state FROM verify WHERE \"collection-owner\" = '%s'" % owner)

    def put_row(self, owner, address, code, state):
        # where rows are numbered by the writer, any number does
        self.sql("INSERT INTO verify (\"collection-owner\", \"object-sequence\", email, code, state) "
                 "VALUES ('%s@t.test', %d, '%s', %s, %d)" % (owner, 10 ** 6 + len(self.player.sessions), address, code, state))

    def until(self, actor, wanted):
        """What comes for an actor, up to the first that `wanted` says true to; that one too."""
        got = []
        while not got or not wanted(got[-1]):
            got.append(strip_session(self.player.sessions[actor].next('what is waited for')))
        return got

    def sends(self, stanza, actor='alice/a', to='t.test', at=None):
        """What comes back for a stanza: everything until a request behind it is answered. at, to: or arrives there."""
        self.count += 1
        ident = 'probe-%d' % self.count
        if stanza:
            self.player.speak(actor, stanza)
        self.player.speak(actor, "<iq type='get' to='%s' id='%s'><query xmlns='jabber:iq:version'/></iq>" % (to, ident))
        return self.until(at or actor, lambda node: node.get('id') == ident)[:-1]

    def says(self, text, attrs="to='t.test'", actor='alice/a'):
        """Subject and body of the message that answers a message. What became of the mail may be known already: it is told() next."""
        got = self.sends('<message %s><body>%s</body></message>' % (attrs, text), actor)
        self.early += [m for m in got[1:] if parts(m)[0] == 'Email verification failed']
        assert len(got) == 1 + len(self.early) and got[0].name == 'message' and got[0].get('from') == 't.test', [str(g) for g in got]
        return parts(got[0])

    def passes(self, attrs='', actor='alice/a'):
        """Does a message to bob arrive?"""
        got = self.sends("<message to='bob@t.test/b' %s><body>hello</body></message>" % attrs, actor, 'bob@t.test/b', 'bob/b')
        answers = self.sends('', actor)
        assert len(got) + len(answers) == 1, [str(g) for g in got + answers]
        return bool(got)

    def told(self, actor='alice/a'):
        """The next message for an actor."""
        if self.early:
            return parts(self.early.pop(0))
        return parts(self.until(actor, lambda node: node.name == 'message')[-1])


def parts(message):
    texts = {c.name: ''.join(t for t in c.children if isinstance(t, str)) for c in message.children if not isinstance(c, str)}
    return texts.get('subject'), texts.get('body')


def expect(got, subject, *patterns):
    assert got[0] == subject, got
    for pattern in patterns:
        assert re.search(pattern, got[1]), '%r is not in %r' % (pattern, got[1])


HOW = 'Please enter your email address'


def held():
    """Which stanzas are held back, and what is answered: as jabberd2's sm does it, but that errors are not answered."""
    with Case() as case:
        assert case.passes(actor='bob/b'), 'a verified user is held back'
        for attrs in ("to='bob@t.test/b'", "to='bob@t.test'", "to='alice@t.test'", '', "to='t.test'", "to='x@elsewhere.test' type='chat'",
                      "to='bob@t.test/b' type='groupchat'", "to='bob@t.test/b' type='headline'"):
            expect(case.says('hi', attrs), HOW, r'held back', r'\nemail: johndoe@example.com\n')
        assert not case.passes(), 'a message arrived'
        got = case.sends("<message to='bob@t.test/b'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        assert got == [], got
        got = case.sends("<message to='bob@t.test/b' type='error'><body>x</body></message>")
        assert got == [], got
        got = case.sends("<iq to='bob@t.test/b' type='get' id='i'><query xmlns='jabber:iq:last'/></iq>", to='bob@t.test/b', at='bob/b')
        assert [g.get('id') for g in got] == ['i'], 'a request is held back'
        got = case.sends("<presence to='bob@t.test/b' id='p'/>", to='bob@t.test/b', at='bob/b')
        assert [g.get('id') for g in got] == ['p'], 'presence is held back'
        # what others write arrives
        got = case.sends("<message to='alice@t.test/a' id='m'><body>hello</body></message>", 'bob/b', 'alice@t.test/a', 'alice/a')
        assert [g.get('id') for g in got] == ['m'], got
        assert case.row() == [] and case.relay.heard == []


def verified():
    """The whole way, with another restart on each step."""
    with Case() as case:
        expect(case.says('email: Joe.Doe+x@example.com'), 'Verification email sent', r'Joe\.Doe\+x@example\.com')
        text, dialogue = case.relay.mail()
        mail, code = email.message_from_string(text), case.relay.code()
        assert dialogue[0] == 'EHLO t.test', dialogue
        assert dialogue[1].startswith('MAIL FROM:<noreply@t.test>') and dialogue[2] == 'RCPT TO:<Joe.Doe+x@example.com>', dialogue
        assert (mail['From'], mail['To'], mail['Auto-Submitted']) == ('<noreply@t.test>', '<Joe.Doe+x@example.com>', 'auto-generated'), text
        assert mail['Subject'] and mail['Date'] and mail['Message-ID'].endswith('@t.test>') and not mail.defects, text
        assert 'XMPP server t.test' in mail.get_payload() and 'alice' not in text, text
        assert case.row() == [('Joe.Doe+x@example.com', code, '0')], case.row()
        assert not case.passes()
        case.restart()
        case.sign_in()
        assert not case.passes()
        expect(case.says('code: ' + code[:9]), 'Code rejected', 'This is not the code')
        expect(case.says('code: ' + code.upper()), 'Code rejected', '3 more times')
        expect(case.says('Code:   %s ' % code, "to='bob@t.test/b'"), 'Code accepted')
        assert case.row() == [('Joe.Doe+x@example.com', code, '1')], case.row()
        assert case.passes() and case.passes("type='chat'"), 'still held back'
        case.play('session alice/two\n')
        assert case.passes(actor='alice/two')
        case.restart()
        case.sign_in()
        assert case.passes()
        # a verified user's messages are their own
        got = case.sends("<message to='bob@t.test/b'><body>email: x@y.test</body></message>", to='bob@t.test/b', at='bob/b')
        assert [g.name for g in got] == ['message'] and len(case.relay.heard) == 1


def addresses():
    """What is no address is answered with what would be right; nothing of it reaches the mail server, nor the database."""
    with Case() as case:
        expect(case.says('email:'), HOW, 'held back')
        for address, answer in (('joe', 'it has no @'), ('j\u00f6e@example.com', 'not ASCII'), ('joe@ex\u00e4mple.com', 'xn--'),
                                ('@example.com', 'nothing in front of its @'), ('a' * 65 + '@example.com', 'more than 64'),
                                ('joe..doe@example.com', 'single dots'), ('.joe@x.test', 'single dots'), ('joe.@x.test', 'single dots'),
                                ('&quot;joe&quot;@x.test', 'letters, digits'), ('joe&gt;@x.test', 'letters, digits'),
                                ('joe,ann@x.test', 'letters, digits'), ('a@b@c.test', 'letters, digits'), ('joe@[127.0.0.1]', 'a domain like'),
                                ('joe@-x.test', 'a domain like'), ('joe@x-.test', 'a domain like'), ('joe@x..test', 'a domain like'),
                                ('joe@', 'a domain like'), ('joe@x.test.', 'a domain like'), ('joe@x.test;id', 'a domain like'),
                                ('joe@x.test&gt;', 'a domain like'), ('joe@%s.test' % ('x' * 64), 'a domain like'),
                                ('joe@' + '.'.join(['x' * 60] * 5), 'longer than 254'), ('$(id)@x.test', 'letters, digits')):
            expect(case.says('email: ' + address), HOW, re.escape(answer))
        assert case.row() == [] and case.relay.heard == []
        # one that ends at white space is the address; what follows it goes nowhere
        expect(case.says('email: joe@x.test&#13;&#10;RCPT TO:&lt;ann@x.test&gt;&#10;Bcc: ann@x.test'), 'Verification email sent')
        text, dialogue = case.relay.mail()
        assert 'ann' not in text and not [l for l in dialogue if 'ann' in l], dialogue
        expect(case.says("email: o'h|a`r$a{}@localhost"), 'Verification email sent')
        assert case.relay.mail(2)[1][2] == "RCPT TO:<o'h|a`r$a{}@localhost>"


def guesses():
    """Five tries for a code; then it is gone, also from the database, and after a new sign-in."""
    with Case() as case:
        expect(case.says('code: abc'), HOW)
        expect(case.says('code:'), 'Code rejected', 'This is no code')
        expect(case.says('code: ' + 'x' * 65), 'Code rejected', 'This is no code')
        case.says('email: joe@x.test')
        code = case.relay.code()
        for left in ('4 more times', '3 more times', '2 more times'):
            expect(case.says('code: nonsense'), 'Code rejected', left)
        case.play('alice/a end\nsession alice/a\n')
        expect(case.says('code: nonsense'), 'Code rejected', '1 more time[.]')
        assert case.row() == [('joe@x.test', code, '0')]
        expect(case.says('code: nonsense'), 'Code rejected', 'too many wrong codes')
        assert case.row() == []
        expect(case.says('code: ' + code), HOW)
        assert not case.passes()
        case.put_row('alice', 'joe@x.test', "'%s'" % code, 0)   # as if it could not be deleted
        expect(case.says('code: ' + code), 'Code rejected', 'too many wrong codes')
        case.says('email: joe@x.test')
        second = case.relay.code(2)
        assert second != code
        expect(case.says('code: ' + code), 'Code rejected', '4 more times')
        expect(case.says('code: ' + second), 'Code accepted')
        assert case.passes()


def empty_code():
    """A row without a code, as another program may have written it, is nobody's to verify with."""
    with Case() as case:
        for code in ("''", 'NULL'):
            case.sql("DELETE FROM verify WHERE \"collection-owner\" = 'alice@t.test'")
            case.put_row('alice', 'a@x.test', code, 0)
            expect(case.says('code: x'), 'Code rejected')
        assert not case.passes()


def mails():
    """Three mails an hour for an account, and to an address; an hour later three more."""
    with Case(start=False) as case:
        clock = case.world.write('clock', '0')
        os.environ['SHARDSM_CLOCK_OFFSET_FILE'] = clock
        try:
            case.start()
        finally:
            del os.environ['SHARDSM_CLOCK_OFFSET_FILE']
        case.play('user alice carol\nsession alice/a carol/c\n')
        for i in range(3):
            expect(case.says('email: joe%d@x.test' % i), 'Verification email sent')
        expect(case.says('email: joe@x.test'), 'Error', r'Too many mails .* in \d+ minutes')
        case.play('alice/a end\nsession alice/a\n')
        expect(case.says('email: joe@x.test'), 'Error', 'Too many mails')
        assert case.row()[0][0] == 'joe2@x.test'
        for _ in range(2):
            expect(case.says('email: JOE2@x.test', actor='carol/c'), 'Verification email sent')
        expect(case.says('email: joe2@X.test', actor='carol/c'), 'Error', 'Too many mails')
        case.relay.mail(5)
        case.world.write('clock', '3700')
        deadline = time.monotonic() + SECONDS
        while (got := case.says('email: joe@x.test'))[0] == 'Error' and time.monotonic() < deadline:
            pass   # the server looks at its clock once a second
        expect(got, 'Verification email sent')


def refused(mood, text):
    """5yz: the user is told what the mail server said, also when they have gone; it is not tried again."""
    with Case(mood, 'accept') as case:
        expect(case.says('email: joe@x.test'), 'Verification email sent')
        expect(case.told(), 'Email verification failed', 'joe@x.test', re.escape(text))
        case.process.wait_line(r'alice@t\.test: mail to joe@x\.test was refused')
        expect(case.says('email: joe2@x.test'), 'Verification email sent')
        assert case.relay.mail()[1][2] == 'RCPT TO:<joe2@x.test>' and len(case.relay.heard) == 2


def refused_offline():
    with Case('close', 'refuse') as case:
        case.says('email: joe@x.test')
        case.play('alice/a end\n')
        case.process.wait_line(r'alice@t\.test: mail to joe@x\.test was refused')
        case.play('session alice/a\nalice/a > <presence/>\n')
        expect(case.told(), 'Email verification failed', 'joe@x.test')


def later(mood):
    """4yz, and a mail server that does not behave: tried again, and the user notices nothing."""
    with Case(mood, 'accept', timeout=2 if mood in ('silent', 'garbage', 'endless') else 60) as case:
        expect(case.says('email: joe@x.test'), 'Verification email sent')
        case.process.wait_line(r'alice@t\.test: mail to joe@x\.test waits for another try, 2 of 3 \(.+\)', seconds=SECONDS * 2)
        case.relay.wait(lambda: case.relay.mails, 'the mail')
        expect(case.says('code: ' + case.relay.code()), 'Code accepted')
        assert len(case.relay.mails) == 1


def never(mood):
    """No try succeeds: after the last one the user is told."""
    with Case(mood) as case:
        case.says('email: joe@x.test')
        got = case.told()
        expect(got, 'Email verification failed', 'no mail server took it')
        assert len(case.relay.heard) == 3, case.relay.heard


def nobody():
    """Nobody listens at first."""
    with Case(relay=False) as case:
        expect(case.says('email: joe@x.test'), 'Verification email sent')
        case.process.wait_line(r'waits for another try, 2 of 3 \(.*Couldn.t connect')
        expect(case.told(), 'Email verification failed', 'no mail server took it')


def together():
    """While the mail server hangs, all who wait wait together: it is not tried for each of them. And nobody waits for their answers."""
    with Case('silent', 'accept', timeout=5) as case:
        names = ['u%d' % i for i in range(8)]
        case.play('user %s\nsession %s\n' % (' '.join(names), ' '.join(n + '/x' for n in names)))
        for name in names:
            expect(case.says('email: %s@x.test' % name, actor=name + '/x'), 'Verification email sent')
        case.relay.wait(lambda: len(case.relay.mails) == 8, 'the last mail')
        assert len(case.relay.heard) == 9, len(case.relay.heard)
        waited = [l for l in case.process.lines if 'waits for another try, 2 of 3' in l]
        assert len(waited) == 8, waited


def stop_in_a_mail():
    """A stop does not wait for a mail server that hangs."""
    with Case('silent') as case:
        case.says('email: joe@x.test')
        case.relay.wait(lambda: case.relay.heard, 'the connection')
        assert case.process.stop(seconds=5) == 0
        assert re.search(r'mail: 1 that had not been sent yet are lost', case.process.tail())


def no_goodbye():
    """The mail was taken: that QUIT is not answered changes nothing."""
    with Case('no goodbye', timeout=4) as case:
        for n in (1, 2, 3):
            case.says('email: joe%d@x.test' % n)
            case.relay.mail(n)
        # when the third came, the first two were done with
        assert [lines[2] for _, lines in case.relay.mails] == ['RCPT TO:<joe%d@x.test>' % n for n in (1, 2, 3)]
        assert not [l for l in case.process.lines if 'waits for another try' in l]


def many_waiting():
    """The queue is bounded: the thousand and first is told to try again later."""
    with Case('silent', settings='<mails-per-hour>1000</mails-per-hour>') as case:
        got = [case.says('email: joe%d@x.test' % i)[0] for i in range(999)]
        assert set(got) == {'Verification email sent'}, set(got)
        expect(case.says('email: joe@x.test'), 'Verification email sent')
        case.play('user carol\nsession carol/c\n')
        expect(case.says('email: ann@x.test', actor='carol/c'), 'Error', 'could not be mailed now')


def protected(tls):
    """TLS, and a login behind it; the certificate is looked at."""
    login = '<tls>%s</tls><cafile>{dir}/ca.pem</cafile><user>sm</user><pass>geheim</pass>' % tls
    with Case(tls=tls, smtp=login) as case:
        case.says('email: joe@x.test')
        dialogue = case.relay.mail()[1]
        said = dialogue[dialogue.index('AUTH PLAIN') + 1]
        assert base64.b64decode(said) == b'\0sm\0geheim', dialogue
        assert tls == 'tls' or dialogue[1] == 'STARTTLS', dialogue
    # a certificate that nobody has signed whom we know
    with Case(tls=tls, smtp=login.replace('<cafile>{dir}/ca.pem</cafile>', '')) as case:
        case.says('email: joe@x.test')
        case.process.wait_line(r'waits for another try, 2 of 3 \(.*certificate')
        expect(case.told(), 'Email verification failed', 'no mail server took it')
        assert not [l for lines in case.relay.heard for l in lines if l.startswith(('AUTH', 'MAIL'))], case.relay.heard


def unprotected():
    """TLS that the mail server does not offer: no mail, and no password, goes there."""
    with Case(smtp='<tls>starttls</tls><user>sm</user><pass>geheim</pass>') as case:
        case.says('email: joe@x.test')
        expect(case.told(), 'Email verification failed', 'no mail server took it')
        assert not [l for lines in case.relay.heard for l in lines if l.startswith(('AUTH', 'MAIL'))], case.relay.heard


def stranger():
    """A login that the mail server refuses says nothing about the address."""
    with Case('stranger', 'accept', tls='tls', smtp='<tls>tls</tls><cafile>{dir}/ca.pem</cafile><user>sm</user><pass>x</pass>') as case:
        case.says('email: joe@x.test')
        case.process.wait_line(r'waits for another try, 2 of 3 \(535 5\.7\.8 no\)')
        case.relay.mail()


def not_stored():
    """What could not be stored is not mailed, and the user is told."""
    with Case() as case:
        case.sql('DROP TABLE verify')
        for text in ('email: joe@x.test', 'code: x'):
            got = case.sends("<message to='t.test' id='m'><body>%s</body></message>" % text)
            assert [(g.get('type'), g.get('id')) for g in got] == [('error', 'm')], [str(g) for g in got]
            assert 'internal-server-error' in str(got[0])
        assert case.relay.heard == []


def reloaded():
    """How many mails may go changes at once; another mail server needs a restart."""
    with Case() as case:
        for _ in range(3):
            expect(case.says('email: joe@x.test'), 'Verification email sent')
        expect(case.says('email: joe@x.test'), 'Error', 'Too many mails')
        with open(case.world.path('sm.xml'), 'r+') as f:
            text = f.read().replace('</smtp>', '</smtp><mails-per-hour>4</mails-per-hour>').replace('<timeout>60<', '<timeout>61<')
            f.seek(0)
            f.write(text)
        case.process.kill(signal.SIGHUP)
        case.process.wait_line(r'user\.verify is another one now: that needs a restart')
        case.process.wait_line('read again, in force')
        expect(case.says('email: joe@x.test'), 'Verification email sent')
        expect(case.says('email: joe@x.test'), 'Error', 'Too many mails')


def rows():
    """jabberd2's sm and shardsm read each other's rows, in the middle of a verification too."""
    if engines.instead_of('') is not None or not os.access(os.path.join(SBIN, 'jabberd2-sm'), os.X_OK):
        print('# rows: not compared with jabberd2, which is not here or not on SQLite')
        return
    with World() as world:
        world.make_schema()
        for name, does in (('pwgen', 'echo Zz9Zz9Zz9Z'), ('sendmail', 'cat >/dev/null')):
            os.chmod(world.write(name, '#!/bin/sh\n%s\n' % does), 0o755)
        path, os.environ['PATH'] = os.environ['PATH'], world.dir + ':' + os.environ['PATH']
        try:
            played(world, True, 'user alice bob', [('alice', 'email: joe@x.test', 'Verification email sent')])
            played(world, False, '', [('alice', 'code: Zz9Zz9Zz9Z', 'Code accepted')])
            with sqlite3.connect(world.db) as db:
                db.execute("INSERT INTO verify (\"collection-owner\", email, code, state) VALUES ('bob@t.test', 'b@x.test', 'abc', 0)")
            db.close()
            played(world, True, '', [('bob', 'code: abc', 'Code accepted')], passes=['alice', 'bob'])
            played(world, False, '', [], passes=['alice', 'bob'])
        finally:
            os.environ['PATH'] = path


def played(world, stock, first, steps, passes=()):
    """A server on that database, with sessions of both: what each says, and the subject of the answer; whose messages pass."""
    server = StandIn(world, stock)
    player = Player(server, 't.test')
    try:
        player.link('c2s')
        for number, line in enumerate([first, 'session alice/a bob/b'] if first else ['session alice/a bob/b']):
            player.line(number, line)
        label = {'alice': 'alice/a', 'bob': 'bob/b'}
        for who, text, subject in steps:
            player.speak(label[who], "<message to='t.test'><body>%s</body></message>" % text)
            got = parts(strip_session(player.sessions[label[who]].next('the answer')))
            assert got[0] == subject, (stock, text, got)
        for who in passes:
            player.speak(label[who], "<message to='alice@t.test/a' id='p'><body>x</body></message>")
            got = strip_session(player.sessions['alice/a'].next('a message'))
            assert got.get('id') == 'p', (stock, who, str(got))
    finally:
        player.close()
        server.stop()


def deleted():
    """A deleted account's address is forgotten; who has the name next is held back."""
    with Case() as case:
        case.play('bob/b end\n')
        case.player.links['c2s'].delete('bob@t.test')
        assert case.row('bob@t.test') == []
        case.play('user bob\nsession bob/b\n')
        expect(case.says('hi', actor='bob/b'), HOW)


def check(extra, status, *patterns, domain='t.test'):
    with World() as world:
        config = world.sm_config([domain], listen=free_port(), extra=extra)
        done = subprocess.run([SHARDSM, '-c', config, '--check'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
        assert done.returncode == status, done.stdout
        for pattern in patterns:
            assert re.search(pattern, done.stdout), '%r is not in %s' % (pattern, done.stdout)


def settings():
    """What --check says, and what is wrong."""
    def verify(xml):
        return '<user><verify>%s</verify></user>' % xml
    check('', 0, r'(?m)^mail: localhost, port 25, from noreply@t\.test \(no mail server is named: user\.verify\.smtp\.host\)$')
    check(verify('<from>a@b.test</from><smtp><host>::1</host><port>587</port><tls>starttls</tls></smtp>'), 0,
          r'(?m)^mail: ::1, port 587, from a@b\.test$')
    check(verify('<smtp><host>a/b</host></smtp>'), 2, r'sm\.xml:\d+: .*host.* is not a host: a name like')
    check(verify('<smtp><tls>yes</tls></smtp>'), 2, r'must be none, starttls, or tls')
    check(verify('<from>joe</from>'), 2, r'is not an e-mail address: it has no @')
    check('', 2, r'local\.id: no mail can come from noreply@b\u00fccher\.test \(it holds .* name a sender in user\.verify\.from', domain='b\u00fccher.test')
    check(verify('<from>a@b.test</from>'), 0, 'from a@b.test', domain='b\u00fccher.test')
    check(verify('<smtp><port>0</port></smtp>'), 2, 'user.verify.smtp.port')
    check(verify('<mails-per-hour>0</mails-per-hour>'), 2, 'mails-per-hour')
    check(verify('<smtp><user>u</user><pass>p</pass></smtp>'), 0, 'goes to the mail server in clear')


CASES = {
    'held': held,
    'verified': verified,
    'addresses': addresses,
    'guesses': guesses,
    'empty code': empty_code,
    'mails': mails,
    'refused': lambda: refused('refuse', '550 5.1.1 no such ?user <b>'),
    'refused late': lambda: refused('late', '554 5.6.0 it looks like spam'),
    'refused offline': refused_offline,
    'no goodbye': no_goodbye,
    'nobody': nobody,
    'together': together,
    'stop in a mail': stop_in_a_mail,
    'many waiting': many_waiting,
    'protected: starttls': lambda: protected('starttls'),
    'protected: tls': lambda: protected('tls'),
    'unprotected': unprotected,
    'stranger': stranger,
    'not stored': not_stored,
    'reloaded': reloaded,
    'rows': rows,
    'deleted': deleted,
    'settings': settings,
    **{'later: ' + mood: lambda mood=mood: later(mood)
       for mood in ('defer', 'full', 'silent', 'close', 'garbage', 'endless', 'greeting', 'drop')},
    **{'never: ' + mood: lambda mood=mood: never(mood) for mood in ('defer', 'close')},
}


ALONE = ('mails', 'rows')   # they change what servers are started with


def main():
    need_shardsm()
    report = Report()
    names = sys.argv[1:] or list(CASES)
    for name in names:
        if name in ALONE:
            report.case(name, CASES[name])
    # most of the time is what the mail server takes to be away
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: report.case(name, CASES[name]), [n for n in names if n not in ALONE]))
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
