"""A small XMPP site on this machine: shardsm, and jabberd2's c2s that dials it. Used by quickstart.py.

Everything that the site writes is in one directory; its processes end with it, also when this program is killed.
"""

import contextlib
import ctypes
import fcntl
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time

C2S = "/usr/sbin/jabberd2-c2s"
DOMAIN = "localhost"
START_SECONDS = 30
STOP_SECONDS = 10
PR_SET_PDEATHSIG = 1
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

# jabberd2's own chains in their order, as far as shardsm has the modules.
CHAINS = {
    "sess-start": "status",
    "sess-end": "status iq-last",
    "in-sess": "validate status privacy roster vacation iq-vcard iq-ping iq-private disco amp offline announce presence deliver",
    "in-router": "session validate presence privacy",
    "out-router": "privacy",
    "pkt-sm": "iq-last iq-ping iq-time iq-version amp disco announce help echo status presence",
    "pkt-user": "roster presence disco iq-vcard amp deliver vacation offline iq-last",
    "pkt-router": "session disco",
    "user-load": "active roster roster-publish privacy vacation",
    "user-create": "active template-roster",
    "user-delete": "active announce offline privacy roster vacation status iq-last iq-private iq-vcard",
    "disco-extend": "iq-version help",
}

SM_XML = """<?xml version='1.0'?>
<!-- shardsm without a router: c2s dials <listen>. -->
<sm>
  <id>sm</id>
  <pidfile>{dir}/sm.pid</pidfile>
  <listen>
    <ip>127.0.0.1</ip>
    <port>{port}</port>
    <user>jabberd</user>
    <pass>{secret}</pass>
  </listen>
  <log type='file'>
    <file>{dir}/sm.log</file>
  </log>
  <local>
    <id>{domain}</id>
  </local>
  <storage>
    <driver>sqlite</driver>
    <sqlite>
      <dbname>{dir}/jabberd2.db</dbname>
      <busy-timeout>2000</busy-timeout>
    </sqlite>
  </storage>
  <modules>
{chains}
  </modules>
  <discovery>
    <identity>
      <category>server</category>
      <type>im</type>
      <name>shardsm quickstart</name>
    </identity>
  </discovery>
</sm>
"""

C2S_XML = """<?xml version='1.0'?>
<c2s>
  <id>c2s</id>
  <pidfile>{dir}/c2s.pid</pidfile>
  <router>
    <ip>127.0.0.1</ip>
    <port>{port}</port>
    <user>jabberd</user>
    <pass>{secret}</pass>
    <retry>
      <init>20</init>
      <lost>20</lost>
      <sleep>1</sleep>
    </retry>
  </router>
  <log type='file'>
    <file>{dir}/c2s.log</file>
  </log>
  <local>
    <id register-enable='mu' pemfile='{dir}/server.pem'>{domain}</id>
    <ip>127.0.0.1</ip>
    <port>{client_port}</port>
  </local>
  <io>
    <max_fds>1024</max_fds>
    <limits>
      <stanzasize>65535</stanzasize>
    </limits>
    <access>
      <order>allow,deny</order>
    </access>
  </io>
  <authreg>
    <path>{modules}</path>
    <module>sqlite</module>
    <mechanisms>
      <sasl>
        <plain/>
        <digest-md5/>
      </sasl>
    </mechanisms>
    <ssl-mechanisms>
      <sasl>
        <plain/>
      </sasl>
    </ssl-mechanisms>
    <sqlite>
      <dbname>{dir}/jabberd2.db</dbname>
      <busy-timeout>2000</busy-timeout>
      <password_type>
        <plaintext/>
      </password_type>
    </sqlite>
  </authreg>
</c2s>
"""

# jabberd2's table of passwords: c2s's own, so shardsm need not make it.
AUTHREG = """CREATE TABLE IF NOT EXISTS "authreg" ("username" TEXT NOT NULL, "realm" TEXT NOT NULL, "password" TEXT)"""


class SiteError(Exception):
    pass


