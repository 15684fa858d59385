#!/usr/bin/python3
"""faults_host.py - what the machine does to the process: no descriptors, no memory, a full disk, closed standard files, signals, a clock that jumps.
Threads: one, and a log reader for each server.
Owns: the servers that it starts; in a mount namespace of its own a small disk that is full.
"""
import sys
sys.dont_write_bytecode = True
import ctypes
import os
import resource
import signal
import socket
import subprocess
import time

from component import FakeC2S, Hub, Marks, attr
from servers import SHARDSM, Died, Report, World, need_shardsm

DOMAIN = 'host.test'
EVENT = 'jabber:x:event'
CLONE_NEWNS = 0x20000
HOURS = 3600


class Site:
    """A shardsm with alice and bob in it."""

    def __init__(self, world, name='sm', prefix=(), environment=None, streams='', **kw):
        self.world, self.hub, self.count = world, Hub(), 0
        self.name = name
        for _ in range(5):   # somebody else may take the port between the look and the bind
            with socket.socket() as s:
                s.bind(('127.0.0.1', 0))
                port = s.getsockname()[1]
            self.config = world.sm_config([DOMAIN], name=name, listen=port, db=world.path(name + '.db'), **kw)
            argv = [*prefix, SHARDSM, '-c', self.config]
            if environment:
                argv = ['/usr/bin/env', *('%s=%s' % e for e in environment.items()), *argv]
            if streams:
                argv = ['/bin/sh', '-c', 'exec "$@" ' + streams, 'sh', *argv]
            self.process = world.run('shardsm', argv)
            if self.listens(port):
                break
        self.address = ('127.0.0.1', port)
        self.c2s = FakeC2S(self.hub, self.address).connect()
        self.c2s.online(DOMAIN)
        for user in ('alice', 'bob'):
            self.c2s.create(self.jid(user))
        self.alice = self.c2s.start(self.jid('alice') + '/a')

    def listens(self, port):
        deadline = time.monotonic() + 60
        while self.process.running() and time.monotonic() < deadline:
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                return True
            except ConnectionRefusedError:
                try:
                    self.process.child.wait(0.05)
                except subprocess.TimeoutExpired:
                    pass
        return False

    def jid(self, user):
        return '%s@%s' % (user, DOMAIN)

    def ask(self, body, kind='get', to=None):
        """alice's request, and its answer."""
        self.count += 1
        ident = 'q%d' % self.count
        self.alice.send("<iq type='%s' id='%s'%s>%s</iq>" % (kind, ident, ' to=' + attr(to) if to else '', body))
        return self.hub.until(lambda: next((n for n in self.alice.queue if n.get('id') == ident), None), 'the answer to ' + body)

    def write(self, word):
        """Something that is acknowledged when it is committed."""
        answer = self.ask("<query xmlns='jabber:iq:private'><x xmlns='urn:test'>%s</x></query>" % word, 'set')
        assert answer.get('type') == 'result', answer
        self.word = word

    def read(self):
        """What was acknowledged last is there."""
        answer = self.ask("<query xmlns='jabber:iq:private'><x xmlns='urn:test'/></query>")
        got = answer.elements()[0].elements()[0].text()
        assert got == self.word, '%s, not %s' % (got, self.word)

    def store(self):
        """A message for bob, who is away; it is stored when this returns."""
        self.count += 1
        ident = 'm%d' % self.count
        self.alice.send("<message type='chat' to=%s id='%s'><body>x</body><x xmlns='%s'><offline/></x></message>" % (
            attr(self.jid('bob')), ident, EVENT))
        self.hub.until(lambda: any(n.name == 'message' and n.find('x', EVENT) is not None and n.find('x', EVENT).find('id') is not None
                                   and n.find('x', EVENT).find('id').text() == ident for n in self.alice.queue), 'the word that it is stored')
        return ident

    def fetch(self):
        """bob comes, and goes. What was stored for him."""
        bob = self.c2s.start(self.jid('bob') + '/b')
        bob.send('<presence/>')
        Marks(self.hub).flush([bob], [self.jid('bob')])
        messages = [n for n in bob.queue if n.name == 'message']
        self.c2s.end(bob)
        return messages

    def works(self, word='works'):
        self.write(word)
        self.read()
        ident = self.store()
        got = [n.get('id') for n in self.fetch()]
        assert got == [ident], got

    def processor_seconds(self):
        with open('/proc/%d/stat' % self.process.pid) as f:
            fields = f.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def close(self):
        self.hub.close()
        status = self.process.stop()
        assert status == 0, '%s: %s' % (status, self.process.tail())


def limit(site, what, soft):
    """Sets a limit of the running process; what it was."""
    before = resource.prlimit(site.process.pid, what)
    resource.prlimit(site.process.pid, what, (soft, before[1]))
    return before


