"""servers.py - the servers that the tests start: shardsm, and jabberd2's router, sm and c2s; their configs and databases.
Threads: one reader thread for each process, which collects its log lines.
Owns: a World owns a temporary directory and the processes started in it; close() stops them by their pid and removes it.
"""
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

import engines

SECONDS = float(os.environ.get('SYSTEM_TEST_SECONDS', '10'))
SHARDSM = os.environ.get('SHARDSM', os.path.abspath('src/shardsm'))
SBIN = os.environ.get('JABBERD2_SBIN', '/usr/sbin')
SKIP = engines.SKIP

CHAINS = {  # the chains of jabberd2's sm.xml
    'sess-start': 'status',
    'sess-end': 'status iq-last',
    'in-sess': 'validate status privacy roster vacation iq-vcard iq-ping iq-private disco amp offline announce presence deliver',
    'out-sess': '',
    'in-router': 'session validate presence privacy',
    'out-router': 'privacy',
    'pkt-sm': 'iq-last iq-ping iq-time iq-version amp disco announce help echo status presence',
    'pkt-user': 'roster presence disco iq-vcard amp deliver vacation offline iq-last',
    'pkt-router': 'session disco',
    'user-load': 'active roster roster-publish privacy vacation',
    'user-unload': '',
    'user-create': 'active template-roster',
    'user-delete': 'active announce offline privacy roster vacation status iq-last iq-private iq-vcard',
    'disco-extend': 'iq-version help',
}

SM_XML = """<sm>
  <id>{id}</id>
  <pidfile>{dir}/{id}.pid</pidfile>
  {router}
  {listen}
  <log type='{logtype}'><file>{logfile}</file></log>
  <local>{local}</local>
  <storage>
    <path>/usr/lib/x86_64-linux-gnu/jabberd2</path>
    <driver>sqlite</driver>
    <limits></limits>
    <sqlite>
      <dbname>{db}</dbname>
      <sql>
        PRAGMA synchronous = NORMAL;
      </sql>
      <busy-timeout>5000</busy-timeout>
    </sqlite>
  </storage>
  <aci><acl type='all'>{admins}</acl></aci>
  <modules>
    <path>/usr/lib/x86_64-linux-gnu/jabberd2</path>
    {chains}
  </modules>
  <discovery>
    <identity><category>server</category><type>im</type><name>Jabber IM server</name></identity>
    <agents/>
    <items></items>
  </discovery>
  <user><template></template></user>
  <amp></amp>
  <offline></offline>
  <roster></roster>
  <status></status>
  {extra}
</sm>
"""

ROUTER_PART = """<router><ip>127.0.0.1</ip><port>{port}</port><user>jabberd</user><pass>{password}</pass>{more}
    <retry><init>{init}</init><lost>{lost}</lost><sleep>1</sleep></retry></router>"""

ROUTER_XML = """<router>
  <id>router</id>
  <pidfile>{dir}/router.pid</pidfile>
  <log type='stdout'></log>
  <local><ip>127.0.0.1</ip><port>{port}</port><users>{dir}/router-users.xml</users><secret>secret</secret>{more}</local>
  <check><interval>60</interval><keepalive>0</keepalive></check>
  <io><max_fds>1024</max_fds><limits><bytes>0</bytes><connects>0</connects></limits>
    <access><order>allow,deny</order></access></io>
  <aliases></aliases>
  <aci><acl type='all'><user>jabberd</user></acl></aci>
</router>
"""

C2S_XML = """<c2s>
  <id>{id}</id>
  <pidfile>{dir}/{id}.pid</pidfile>
  <router><ip>127.0.0.1</ip><port>{router}</port><user>jabberd</user><pass>secret</pass>{more}
    <retry><init>20</init><lost>20</lost><sleep>1</sleep></retry></router>
  <log type='stdout'></log>
  <local><id register-enable='mu'>{domain}</id><ip>127.0.0.1</ip><port>{port}</port></local>
  <io><max_fds>1024</max_fds>
    <limits><bytes>0</bytes><stanzas>100000</stanzas><connects>0</connects><stanzasize>65535</stanzasize></limits>
    <access><order>allow,deny</order></access>
    <check><interval>0</interval><idle>0</idle><keepalive>0</keepalive></check></io>
  <stats></stats><pbx></pbx><stream_redirect></stream_redirect>
  <authreg>
    <path>/usr/lib/x86_64-linux-gnu/jabberd2</path>
    <module>sqlite</module>
    <mechanisms><traditional><plain/><digest/></traditional><sasl><plain/><digest-md5/></sasl></mechanisms>
    <ssl-mechanisms><traditional><plain/></traditional><sasl><plain/></sasl></ssl-mechanisms>
    <sqlite><dbname>{db}</dbname><sql>PRAGMA synchronous = NORMAL;</sql><busy-timeout>5000</busy-timeout>
      <password_type><plaintext/></password_type></sqlite>
  </authreg>
</c2s>
"""


