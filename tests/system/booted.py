#!/usr/bin/python3
"""booted.py - the installed unit under a booted systemd: started, reloaded, hung, killed, misconfigured, stopped.
Threads: one, and a reader of the container's console.
Owns: a container, in which this machine's own system is booted from a copy-on-write view of its root; nothing of it is kept.

Wants root, systemd-nspawn, and the user jabber of Debian's jabberd2; skips where one of them is missing, or where
systemd does not boot.
usage: booted.py [NAME...]
"""
import sys
sys.dont_write_bytecode = True
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import time

from component import FakeC2S, Hub
from servers import SHARDSM, SKIP, Died, World, free_port, run_cases
from supervision import Frozen

BUILD = os.path.dirname(os.path.dirname(os.path.abspath(SHARDSM)))
UNIT, DOMAIN = 'jabberd-sm.service', 'booted.test'
BOOT = 120      # seconds that the container may take
WATCHDOG = 30   # of the unit
MOST_EXPOSED = 1.1   # by systemd-analyze; README says so
# The root is seen through a mount of this container's own, read-only; what is written goes to memory.
SCRIPT = """mount --bind / '{tree}' && mount -o remount,bind,ro '{tree}' && exec systemd-nspawn -D '{tree}' --volatile=overlay --register=no \\
    --keep-unit --boot -M {name} {binds} systemd.unit=basic.target systemd.show_status=0 systemd.mask=timers.target"""


def why_not():
    if os.getuid() != 0:
        return 'containers need root'
    for program in ('systemd-nspawn', 'systemd-analyze', 'unshare', 'nsenter'):
        if not shutil.which(program):
            return '%s is missing: install the Debian packages systemd and systemd-container' % program
    try:
        pwd.getpwnam('jabber')
    except KeyError:
        return 'there is no user jabber: install the Debian package jabberd2'
    return None


