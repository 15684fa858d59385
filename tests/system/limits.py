#!/usr/bin/python3
"""limits.py - every limit on what one user may have: reached, told, counted; and what is below it goes on.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: limits.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import re
import urllib.request

from operator_options import Case
from servers import run_cases

METRICS = '<metrics><ip>127.0.0.1</ip><port>0</port></metrics>'


class Limited(Case):
    """A server with limits, and its counts."""

    def __init__(self, limits, **options):
        super().__init__('<limits>%s</limits>%s' % (limits, METRICS), **options)

    def hits(self, limit):
        port = self.server.process.wait_line(r'\[127\.0\.0\.1, port=(\d+)\] listening for HTTP').group(1)
        with urllib.request.urlopen('http://127.0.0.1:%s/metrics' % port) as answer:
            text = answer.read().decode()
        return int(re.search(r'^shardsm_limit_hits_total\{limit="%s"\} (\d+)$' % limit, text, re.M).group(1))

    def hit(self, limit, times):
        assert self.hits(limit) == times, '%s was counted %d times, not %d' % (limit, self.hits(limit), times)

    def count(self, source, target):
        """How many of two hundred messages come; the others come back, each once, and can be sent again later."""
        for i in range(200):
            source.send("<message to='%s' id='n%d' type='chat'><body>x</body></message>" % (target.jid, i))
        self.player.hub.until(lambda: len(source.queue) + len(target.queue) == 200, 'every message here or there')
        delivered, refused = [m.get('id') for m in target.queue], [m.get('id') for m in source.queue]
        assert delivered + refused == ['n%d' % i for i in range(200)], (delivered, refused)
        for message in source.queue:
            error = message.find('error')
            assert error.get('type') == 'wait' and error.elements()[0].name == 'resource-constraint', message
        source.queue.clear()
        target.queue.clear()
        return len(delivered)

    def start_refused(self, jid):
        """Nobody is left hanging: the answer comes, and says that the session did not start."""
        c2s = self.player.links['c2s']
        c2s.command('start', jid, c2s.new_id())
        payload = c2s.answer('start').elements()[0]
        assert payload.get('action') == 'start' and payload.session('failed'), payload


def user_sessions():
    with Limited('<user-sessions>2</user-sessions>') as case:
        case.play('user alice bob\nsession alice/a alice/b bob/a')
        case.start_refused('alice@t.test/c')
        case.hit('user-sessions', 1)
        # one that ends makes room, and one that is replaced took none
        case.play('alice/b end\nsession alice/c')
        case.start_refused('alice@t.test/d')
        case.hit('user-sessions', 2)


def sessions():
    with Limited('<sessions>2</sessions>') as case:
        case.play('user alice bob carol\nsession alice/a bob/b')
        case.start_refused('carol@t.test/c')
        case.hit('sessions', 1)
        case.play('alice/a end\nsession carol/c')


def users():
    with Limited('<users>2</users>') as case:
        case.play("""
user alice bob
online alice/a bob/b
alice/a > <message to='carol@{d}' id='m1'><body>x</body></message>
alice/a < <message type='error' from='carol@{d}' to='{me}' id='m1'>{err:wait:resource-constraint}...</message>
alice/a > <message to='bob@{d}' id='m2'><body>x</body></message>
bob/b < <message from='alice@{d}/a' to='{opt}' id='m2'><body>x</body></message>
""")
        case.start_refused('carol@t.test/c')
        case.hit('users', 2)


def user_stanzas():
    """What can be answered is; presence goes on; who does not stop is disconnected."""
    with Limited("<user-stanzas seconds='1000'>100</user-stanzas>") as case:
        case.play('user alice bob\nsession alice/a bob/b\n')
        hub, alice, bob = case.player.hub, case.player.sessions['alice/a'], case.player.sessions['bob/b']
        used = 100 - int(case.count(alice, bob))
        assert 0 <= used < 20, used   # what the player itself has sent
        before = case.hits('user-stanzas')
        alice.send("<iq type='get' id='ping' to='t.test'><ping xmlns='urn:xmpp:ping'/></iq>")
        alice.send("<presence to='bob@t.test/b'><show>away</show></presence>")
        assert alice.next('the refused ping').find('error').get('type') == 'wait'
        assert bob.next('the presence that cannot be refused').name == 'presence'
        bob.send("<message to='alice@t.test/a' id='back'><body>x</body></message>")
        assert alice.next('a message of somebody else').get('id') == 'back'
        case.hit('user-stanzas', before + 2)
        for i in range(1000):
            alice.send("<message to='bob@t.test/b' id='f%d' type='chat'><body>x</body></message>" % i)
        hub.until(lambda: alice.ended, 'the end of the session that does not stop')
        case.server.process.wait_line(r'\[alice@t\.test\] is being disconnected, too many stanzas within 1000 seconds')


def subscription_requests():
    with Limited('<subscription-requests>2</subscription-requests>') as case:
        case.play("""