def log_of(world, name):
    with open(world.path(name + '.log'), errors='replace') as f:
        return f.read().splitlines()


def until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'still waiting for ' + what
        time.sleep(0.02)   # a file of another process: there is nothing to wait on


def reloads(site, signal_sent=True):
    """SIGHUP, and its work is done."""
    seen = len(site.process.lines)
    if signal_sent:
        site.process.kill(signal.SIGHUP)
    site.process.wait_line('read again, in force', seen)


# --- descriptors -----------------------------------------------------------------------------------------------------------------------

def no_descriptors(world):
    """accept() fails, files cannot be opened: who is there is served, nobody spins, and it passes."""
    site = Site(world, 'descriptors')
    site.works()
    open_now = max(int(n) for n in os.listdir('/proc/%d/fd' % site.process.pid))
    before = limit(site, resource.RLIMIT_NOFILE, open_now + 1)
    seen = len(site.process.lines)
    waiting = [socket.create_connection(site.address) for _ in range(8)]
    site.process.wait_line('cannot accept .*raise the limit of open files', seen)
    site.process.kill(signal.SIGHUP)
    site.process.wait_line('the old configuration stays in force', seen)
    used = site.processor_seconds()
    for word in range(50):
        site.write('w%d' % word)
        site.read()
    ident = site.store()
    assert site.processor_seconds() - used < 5, 'it spins'
    resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE, before)
    other = FakeC2S(site.hub, site.address, 'other').connect()
    other.close()
    for sock in waiting:
        sock.close()
    assert [n.get('id') for n in site.fetch()] == [ident]
    reloads(site)
    site.works('again')
    site.close()


def limit_is_raised(world):
    """The soft limit of open files becomes the hard one; a small one is warned of."""
    site = Site(world, 'raised', prefix=('prlimit', '--nofile=100:600'))
    site.process.wait_line(r'open files: 600 may be open \(raised from 100')
    assert resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE) == (600, 600)
    site.works()
    site.close()
    site = Site(world, 'small', prefix=('prlimit', '--nofile=64:64'))
    site.process.wait_line('open files: 64 are few')
    site.works()
    site.close()


def closed_streams(world):
    """Started with 0, 1 and 2 closed: no socket and no file gets their numbers, and nothing of the log goes where it should not."""
    for case, streams in enumerate(('<&-', '>&-', '2>&-', '<&- >&- 2>&-')):
        site = Site(world, 'closed%d' % case, streams=streams, logtype='file')
        for number in range(3):
            target = os.readlink('/proc/%d/fd/%d' % (site.process.pid, number))
            assert target == '/dev/null' or target.startswith('pipe:'), '%d is %s' % (number, target)
        site.works()
        site.close()


# --- the log ---------------------------------------------------------------------------------------------------------------------------