class Machine:
    """A booted container with the unit, its program and its configuration in place."""

    def __init__(self, world):
        self.world, self.port, self.since = world, free_port(), 0
        self.install()
        os.mkdir(world.path('tree'))
        binds = ' '.join("--bind-ro='%s:%s'" % pair for pair in (
            (world.path('root') + self.prefix, self.prefix), (world.path('unit'), '/etc/systemd/system/' + UNIT),
            (world.path('etc'), '/etc/jabberd2'))) + ' --bind=' + world.path('state') + ':/var/lib/jabberd2'
        script = SCRIPT.format(tree=world.path('tree'), name='shardsm-%d' % os.getpid(), binds=binds)
        self.nspawn = world.run('systemd-nspawn', ['unshare', '-m', 'sh', '-c', script])
        self.booted()

    def install(self):
        world = self.world
        done = subprocess.run(['make', '-C', BUILD, 'install', 'DESTDIR=' + world.path('root')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env={k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MFLAGS', 'MAKELEVEL')})
        assert done.returncode == 0, done.stdout[-2000:]
        unit = next(os.path.join(d, f) for d, _, files in os.walk(world.path('root')) for f in files if f == 'shardsm.service')
        shutil.copy(unit, world.path('unit'))
        with open(unit) as f:
            self.prefix = os.path.dirname(os.path.dirname(re.search(r'^ExecStart=(\S+)', f.read(), re.M).group(1)))
        owner = pwd.getpwnam('jabber')
        for name in ('etc', 'state'):
            os.mkdir(world.path(name))
            os.chmod(world.path(name), 0o755)
        os.chmod(world.dir, 0o755)
        os.chown(world.path('state'), owner.pw_uid, owner.pw_gid)
        config = world.sm_config([DOMAIN], listen=self.port, extra='<user><auto-create/></user>').replace(world.dir, '')
        with open(world.path(config.lstrip('/'))) as f:
            self.config = f.read().replace(world.dir, '/var/lib/jabberd2')
        self.configure(self.config)

    def configure(self, text):
        """The directory is what the container sees."""
        with open(self.world.path('etc/sm.xml'), 'w') as f:
            f.write(text)
        os.chmod(self.world.path('etc/sm.xml'), 0o644)

    def booted(self):
        """nspawn's child is the container's first process."""
        end = time.monotonic() + BOOT
        while time.monotonic() < end:
            if not self.nspawn.running():
                raise Died('the container does not boot:\n' + self.nspawn.tail(30))
            family = children(self.nspawn.pid)
            self.leader = family[0] if family else 0
            if self.leader and self.ask('systemctl', 'is-active', 'basic.target', 'dbus.socket').stdout.split() == ['active', 'active']:
                return
            select.select([], [], [], 0.2)
        raise Died('the container is not up after %d s:\n%s' % (BOOT, self.nspawn.tail(30)))

    def ask(self, *argv):
        return subprocess.run(['nsenter', '-t', str(self.leader), '-a', '--', *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def systemctl(self, *argv):
        done = self.ask('systemctl', *argv)
        assert done.returncode == 0, 'systemctl %s: %s\n%s' % (' '.join(argv), done.stdout, self.journal())
        return done.stdout

    def journal(self):
        """What the unit and systemd said of it in this case."""
        return self.ask('journalctl', '-q', '--no-pager', '-o', 'cat', '--since=@%d' % self.since, '-u', UNIT).stdout[-3000:]

    def show(self):
        """The unit's properties."""
        return dict(line.split('=', 1) for line in self.systemctl('show', UNIT).splitlines() if '=' in line)

    def until(self, condition, what, seconds):
        """systemd says nothing by itself to who is not on its bus: it is asked."""
        end = time.monotonic() + seconds
        while not condition(shown := self.show()):
            assert time.monotonic() < end, 'no %s within %d s: %s\n%s' % (what, seconds, {
                k: shown.get(k) for k in ('ActiveState', 'SubState', 'Result', 'NRestarts', 'MainPID')}, self.journal())
            select.select([], [], [], 0.2)
        return shown

    def outside(self, pid):
        """The id that a process of the container has out here."""
        for entry in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/status' % entry) as f:
                    found = re.search(r'^NSpid:\t\d+\t%s$' % pid, f.read(), re.M)
                if found and os.readlink('/proc/%s/ns/pid' % entry) == os.readlink('/proc/%d/ns/pid' % self.leader):
                    return int(entry)
            except OSError:
                continue
        raise AssertionError('process %s of the container is nowhere' % pid)

    def start(self):
        self.systemctl('reset-failed')
        self.systemctl('start', UNIT)
        return self.show()

    def serves(self):
        """A c2s comes in, with somebody who comes online."""
        hub = Hub()
        c2s = FakeC2S(hub, ('127.0.0.1', self.port)).connect()
        c2s.online(DOMAIN)
        session = c2s.start('alice@%s/r' % DOMAIN)
        session.send("<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert session.next('a ping').get('type') == 'result'
        return hub, c2s, session

    def close(self):
        if self.nspawn.running():
            self.ask('systemctl', '--no-block', 'poweroff')
            try:
                self.nspawn.wait(BOOT)
            except Died:
                os.kill(self.leader, signal.SIGKILL)   # and with it all that is in there
                raise


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(n) for n in f.read().split()]


def life(machine):
    """Ready when it listens; reloads; tells its c2s at the end, within the time."""
    shown = machine.start()
    assert (shown['Type'], shown['ActiveState'], shown['SubState']) == ('notify', 'active', 'running'), shown
    hub, c2s, session = machine.serves()   # no waiting: ready is ready
    machine.until(lambda s: s['StatusText'].startswith('1 sessions'), 'status with a session', 20)
    assert shown['WatchdogUSec'] == '%ds' % WATCHDOG, shown['WatchdogUSec']
    first = int(machine.show()['WatchdogTimestampMonotonic'])
    machine.until(lambda s: int(s['WatchdogTimestampMonotonic']) > first > 0, 'sign of life to the watchdog', WATCHDOG)
    machine.configure(machine.config.replace('Jabber IM server', 'Renamed'))
    machine.systemctl('reload', UNIT)
    machine.until(lambda s: 'read again, in force' in machine.journal() and s['ActiveState'] == 'active', 'reload', 20)
    session.send("<iq type='get' id='info' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>" % DOMAIN)
    assert 'Renamed' in str(session.next('disco#info'))
    began = time.monotonic()
    machine.systemctl('stop', UNIT)
    took = time.monotonic() - began
    hub.until(lambda: c2s.eof, 'the end of the stream')
    assert session.ended == 'ended', session.queue
    shown = machine.show()
    assert (shown['ActiveState'], shown['Result'], shown['ExecMainStatus']) == ('inactive', 'success', '0'), shown
    assert took < 15, 'systemctl stop took %.1f s' % took
    print('# stopped in %.2f s' % took, flush=True)
    hub.close()


def started_anew(machine, result, seconds):
    """By systemd, and it serves."""
    shown = machine.until(lambda s: s['NRestarts'] == '1' and s['ActiveState'] == 'active', 'restart after ' + result, seconds)
    assert result in machine.journal(), machine.journal()
    hub, _, _ = machine.serves()
    hub.close()
    machine.systemctl('stop', UNIT)
    return shown


def process_stopped(machine):
    """SIGSTOP: the watchdog kills it, and it is started anew."""
    pid = machine.start()['MainPID']
    machine.ask('kill', '-STOP', pid)
    shown = started_anew(machine, "Failed with result 'watchdog'", 3 * WATCHDOG)
    assert shown['MainPID'] != pid


def shard_stuck(machine):
    """One thread of many."""
    pid = machine.start()['MainPID']
    with Frozen(machine.outside(pid), 'shard 1'):   # whom a tracer holds cannot even be killed
        machine.until(lambda s: s['Result'] == 'watchdog', 'watchdog timeout', 3 * WATCHDOG)
    started_anew(machine, "Failed with result 'watchdog'", 3 * WATCHDOG)
    assert 'shard 1: no sign of life' in machine.journal(), machine.journal()


def killed(machine):
    pid = machine.start()['MainPID']
    machine.ask('kill', '-KILL', pid)
    started_anew(machine, "Failed with result 'signal'", 30)


def wrong_config(machine):
    """Exit status 2: not started again and again."""
    machine.configure(machine.config.replace('<roster></roster>', '<roster><maxitems>many</maxitems></roster>'))
    done = machine.ask('systemctl', 'start', UNIT)
    assert done.returncode != 0, done.stdout
    shown = machine.show()
    assert (shown['ActiveState'], shown['ExecMainStatus'], shown['NRestarts']) == ('failed', '2', '0'), shown
    assert 'roster.maxitems: "many" is not a number' in machine.journal(), machine.journal()


def security(machine):
    out = machine.ask('systemd-analyze', 'security', '--no-pager', UNIT).stdout
    found = re.search(r'Overall exposure level for %s: ([\d.]+)' % re.escape(UNIT), out)
    assert found, out
    print('# exposure level %s' % found.group(1), flush=True)
    assert float(found.group(1)) <= MOST_EXPOSED, out


CASES = {f.__name__.replace('_', '-'): f for f in (life, killed, wrong_config, security, process_stopped, shard_stuck)}


def main():
    why = why_not()
    if why:
        print('# skipped: ' + why)
        return SKIP
    with World() as world:
        try:
            machine = Machine(world)
        except Died as e:   # a container within a container, say: that is not the unit's fault
            print('# skipped: ' + str(e))
            return SKIP

        def run(case):
            machine.configure(machine.config)
            machine.since = int(time.time())
            try:
                case(machine)
            finally:
                machine.ask('systemctl', 'stop', UNIT)
        try:
            return run_cases(CASES, run)
        finally:
            machine.close()


if __name__ == '__main__':
    sys.exit(main())