class Died(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def chains_xml():
    return '\n    '.join("<chain id='%s'>%s</chain>" % (
        name, ''.join('<module>%s</module>' % m for m in modules.split())) for name, modules in CHAINS.items())


def need_jabberd2(*programs):
    """Ends the program as skipped where jabberd2 is not installed."""
    for program in programs:
        path = os.path.join(SBIN, 'jabberd2-' + program)
        if not os.access(path, os.X_OK):
            print('# skipped: %s is missing: install the Debian package jabberd2 (or set JABBERD2_SBIN)' % path)
            sys.exit(SKIP)


def need_shardsm():
    if not os.access(SHARDSM, os.X_OK):
        print('Bail out! %s is missing: build it first, or set SHARDSM to its path' % SHARDSM)
        sys.exit(1)


class Process:
    """A server whose log goes to stdout. lines: everything that it said so far."""

    def __init__(self, name, argv):
        self.name = name
        self.lines = []
        self.changed = threading.Condition()
        self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pid = self.child.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            with self.changed:
                self.lines.append(line.decode('utf-8', 'replace').rstrip('\n'))
                self.changed.notify_all()
        with self.changed:
            self.lines.append('[end of output]')
            self.changed.notify_all()

    def wait_line(self, pattern, after=0, seconds=None):
        """The match of the first line, at index `after` or later, that pattern is found in."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + (seconds or SECONDS)
        seen = after
        with self.changed:
            while True:
                for line in self.lines[seen:]:
                    found = wanted.search(line)
                    if found:
                        return found
                if self.lines and self.lines[-1] == '[end of output]':
                    raise Died('%s ended before it said /%s/:\n%s' % (self.name, pattern, self.tail()))
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Died('%s never said /%s/:\n%s' % (self.name, pattern, self.tail()))
                self.changed.wait(left)

    def tail(self, n=12):
        return '\n'.join('#   ' + line for line in self.lines[-n:])

    def running(self):
        return self.child.poll() is None

    def wait(self, seconds=None):
        """Its exit status; Died when it goes on running."""
        try:
            status = self.child.wait(seconds or SECONDS)
        except subprocess.TimeoutExpired:
            raise Died('%s is still running:\n%s' % (self.name, self.tail())) from None
        self.reader.join()
        return status

    def kill(self, sig=signal.SIGKILL):
        if self.running():
            os.kill(self.pid, sig)

    def stop(self, sig=signal.SIGTERM, seconds=None):
        self.kill(sig)
        try:
            return self.wait(seconds)
        except Died:
            self.kill()
            self.wait()
            raise

    def cleanup(self):
        self.kill(signal.SIGTERM)
        try:
            self.child.wait(max(8, SECONDS))
        except subprocess.TimeoutExpired:
            self.kill()
            self.child.wait()


METRICS = '<metrics><ip>127.0.0.1</ip><port>0</port></metrics>'


def metrics(process):
    """What a shardsm with METRICS in its config counts: series -> number."""
    port = process.wait_line(r'port=(\d+)\] listening for HTTP').group(1)
    with urllib.request.urlopen('http://127.0.0.1:%s/metrics' % port) as answer:
        text = answer.read().decode()
    return {k: float(v) for k, v in re.findall(r'^([a-z_]+(?:\{.*?\})?) ([0-9.e+-]+)$', text, re.M)}


class World:
    """A temporary directory with the servers that run in it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='shardsm-test-')
        self.processes = []
        self.db = os.path.join(self.dir, 'sqlite.db')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in reversed(self.processes):
            process.cleanup()
        self.processes.clear()
        if os.environ.get('SYSTEM_TEST_KEEP'):
            print('# kept: ' + self.dir)
            return
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)
        return self.path(name)

    def run(self, name, argv):
        process = Process(name, argv)
        self.processes.append(process)
        return process

    def make_schema(self):
        """jabberd2's tables, as an operator would have made them."""
        database = engines.instead_of(self.db)
        if database:
            database.add_stock_tables()
            return
        db = sqlite3.connect(self.db)
        db.executescript(engines.schema('sqlite'))
        db.close()

    def sm_config(self, domains, name='sm', router=0, listen=None, workers=4, acceptors=1, parser='scan', extra='', logtype='stdout',
                  password='secret', retry=(3, -1), admins=None, db=None, in_router='', in_listen=''):
        """Writes NAME.xml. router: a port to dial, 0 for none. listen: a port (0: any), None for none. in_router, in_listen: more keys."""
        more = os.environ.get('SYSTEM_TEST_EXTRA', '')   # for every server, but where the test says so itself
        own = more if more.partition('>')[0] not in extra else ''
        if listen is not None:
            own += ("<listen><ip>127.0.0.1</ip><port>%d</port><user>jabberd</user><pass>secret</pass>"
                    "<secret>secret</secret>%s</listen>" % (listen, in_listen))
        if workers:  # 0: a config for jabberd2's own sm
            own += "<threads><acceptors>%d</acceptors><workers>%s</workers><store>2</store></threads>" % (acceptors, workers)
            own += "<route-parser>%s</route-parser>" % parser
        path = self.write(name + '.xml', SM_XML.format(
            id=name, dir=self.dir, logtype=logtype, logfile=self.path(name + '.log'), db=db or self.db,
            router=ROUTER_PART.format(port=router, password=password, init=retry[0], lost=retry[1], more=in_router) if router else '',
            listen=own, local=''.join('<id>%s</id>' % d for d in domains), chains=chains_xml(), extra=extra,
            admins=''.join('<jid>admin@%s</jid>' % d for d in domains) if admins is None else admins))
        database = engines.instead_of(db or self.db)
        if database:
            database.configure(path)
        return path

    def shardsm(self, config, *more):
        return self.run('shardsm', [SHARDSM, '-c', config, *more])

    def listening_shardsm(self, domains, **kw):
        """Started, and its port."""
        wanted = kw.pop('port', 0)
        for _ in range(5):   # somebody else may take the port between the look and the bind
            process = self.shardsm(self.sm_config(domains, listen=wanted or free_port(), **kw))
            try:
                return process, self.port_of(process)
            except Died:
                if wanted or 'in use' not in process.tail():
                    raise
                self.processes.remove(process)
        raise Died('no free port for shardsm:\n' + process.tail())

    @staticmethod
    def port_of(process):
        return int(process.wait_line(r'\[.*port=(\d+)\] listening for components').group(1))

    def router(self, port=None, in_local=''):
        """jabberd2's router, listening; and its port. in_local: more keys of its <local>."""
        self.write('router-users.xml', '<users><user><name>jabberd</name><secret>secret</secret></user></users>')
        for _ in range(5):   # somebody else may take the port between the look and the bind
            chosen = port or free_port()
            config = self.write('router.xml', ROUTER_XML.format(dir=self.dir, port=chosen, more=in_local))
            process = self.run('router', [os.path.join(SBIN, 'jabberd2-router'), '-c', config])
            try:
                process.wait_line(r'listening for')
                return process, chosen
            except Died:
                if port:
                    raise
        raise Died('no free port for the router:\n' + process.tail())

    def stock_sm(self, config):
        process = self.run('jabberd2-sm', [os.path.join(SBIN, 'jabberd2-sm'), '-c', config])
        process.wait_line('ready for sessions')
        return process

    def c2s(self, domain, router_port, name='c2s', port=None, in_router=''):
        """jabberd2's c2s, ready for clients; and its port. in_router: more keys of its <router>."""
        for _ in range(5):
            chosen = port or free_port()
            config = self.write(name + '.xml', C2S_XML.format(
                id=name, dir=self.dir, router=router_port, domain=domain, port=chosen, db=self.db, more=in_router))
            database = engines.instead_of(self.db)
            if database:
                database.configure_c2s(config)
            process = self.run(name, [os.path.join(SBIN, 'jabberd2-c2s'), '-c', config])
            try:
                process.wait_line(r'listening for')
                return process, chosen
            except Died:
                if port:
                    raise
        raise Died('no free port for c2s:\n' + process.tail())