def own_mounts():
    """None, or why this process may mount nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0:
        return 'no mounts of our own'
    done = subprocess.run(['mount', '--make-rprivate', '/'], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def full_log(world):
    """The log's disk is full: lines are lost and counted, nothing else is; when there is room again, the log goes on with whole lines."""
    small = world.path('small')
    os.mkdir(small)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small], check=True)
    try:
        site = Site(world, 'full', logtype='file')
        path = os.path.join(small, 'sm.log')
        with open(site.config) as f:
            text = f.read()
        with open(site.config, 'w') as f:
            f.write(text.replace(world.path('full.log'), path))
        site.process.kill(signal.SIGHUP)
        until(lambda: os.path.exists(path), 'the log on the small disk')
        filler = os.open(os.path.join(small, 'filler'), os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(filler, b'x' * 512)
        except OSError:
            os.close(filler)
        said = 0
        for number in range(300):   # each is a line
            other = FakeC2S(site.hub, site.address, 'c%d' % number).connect()
            other.close()
            said += 1
        site.works()
        os.unlink(os.path.join(small, 'filler'))
        FakeC2S(site.hub, site.address, 'after').connect().close()
        site.works('again')

        def lines():
            with open(path, errors='replace') as f:
                return f.read().splitlines()
        until(lambda: any('[after] online' in l for l in lines()), 'the log to go on')
        lost = [int(l.split('log: ')[1].split()[0]) for l in lines() if 'lines lost' in l]
        assert sum(lost) > said, 'lost %s of more than %d' % (lost, said)
        whole = lines()
        for number, line in enumerate(whole):   # the one that the disk took half of has an end of its own
            levels = line.count('[notice] ') + line.count('[warning] ') + line.count('[error] ')
            assert levels == 1 or (levels == 0 and 'lines lost' in whole[number + 1]), 'no whole line: ' + line
        site.close()
    finally:
        subprocess.run(['umount', '-l', small], check=True)


def dev_full(world):
    """Every line of the log fails."""
    path = world.path('devfull.log')
    os.symlink('/dev/full', path)
    site = Site(world, 'devfull', logtype='file')
    site.works()
    site.process.kill(signal.SIGHUP)
    site.works('again')
    site.close()


def log_directory_gone(world):
    """SIGHUP without the log's directory: the old file goes on; when the directory is there again, so is the log."""
    directory = world.path('logs')
    os.mkdir(directory)
    site = Site(world, 'gone', logtype='file')
    with open(site.config) as f:
        text = f.read()
    path = os.path.join(directory, 'sm.log')
    with open(site.config, 'w') as f:
        f.write(text.replace(world.path('gone.log'), path))
    site.process.kill(signal.SIGHUP)
    until(lambda: os.path.exists(path), 'the log in its directory')
    moved = world.path('moved')
    os.rename(directory, moved)
    site.process.kill(signal.SIGHUP)

    def lines(where):
        with open(os.path.join(where, 'sm.log')) as f:
            return f.read()
    until(lambda: 'log file cannot be opened' in lines(moved) and lines(moved).count('in force') == 2, 'the word of it in the old file')
    site.works()
    os.mkdir(directory)
    site.process.kill(signal.SIGHUP)
    until(lambda: os.path.exists(path) and 'in force' in lines(directory), 'the new file')
    site.works('again')
    site.close()


def reader_gone(world):
    """Nobody reads its stdout any more: no SIGPIPE, and nobody waits."""
    site = Site(world, 'reader')
    other = Site(world, 'piped', streams='| head -n 3 >/dev/null')
    other.works()
    for number in range(50):
        FakeC2S(other.hub, other.address, 'c%d' % number).connect().close()
    other.works('again')
    with open(world.path('piped.pid'), encoding='ascii') as f:   # the process that was started is the shell
        os.kill(int(f.read()), signal.SIGTERM)
    other.hub.until(lambda: other.c2s.eof, 'the end of the link')
    other.hub.close()
    other.process.wait()
    site.works()
    site.close()


def pidfile_unwritable(world):
    """It is said, and the server runs."""
    os.mkdir(world.path('pid.pid'))
    site = Site(world, 'pid')
    site.process.wait_line("couldn't write pidfile .*pid.pid")
    site.works()
    site.close()


# --- signals ---------------------------------------------------------------------------------------------------------------------------

def signal_storm(world):
    """A thousand SIGHUPs, with SIGPIPE, SIGUSR1 and SIGUSR2 between them, under load: everybody is served, the last one counts."""
    site = Site(world, 'storm')
    for number in range(1000):
        site.process.kill((signal.SIGHUP, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2)[number % 5])
        if number % 50 == 0:
            site.works('w%d' % number)
    seen = len(site.process.lines)
    site.process.kill(signal.SIGHUP)
    site.process.wait_line('in force', seen)
    site.works('after')
    site.close()


def stopped_for_long(world):
    """SIGSTOP for longer than a login may take: who had logged in has lost nothing, who was about to still can."""
    site = Site(world, 'stopped')
    site.works()
    half = FakeC2S(site.hub, site.address, 'half')
    half.open_stream()
    site.process.kill(signal.SIGSTOP)
    ident = 'late'
    site.alice.send("<iq type='set' id='late'><query xmlns='jabber:iq:private'><x xmlns='urn:test'>late</x></query></iq>")
    late = [socket.create_connection(site.address) for _ in range(20)]
    time.sleep(11)   # the login's ten seconds: the time is what this case is about
    site.process.kill(signal.SIGCONT)
    answer = site.hub.until(lambda: next((n for n in site.alice.queue if n.get('id') == ident), None), 'the answer')
    assert answer.get('type') == 'result', answer
    site.word = 'late'
    site.read()
    for sock in late:
        sock.close()
    half.close()
    FakeC2S(site.hub, site.address, 'half').connect().close()
    site.works('after')
    site.close()


# --- memory ----------------------------------------------------------------------------------------------------------------------------

def no_memory(world):
    """Not a page more for a while: requests may fail; the server stays, goes on afterwards, and what it acknowledged is there."""
    site = Site(world, 'memory')
    site.works()
    with open('/proc/%d/statm' % site.process.pid) as f:
        now = int(f.read().split()[0]) * resource.getpagesize()
    before = limit(site, resource.RLIMIT_AS, now + (1 << 20))
    big = 'x' * 400000
    answers = refused = 0
    for number in range(200):
        site.count += 1
        site.alice.send("<iq type='set' id='big%d'><query xmlns='jabber:iq:private'><x xmlns='urn:test:%d'>%s</x></query></iq>" % (
            number, number % 3, big))
    # until all of them have been taken from the link: the limit stays as long
    site.hub.until(lambda: site.c2s.eof or not site.c2s.out, 'the requests to be taken', 60)
    resource.prlimit(site.process.pid, resource.RLIMIT_AS, before)
    site.alice.send("<iq type='get' id='behind' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % DOMAIN)
    site.hub.until(lambda: site.c2s.eof or any(n.get('id') == 'behind' for n in site.alice.queue), 'the answer behind them', 60)
    for node in site.alice.queue:
        if node.get('id', '').startswith('big'):
            answers += 1
            refused += node.get('type') == 'error'
    assert site.process.running(), site.process.tail()
    print('# %d requests: %d answered, %d of them refused; the link %s' % (200, answers, refused, 'was closed' if site.c2s.eof else 'stays'))
    if site.c2s.eof:
        site.c2s.close()
        site.c2s = FakeC2S(site.hub, site.address).connect()
        site.c2s.online(DOMAIN)
        site.alice = site.c2s.start(site.jid('alice') + '/a')
    site.read()
    site.works('after')
    site.close()


# --- the clock -------------------------------------------------------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void)
{
	char text[32] = { 0 };
	int fd = (int)syscall(SYS_openat, AT_FDCWD, getenv("WALL_CLOCK_SHIFT"), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_read, fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	if (fd >= 0)
		syscall(SYS_close, fd);
	return atol(text);
}
int clock_gettime(clockid_t id, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, id, t);
	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		t->tv_sec += shift();
	return r;
}
int gettimeofday(struct timeval *t, void *zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}
time_t time(time_t *t)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (t)
		*t = now.tv_sec;
	return now.tv_sec;
}
"""


def clock_jumps(world):
    """The wall clock goes hours ahead, and back, and back again: stamps follow it, and nothing else does."""
    source = world.write('shim.c', SHIM)
    library = world.path('shim.so')
    subprocess.run([os.environ.get('CC', 'cc').split()[-1], '-shared', '-fPIC', '-O1', '-o', library, source], check=True)
    shift = world.write('shift', '0')
    preload = library
    if os.environ.get('LD_PRELOAD'):
        preload = os.environ['LD_PRELOAD'] + ' ' + library
    site = Site(world, 'clock', environment={'LD_PRELOAD': preload, 'WALL_CLOCK_SHIFT': shift})

    def jump(hours):
        with open(shift + '.new', 'w') as f:
            f.write('%d' % (hours * HOURS))
        os.rename(shift + '.new', shift)

    def seconds_of(to):
        answer = site.ask("<query xmlns='jabber:iq:last'/>", to=to)
        return int(answer.elements()[0].get('seconds'))

    site.works()
    for hours in (30, -30, 5, -5, 0):
        jump(hours)
        ident = site.store()
        now = time.gmtime(time.time() + hours * HOURS)
        bob = site.fetch()
        assert [n.get('id') for n in bob] == [ident], bob
        stamp = next(e.get('stamp') for e in bob[0].elements() if e.name == 'delay')
        assert stamp.startswith(time.strftime('%Y-%m-%dT', now)) or time.gmtime(time.mktime(now) - 60).tm_mday != now.tm_mday, (stamp, hours)
        when = site.ask("<time xmlns='urn:xmpp:time'/>", to=DOMAIN).elements()[0].find('utc').text()
        assert when.startswith(time.strftime('%Y-%m-%dT', now)[:10]), (when, hours)
        # how long the server has been up has nothing to do with what time it is
        assert 0 <= seconds_of(DOMAIN) < HOURS, 'up for %d seconds, after a jump of %d hours' % (seconds_of(DOMAIN), hours)
        # a login that is begun has its ten seconds, and a new one comes in
        FakeC2S(site.hub, site.address, 'jump%d' % hours).connect().close()
        site.works('at %d' % hours)
    # a message that expires in an hour does after a jump of five, and does not after one of minus five
    for hours, comes in ((5, False), (-5, True)):
        jump(0)
        site.alice.send("<message to=%s id='e%d'><body>x</body><x xmlns='jabber:x:expire' seconds='%d'/></message>" % (
            attr(site.jid('bob')), hours, HOURS))
        site.store()
        jump(hours)
        got = [n.get('id') for n in site.fetch()]
        assert ('e%d' % hours in got) == comes, (hours, got)
    jump(0)
    site.close()


CASES = (no_descriptors, limit_is_raised, closed_streams, dev_full, log_directory_gone, reader_gone, pidfile_unwritable, signal_storm,
         stopped_for_long, no_memory, clock_jumps)


def main():
    need_shardsm()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    why_not = own_mounts()
    if why_not:
        print('# not run: a full disk: ' + why_not)
    report = Report()
    with World() as world:
        for case in CASES + (() if why_not else (full_log,)):
            if wanted in case.__name__:
                report.case(case.__name__.replace('_', ' '), case, world)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