def _free_port(wanted):
    """wanted, or any other where somebody else listens on it."""
    for port in (wanted, 0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return s.getsockname()[1]
    raise SiteError("no free TCP port on 127.0.0.1")


@contextlib.contextmanager
def _signals_held():
    """No signal comes between the start of a process and our knowing of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_child():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _c2s_modules():
    """The directory of c2s's authreg modules: below the library directory, whose name has the architecture in it."""
    for parent in ("/usr/lib/jabberd2", *(f"/usr/lib/{d}/jabberd2" for d in sorted(os.listdir("/usr/lib")))):
        if os.path.exists(f"{parent}/authreg_sqlite.so"):
            return parent
    raise SiteError("authreg_sqlite.so is missing: install the Debian package jabberd2")


class Site:
    def __init__(self, directory, shardsm):
        self.dir = os.path.abspath(directory)
        self.shardsm = os.path.abspath(shardsm)
        self.processes = []
        self.client_port = None
        self.lock = None

    def start(self):
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self._take_lock()
        self._certificate()
        # Between asking for a port and taking it somebody else may: then others are taken.
        for wanted in ((5347, 5222), (0, 0), (0, 0)):
            try:
                self._start_on(*map(_free_port, wanted))
                return
            except SiteError:
                self.stop()
                if not self._port_was_taken():
                    raise
        raise SiteError("no TCP port on 127.0.0.1 stays free for long enough")

    def _start_on(self, port, client_port):
        self.client_port = client_port
        self._configure(port)
        for log in ("sm.log", "c2s.log", "sm.out", "c2s.out"):
            self._remove(log)
        self._run("sm", [self.shardsm, "-c", f"{self.dir}/sm.xml"])
        self._wait("sm", "listens", lambda: self._answers(port))
        self._authreg()
        self._run("c2s", [C2S, "-c", f"{self.dir}/c2s.xml"])
        self._wait("c2s", f"serves {DOMAIN}", self._features)

    def _port_was_taken(self):
        for log in ("sm.log", "c2s.log"):
            with contextlib.suppress(OSError), open(f"{self.dir}/{log}") as f:
                if re.search("in use", f.read()):
                    return True
        return False

    def stop(self):
        """Ends what was started, the last one first. True: all ended when asked to."""
        clean = True
        for name, process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    clean = False
        self.processes = []
        return clean

    def dead(self):
        """What to say of a process that ended by itself, None where all run."""
        for name, process in self.processes:
            if process.poll() is not None:
                return f"{name} ended by itself (status {process.returncode})"
        return None

    def log_tails(self, lines=20):
        for name in ("sm.out", "sm.log", "c2s.out", "c2s.log"):
            try:
                with open(f"{self.dir}/{name}", errors="replace") as f:
                    text = f.readlines()[-lines:]
            except FileNotFoundError:
                continue
            if text:
                yield f"{self.dir}/{name}", "".join(text)

    def _take_lock(self):
        self.lock = open(f"{self.dir}/lock", "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SiteError(f"another quickstart uses {self.dir}") from None

    def _remove(self, name):
        try:
            os.unlink(f"{self.dir}/{name}")
        except FileNotFoundError:
            pass

    def _certificate(self):
        """Self-made, once; c2s wants certificate and key in one file."""
        if os.path.exists(f"{self.dir}/server.pem"):
            return
        openssl = self._run("openssl", ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
                                        "-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:{DOMAIN}",
                                        "-keyout", f"{self.dir}/key.pem", "-out", f"{self.dir}/cert.pem"])
        if openssl.wait() != 0:
            raise SiteError(f"openssl could not make a certificate, see {self.dir}/openssl.out")
        self.processes = [(name, process) for name, process in self.processes if process is not openssl]
        with open(os.open(f"{self.dir}/server.pem.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            for part in ("cert.pem", "key.pem"):
                with open(f"{self.dir}/{part}") as f:
                    out.write(f.read())
        os.rename(f"{self.dir}/server.pem.new", f"{self.dir}/server.pem")

    def _configure(self, port):
        chains = []
        for name, modules in CHAINS.items():
            chains.append(f"    <chain id='{name}'>")
            chains += [f"      <module>{m}</module>" for m in modules.split()]
            chains.append("    </chain>")
        values = {"dir": self.dir, "port": port, "client_port": self.client_port, "domain": DOMAIN,
                  "secret": os.urandom(16).hex(), "chains": "\n".join(chains), "modules": _c2s_modules()}
        for name, text in (("sm.xml", SM_XML), ("c2s.xml", C2S_XML)):
            with open(os.open(f"{self.dir}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                f.write(text.format(**values))

    def _authreg(self):
        with sqlite3.connect(f"{self.dir}/jabberd2.db", timeout=10) as db:
            db.execute(AUTHREG)
        db.close()

    def _run(self, name, command):
        with open(f"{self.dir}/{name}.out", "w") as out, _signals_held():
            try:
                # A session of its own: a Ctrl-C in the terminal is ours to answer, in the right order.
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir,
                                           start_new_session=True, preexec_fn=_in_child)
            except OSError as e:
                raise SiteError(f"{command[0]}: {e.strerror}") from None
            self.processes.append((name, process))
        return process

    def _wait(self, name, what, ready):
        end = time.monotonic() + START_SECONDS
        while not ready():
            dead = self.dead()
            if dead:
                raise SiteError(dead)
            if time.monotonic() > end:
                raise SiteError(f"{name} started, but nothing {what} within {START_SECONDS} seconds")
            time.sleep(0.05)

    def _answers(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    def _features(self):
        """c2s answers a stream for the domain with features only once the session manager has announced it."""
        header = (f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
                  f"to='{DOMAIN}' version='1.0'>")
        got = b""
        try:
            with socket.create_connection(("127.0.0.1", self.client_port), timeout=2) as s:
                s.sendall(header.encode())
                while b"</stream:features>" not in got:
                    more = s.recv(4096)
                    if not more:
                        return False
                    got += more
        except OSError:
            return False
        return True
