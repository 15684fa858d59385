#!/usr/bin/python3
"""admin.py - the control socket, shardsm-ctl and the metrics (defect O7): every command, every count, and whoever speaks nonsense there.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

usage: admin.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import os
import re
import socket
import stat
import subprocess
import time

from component import Closed
from reload import DOMAIN, Site
from servers import SECONDS, SHARDSM, World, run_cases

CTL = SHARDSM + '-ctl'


class Steered(Site):
    """A site with both sockets."""

    def __init__(self, world):
        self.path = world.path('control.sock')
        super().__init__(world, extra='<control><socket>%s</socket></control><metrics><port>0</port></metrics>' % self.path)
        self.http = int(self.process.wait_line(r'port=(\d+)\] listening for HTTP').group(1))

    def dial(self, http=False):
        sock = socket.socket(socket.AF_INET if http else socket.AF_UNIX)
        sock.connect(('127.0.0.1', self.http) if http else self.path)
        sock.settimeout(SECONDS)
        return sock

    def say(self, data, http=False):
        """All that comes back for those bytes."""
        with self.dial(http) as sock:
            sock.sendall(data)
            return read_all(sock)

    def command(self, line):
        """The lines of the answer; the first one must be ok."""
        first, _, rest = self.say(line.encode() + b'\n').decode().partition('\n')
        assert first == 'ok', first
        return rest.splitlines()

    def error(self, line):
        first, _, rest = self.say(line.encode() + b'\n').decode().partition('\n')
        assert first.startswith('error: '), first
        return first + rest

    def ctl(self, *words):
        done = subprocess.run([CTL, '-s', self.path, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def metrics(self):
        head, _, body = self.say(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n', True).decode().partition('\r\n\r\n')
        assert head.startswith('HTTP/1.1 200 OK\r\n') and 'Content-Type: text/plain; version=0.0.4' in head, head
        assert 'Content-Length: %d' % len(body) in head, head
        return parse(body)


def read_all(sock):
    got = b''
    while True:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            return got
        if not more:
            return got
        got += more


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\d+(?:\.\d+)?)$')


def parse(text):
    """The samples by name and labels. Strict: every family has one HELP and one TYPE in front of its samples, all together, none twice."""
    assert text.endswith('\n')
    seen, helped, typed, samples = [], set(), {}, {}
    for line in text.splitlines():
        words = line.split(' ', 3)
        if line.startswith('# HELP '):
            assert words[2] not in helped and words[3], line
            helped.add(words[2])
        elif line.startswith('# TYPE '):
            assert words[2] in helped and words[2] not in typed and words[3] in ('counter', 'gauge', 'histogram'), line
            typed[words[2]] = words[3]
            seen.append(words[2])
        else:
            found = SAMPLE.match(line)
            assert found, line
            name = found.group(1)
            family = re.sub('_(bucket|sum|count)$', '', name) if seen and typed[seen[-1]] == 'histogram' else name
            assert family == seen[-1], 'a sample of %s among those of %s' % (name, seen[-1])
            assert (typed[family] == 'counter') == name.endswith('_total'), line
            key = name + (found.group(2) or '')
            assert key not in samples, line
            samples[key] = float(found.group(4))
    return samples


def status(site):
    site.user('alice')
    lines = '\n'.join(site.command('status'))
    for what in ('version: shardsm ', 'up: ', 'threads: 1 acceptors, 4 workers, 2 for the store', 'sessions: 1', 'users in memory: 1',
                 'shard 3: 0 bytes queued', 'store: ', 'link: c2s at [127.0.0.1, port='):
        assert what in lines, (what, lines)


def sessions(site):
    alice, bob = site.user('alice'), site.user('bob', 'a resource')
    site.c2s.start('bob@%s/two' % DOMAIN)
    alice.send('<presence><priority>7</priority></presence>')
    alice.next('the presence, reflected')
    every = site.command('sessions')
    assert len(every) == 4 and every[-1] == '3 sessions', every
    assert alice.jid + '  available, priority 7, at c2s' in every and bob.jid + '  not available, priority 0, at c2s' in every, every
    assert site.command('sessions bob@' + DOMAIN)[-1] == '2 sessions'
    assert site.command('sessions nobody@' + DOMAIN) == ['0 sessions']
    lines = site.command('user alice@' + DOMAIN)
    for what in ('account: yes', 'in memory: account roster queue privacy', 'roster: 0 contacts, 0 requests to be answered', 'stored messages: 0',
                 'waiting packets: 0', 'session: %s  available, priority 7, at c2s' % alice.jid):
        assert what in lines, (what, lines)
    assert site.command('user nobody@' + DOMAIN) == ['not in memory: no session, nothing on the way']


def kick(site):
    """As c2s sees it, and only those who are meant."""
    one, two = site.user('bob', 'one'), site.c2s.start('bob@%s/two' % DOMAIN)
    alice = site.user('alice')
    site.error('kick bob@%s/nonesuch' % DOMAIN)
    site.error('kick nobody@' + DOMAIN)

    def ended(session):
        site.hub.until(lambda: session.ended, 'the end of ' + session.jid)
        assert session.ended == 'ended'
    assert site.command('kick bob@%s/one' % DOMAIN) == [one.jid, '1 sessions ended']
    ended(one)
    assert site.command('sessions')[-1] == '2 sessions'
    assert site.ask(two, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN).get('type') == 'result'
    assert site.command('kick bob@' + DOMAIN) == [two.jid, '1 sessions ended']
    ended(two)
    assert site.command('sessions')[-1] == '1 sessions'
    assert site.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN).get('type') == 'result'
    assert site.c2s.start('bob@%s/again' % DOMAIN).sm


def commands(site):
    """Reload, log level, help, and through shardsm-ctl."""
    assert 'read again, in force' in '\n'.join(site.command('reload'))
    site.edit(('<roster></roster>', '<roster><maxitems>many</maxitems></roster>'))
    told = site.error('reload')
    assert 'nothing has changed' in told and 'roster.maxitems: "many" is not a number' in told, told
    status, out, err = site.ctl('reload')
    assert status == 1 and not out and 'is not a number' in err, (status, out, err)
    assert site.command('log-level') == ['log level: info']
    assert site.command('log-level error') == ['log level: error']
    before = len(site.process.lines)
    site.user('quiet')
    assert site.command('log-level notice') == ['log level: notice']
    site.user('loud')
    site.process.wait_line('session started: jid=loud@', before)
    assert 'quiet' not in '\n'.join(site.process.lines[before:])
    assert 'debug' in site.error('log-level much')
    names = [line.split()[0] for line in site.command('help')]
    assert names == ['status', 'sessions', 'user', 'kick', 'reload', 'log-level', 'metrics', 'drain', 'stop', 'help'], names
    status, out, err = site.ctl('sessions', 'loud@' + DOMAIN)
    assert (status, err) == (0, '') and 'loud@%s/r' % DOMAIN in out and '1 sessions' in out, (status, out, err)
    status, out, err = site.ctl('user')
    assert status == 1 and err == 'shardsm-ctl: wanted: user JID\n', (status, out, err)
    site.edit()
    done = subprocess.run([CTL, '-c', site.world.path('sm.xml'), 'status'], stdout=subprocess.PIPE, timeout=SECONDS, check=False)
    assert done.returncode == 0 and b'sessions: 2' in done.stdout, done
    assert site.ctl()[0] == 2
    assert parse('\n'.join(site.command('metrics')) + '\n')['shardsm_config_reloads_total{result="failed"}'] == 2


def bad_commands(site):
    """Each is answered with what would be right."""
    for line, right in (('nonsense', '`help'), ('', '`help'), ('user', 'wanted: user JID'), ('status now', 'wanted: status'), ('user @@', 'alice@example.org'),
                        ('kick', 'wanted: kick JID'), ('STATUS', '`help'), ('x' * 5000, 'too long'), ('sessions ' + 'y' * 3500, 'not a JID')):
        assert right in site.error(line), line
    assert b'error: ' in site.say(b'\0\xff\xfe%n%s\n')
    assert site.say(b'status\r\n').startswith(b'ok\n')
    with site.dial() as sock:   # no newline: what was said is all that there is
        sock.sendall(b'status')
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).startswith(b'ok\n')
    with site.dial() as sock:   # who goes before the shards have answered
        sock.sendall(b'sessions\n')
    mode = os.stat(site.path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode)


def bad_requests(site):
    """HTTP that is none, or not what there is."""
    def first(data):
        return site.say(data, True).split(b'\r\n')[0]
    assert first(b'GET / HTTP/1.1\r\n\r\n') == b'HTTP/1.1 404 Not Found'
    assert first(b'POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n') == b'HTTP/1.1 405 Method Not Allowed'
    assert first(b'GET /metrics\r\n\r\n') == b'HTTP/1.1 400 Bad Request'
    assert first(b'\r\n\r\n') == b'HTTP/1.1 400 Bad Request'
    assert first(b'GET /metrics HTTP/2.0\r\n\r\n') == b'HTTP/1.1 400 Bad Request'
    assert first(b'\x16\x03\x01\x02\x00\x01\x00\r\n\r\n') == b'HTTP/1.1 400 Bad Request'
    assert first(b'GET /metrics HTTP/1.1\r\nX: ' + b'x' * 9000) == b'HTTP/1.1 431 Request Header Fields Too Large'
    assert first(b'GET /metrics?x=1 HTTP/1.0\r\n\r\n') == b'HTTP/1.1 200 OK'
    head = site.say(b'HEAD /metrics HTTP/1.1\r\n\r\n', True)
    assert head.startswith(b'HTTP/1.1 200 OK\r\n') and head.endswith(b'\r\n\r\n'), head
    with site.dial(True) as sock:
        sock.sendall(b'GET /metrics HT')
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).startswith(b'HTTP/1.1 400 ')


def slow_clients(site):
    """Many that say nothing, or do not read: everybody else is served, and they are let go."""
    alice = site.user('alice')
    idle = [site.dial(http) for http in (False, True) for _ in range(100)]
    for sock in idle:
        try:
            sock.sendall(b'G')
        except OSError:
            pass   # it had to make room
    for _ in range(3):
        assert site.command('status') and site.metrics()
        assert site.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN).get('type') == 'result'
    fds = site.metrics()['process_open_fds']
    assert fds < 130, '%d descriptors' % fds
    closed = 0
    deadline = time.monotonic() + 12 + SECONDS
    for sock in idle:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        closed += read_all(sock) == b''
        sock.close()
    assert closed == len(idle)
    assert site.metrics()['process_open_fds'] < fds


def counts(site):
    """After a known exchange each count is what was exchanged."""
    asked = 'shardsm_stanzas_total{direction="out",kind="iq"}'   # the sm asks the c2s what it is, once
    site.hub.until(lambda: site.hub.pump(0.02) or site.metrics()[asked] == 1, 'the question to the c2s')
    before = site.metrics()
    alice, bob = site.user('alice'), site.user('bob')
    site.c2s.create('away@' + DOMAIN)
    for session in (alice, bob):
        session.send('<presence/>')
        session.next('the presence, reflected')
    for i in range(10):
        alice.send("<message to='%s' id='%d' type='chat'><body>x</body></message>" % (bob.jid, i))
        assert bob.next('a message').get('id') == str(i)
    alice.send("<message to='away@%s' id='s' type='chat'><body>x</body></message>" % DOMAIN)
    alice.send("<message to='nobody@%s' id='n' type='chat'><body>x</body></message>" % DOMAIN)
    assert alice.next('the error').get('type') == 'error'
    away = site.c2s.start('away@%s/r' % DOMAIN)
    away.send('<presence/>')
    while away.next('the stored message').get('id') != 's':
        pass
    for i in range(2):
        assert site.ask(bob, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN).get('type') == 'result'
    site.c2s.command('start', 'stranger@%s/r' % DOMAIN, '99')
    site.c2s.answer('start', '99')
    site.c2s.end(away)
    # the rows that nobody waits for
    deadline = time.monotonic() + SECONDS
    while site.metrics()['shardsm_store_requests_in_flight'] and time.monotonic() < deadline:
        site.hub.pump(0.02)
    after = site.metrics()
    more = {key: after[key] - before.get(key, 0) for key in after}
    wanted = {
        'shardsm_stanzas_total{direction="in",kind="message"}': 12, 'shardsm_stanzas_total{direction="in",kind="presence"}': 3,
        'shardsm_stanzas_total{direction="in",kind="iq"}': 2, 'shardsm_stanzas_total{direction="in",kind="session"}': 8,
        'shardsm_stanzas_total{direction="out",kind="iq"}': 2, 'shardsm_stanza_errors_total{condition="service-unavailable"}': 1,
        'shardsm_session_requests_total{action="start"}': 4, 'shardsm_session_requests_total{action="create"}': 3,
        'shardsm_session_requests_total{action="end"}': 1, 'shardsm_session_request_failures_total{action="start"}': 1,
        'shardsm_session_starts_total': 3, 'shardsm_session_ends_total': 1, 'shardsm_sessions': 2, 'shardsm_users': 2, 'shardsm_links': 0,
        'shardsm_offline_messages_total{result="stored"}': 1, 'shardsm_offline_messages_total{result="delivered"}': 1,
        'shardsm_store_requests_total{kind="write",result="failed"}': 0, 'shardsm_limit_hits_total{limit="frame-bytes"}': 0,
        'shardsm_config_reloads_total{result="ok"}': 0,
    }
    wrong = {key: (value, more[key]) for key, value in wanted.items() if more[key] != value}
    assert not wrong, 'wanted and counted: %s' % wrong
    assert more['shardsm_stanzas_total{direction="out",kind="message"}'] == 12, more   # ten, the stored one, the error
    assert after['shardsm_links'] == 1
    n = more['shardsm_store_latency_seconds_count']
    assert n == sum(v for k, v in more.items() if k.startswith('shardsm_store_requests_total')) and n > 5, n
    assert after['shardsm_store_latency_seconds_bucket{le="+Inf"}'] == after['shardsm_store_latency_seconds_count']
    buckets = [v for k, v in after.items() if k.startswith('shardsm_store_latency_seconds_bucket')]
    assert buckets == sorted(buckets), buckets
    assert more['shardsm_store_commits_total'] > 0
    assert more['shardsm_store_committed_requests_total'] == more['shardsm_store_requests_total{kind="write",result="ok"}'], more
    # A stanza for another user's shard is taken twice, or more often where there is an answer; all that came in was taken.
    came = sum(v for k, v in more.items() if k.startswith('shardsm_stanzas_total{direction="in"'))
    bursts = [v for k, v in more.items() if k.startswith('shardsm_worker_burst_packets_bucket')]
    assert bursts == sorted(bursts) and bursts[-1] == more['shardsm_worker_burst_packets_count'] <= 8 * came, bursts
    assert came + 10 <= more['shardsm_worker_burst_packets_sum'] <= 4 * came, (came, more)
    assert came / 8 <= more['shardsm_link_reads_total'] <= 4 * came and more['shardsm_link_writes_total'] >= 10, more
    assert 0 < more['shardsm_wakes_total'] and 0 < more['shardsm_sleeps_total{thread="worker"}'] <= bursts[-1] + 4, more
    assert 0 < more['shardsm_sleeps_total{thread="acceptor"}'] <= more['shardsm_acceptor_turns_total'], more
    assert after['process_resident_memory_bytes'] > 1 << 20 and after['process_cpu_seconds_total'] > 0
    for shard in range(4):
        assert after['shardsm_shard_queue_bytes{shard="%d"}' % shard] == 0


def limit_counts(site):
    """Each limit that is hit is counted, by its name."""
    site.edit(('<roster></roster>', '<roster><maxitems>1</maxitems></roster>'), ('<offline></offline>', '<offline><userquota>1</userquota></offline>'),
              ('</sm>', '<limits><frame-bytes>5000</frame-bytes><privacy-lists>1</privacy-lists></limits></sm>'))
    site.reload()
    alice = site.user('alice')
    site.c2s.create('away@' + DOMAIN)
    for i in range(2):
        site.ask(alice, 'set', "<query xmlns='jabber:iq:roster'><item jid='x%d@y.test'/></query>" % i)
        site.ask(alice, 'set', "<query xmlns='jabber:iq:privacy'><list name='l%d'><item action='allow' order='1'/></list></query>" % i)
        alice.send("<message to='away@%s' id='s' type='chat'><body>x</body></message>" % DOMAIN)
    assert alice.next('the message that has no room').get('type') == 'error'
    deep = 70
    alice.send("<message to='%s'>%s%s</message>" % (alice.jid, '<x>' * deep, '</x>' * deep))
    assert alice.next('the deep message').get('type') == 'error'
    alice.send("<message to='%s'><body>%s</body></message>" % (alice.jid, 'x' * 6000))
    try:
        alice.next('the large message')
    except Closed:
        pass
    now = site.metrics()
    for limit in ('roster-items', 'privacy', 'offline-quota', 'frame-structure', 'frame-bytes'):
        assert now['shardsm_limit_hits_total{limit="%s"}' % limit] == 1, (limit, [k for k in now.items() if 'limit' in k[0]])
    assert now['shardsm_frames_refused_total'] == 2
    assert now['shardsm_offline_messages_total{result="refused"}'] == 1


def drain(site):
    """Nobody comes any more; with the last one it ends, by itself."""
    alice = site.user('alice')
    site.c2s.create('bob@' + DOMAIN)
    assert site.command('drain') == ['1 sessions to wait for']
    site.c2s.command('start', 'bob@%s/r' % DOMAIN, '77')
    assert site.c2s.answer('start', '77').elements()[0].session('failed') == '1'
    assert 'draining' in '\n'.join(site.command('status'))
    assert site.ask(alice, 'get', "<ping xmlns='urn:xmpp:ping'/>", DOMAIN).get('type') == 'result'
    site.c2s.end(alice)
    assert site.process.wait() == 0
    assert not os.path.exists(site.path), 'the socket is still there'


def stop(site):
    site.user('alice')
    assert site.command('stop') == ['shutting down']
    assert site.process.wait() == 0
    assert 'session ended: jid=alice@' in '\n'.join(site.process.lines)
    status, _, err = site.ctl('status')
    assert status == 1 and 'is shardsm running' in err, err


def socket_left(site):
    """A socket left behind by a process that was killed is taken over; one that answers is not, nor another file."""
    site.process.kill()
    site.process.wait()
    assert os.path.exists(site.path)
    config = site.world.path('sm.xml')
    again = site.world.shardsm(config)
    again.wait_line('listening for HTTP')
    second = site.world.shardsm(site.world.write('second.xml', re.sub(r'<port>\d+<', '<port>0<', site.first)))
    assert second.wait() == 1 and 'another process answers there' in second.tail(), second.tail()
    assert site.command('status')
    again.stop()
    site.world.write('control.sock', 'precious')
    third = site.world.shardsm(config)
    assert third.wait() == 1 and 'no socket' in third.tail(), third.tail()
    with open(site.path) as f:
        assert f.read() == 'precious'


CASES = (status, sessions, kick, commands, bad_commands, bad_requests, slow_clients, counts, limit_counts, drain, stop, socket_left)


def run(case):
    with World() as world:
        site = Steered(world)
        try:
            case(site)
            if site.process.running():
                assert site.process.stop() == 0, 'exit status:\n' + site.process.tail()
        finally:
            site.close()


if __name__ == '__main__':
    sys.exit(run_cases(CASES, run))