user alice
component c x.test
c > <presence type='subscribe' from='u1@x.test' to='alice@{d}'/>
c > <presence type='subscribe' from='u2@x.test' to='alice@{d}'/>
c > <presence type='subscribe' from='u3@x.test' to='alice@{d}' id='p3'/>
c < <presence type='error' id='p3' from='alice@{d}' to='u3@x.test'>{err:wait:resource-constraint}...</presence>
c > <presence type='subscribe' from='u1@x.test' to='alice@{d}' id='again'/>
nothing
online alice/a
alice/a <* <presence type='subscribe' from='u2@x.test' to='alice@{d}'/>
alice/a <* <presence type='subscribe' from='u1@x.test' to='alice@{d}' id='{opt}'/>
nothing
""".replace('online alice/a', 'session alice/a\nalice/a > <presence/>\nalice/a <* <presence from=\'alice@{d}/a\' to=\'{me}\'/>'))
        case.hit('subscription-requests', 1)


def directed_presences():
    with Limited('<directed-presences>2</directed-presences>') as case:
        case.play("""
user alice bob
online alice/a bob/b bob/c bob/d
alice/a > <presence to='bob@{d}/b'/>
bob/b < <presence from='alice@{d}/a' to='bob@{d}/b'/>
alice/a > <presence to='bob@{d}/c'/>
bob/c < <presence from='alice@{d}/a' to='bob@{d}/c'/>
alice/a > <presence to='bob@{d}/d' id='third'/>
alice/a < <presence type='error' from='bob@{d}/d' to='{me}' id='third'>{err:wait:resource-constraint}...</presence>
alice/a > <presence to='bob@{d}/c' type='unavailable'/>
bob/c < <presence from='alice@{d}/a' to='bob@{d}/c' type='unavailable'/>
alice/a > <presence to='bob@{d}/d'/>
bob/d < <presence from='alice@{d}/a' to='bob@{d}/d'/>
nothing
""")
        case.hit('directed-presences', 1)


PRIVATE = """
alice/a > <iq type='set' id='{id}'><query xmlns='jabber:iq:private'><x xmlns='urn:{ns}'>{text}</x></query></iq>
alice/a < <iq type='{type}' id='{id}' from='{opt}' to='{opt}'>{answer}</iq>
"""


def private(ident, ns, text, refused=False):
    return (PRIVATE.replace('{id}', ident).replace('{ns}', ns).replace('{text}', text).replace('{type}', 'error' if refused else 'result')
            .replace('{answer}', '{err:cancel:not-acceptable}...' if refused else ''))


def private_storage():
    with Limited('<private-bytes>4096</private-bytes><private-namespaces>2</private-namespaces>') as case:
        case.play('user alice\nonline alice/a\n' + private('a', 'one', 'x' * 3000) + private('b', 'one', 'x' * 4096, True) +
                  private('c', 'two', 'x') + private('d', 'three', 'x', True) + private('e', 'one', 'y' * 2000))
        case.hit('private', 2)
        rows = case.sql('SELECT "ns", length("xml") FROM "private" ORDER BY "ns"')
        assert [r[0] for r in rows] == ['urn:one', 'urn:two'] and 2000 < rows[0][1] < 3000, rows


def vcard_bytes():
    with Limited('<vcard-bytes>4096</vcard-bytes>') as case:
        case.play('user alice\nonline alice/a\n'
                  "alice/a > <iq type='set' id='a'><vCard xmlns='vcard-temp'><FN>A</FN></vCard></iq>\n"
                  "alice/a < <iq type='result' id='a' from='{opt}' to='{opt}'/>\n"
                  "alice/a > <iq type='set' id='b'><vCard xmlns='vcard-temp'>" + '<NOTE>%s</NOTE>' % ('x' * 400) * 11 + '</vCard></iq>\n'
                  "alice/a < <iq type='error' id='b' from='{opt}' to='{opt}'>{err:cancel:not-acceptable}...</iq>\n"
                  "alice/a > <iq type='get' id='c'><vCard xmlns='vcard-temp'/></iq>\n"
                  "alice/a < <iq type='result' id='c' from='{opt}' to='{opt}'><vCard xmlns='vcard-temp'><FN>A</FN></vCard></iq>\n")
        case.hit('vcard-bytes', 1)


def jids():
    """RFC 7622: 1023 bytes for each part, and not one more."""
    with Case() as case:
        whole, longer = 'n' * 1023, 'n' * 1024
        case.play("user alice\nonline alice/a\n"
                  "alice/a > <message to='%s@{d}' id='a'><body>x</body></message>\n"
                  "alice/a < <message type='error' from='%s@{d}' to='{me}' id='a'>{err:cancel:service-unavailable}...</message>\n"
                  "alice/a > <message to='%s@{d}' id='b'><body>x</body></message>\n"
                  "alice/a < <message type='error' id='b' from='{opt}' to='{me}'>{err:modify:jid-malformed}...</message>\n" % (whole, whole, longer))


CASES = {
    'user-sessions': user_sessions,
    'sessions': sessions,
    'users': users,
    'user-stanzas': user_stanzas,
    'subscription-requests': subscription_requests,
    'directed-presences': directed_presences,
    'private': private_storage,
    'vcard-bytes': vcard_bytes,
    'jids': jids,
}


if __name__ == '__main__':
    sys.exit(run_cases(CASES))