class Report:
    """Counts cases; one line for each, the sum at the end."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def case(self, name, function, *args):
        """Runs one case; an exception is a failure. True when it passed."""
        try:
            function(*args)
        except Exception as e:  # whatever went wrong belongs to this case alone
            self.failed += 1
            why = str(e) or type(e).__name__
            print('not ok %s: %s' % (name, why), flush=True)
            if not isinstance(e, (AssertionError, Died)) and type(e).__module__ != 'component':
                print(''.join('# ' + l for l in traceback.format_exc().splitlines(True)))
            return False
        self.passed += 1
        print('ok ' + name, flush=True)
        return True

    def finish(self):
        print('# %d passed, %d failed' % (self.passed, self.failed), flush=True)
        return 1 if self.failed or not self.passed else 0


def in_world(case):
    """For run_cases(): each gets a world of its own, with jabberd2's tables."""
    with World() as world:
        world.make_schema()
        case(world)


def run_cases(cases, run=lambda case: case()):
    """main() of a test of shardsm with named cases: {name: case}, or functions. All of them, or those that the command line names."""
    need_shardsm()
    if not isinstance(cases, dict):
        cases = {case.__name__: case for case in cases}
    report = Report()
    for name in sys.argv[1:] or cases:
        report.case(name, run, cases[name])
    return report.finish()
