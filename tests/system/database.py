"""database.py - the databases that tests make for themselves: files of SQLite, servers of PostgreSQL and MariaDB.
Threads: one for each side of a comparison.
Owns: database servers and their data directories, from their start to close().
"""
import glob
import os
import pwd
import select
import shutil
import signal
import sqlite3
import subprocess
import tempfile

import engines
from engines import PASSWORD, USER, schema, tables
from servers import Died, free_port


class Sqlite:
    def __init__(self, directory):
        self.path = os.path.join(directory, 'sm.db')
        db = sqlite3.connect(self.path)
        db.executescript(schema('sqlite'))
        db.close()

    def file(self):
        return self.path

    def configure(self, path):
        pass   # servers.py writes configs for SQLite

    def rows(self):
        """(table, {column: content}) in the order of storing."""
        db = sqlite3.connect(self.path)
        db.row_factory = sqlite3.Row
        for table in tables(schema('sqlite')):
            for found in db.execute('SELECT * FROM "%s" ORDER BY "object-sequence"' % table):
                yield table, dict(found)
        db.close()

    def copy(self, name):
        """A database of its own with the same content."""
        other = Sqlite.__new__(Sqlite)
        other.path = '%s-%s' % (self.path, name)
        source, target = sqlite3.connect(self.path), sqlite3.connect(other.path)
        source.backup(target)
        source.close()
        target.close()
        return other


def wait_gone(pid):
    """Waits for a process that need not be a child of ours."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([fd], [], [], 30)
    os.close(fd)


class DatabaseServer:
    """A server of our own on loopback; where we are root it runs as nobody. options: more of its command line."""

    def __init__(self, world, options=(), port=0):
        self.world, self.options, self.count = world, list(options), 0
        self.path = tempfile.mkdtemp(prefix='shardsm-test-%s-' % self.KIND)
        os.chmod(self.path, 0o755)
        self.data = os.path.join(self.path, 'data')
        if os.getuid() == 0:
            owner = pwd.getpwnam('nobody')
            os.chown(self.path, owner.pw_uid, owner.pw_gid)
        self.make()
        self.port = port or free_port()
        self.start()
        self.add_user()

    @classmethod
    def there(cls):
        return cls.program(cls.NEEDED) is not None

    def as_user(self, program, *argv):
        command = [self.program(program), *argv]
        if os.getuid() != 0:
            return command
        owner = pwd.getpwnam('nobody')
        return ['setpriv', '--reuid=%d' % owner.pw_uid, '--regid=%d' % owner.pw_gid, '--clear-groups', *command]

    def run(self, program, *argv, **kw):
        done = subprocess.run(self.as_user(program, *argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              cwd='/', **kw)
        if done.returncode:
            raise Died('%s: %s' % (program, done.stdout))
        return done.stdout

    def start(self):
        self.process = self.world.run(self.KIND, self.command())
        self.process.wait_line('ready (to accept|for) connections', 0, 60)

    def stop(self, sig=signal.SIGTERM):
        """Ends it, or kills it; its children have ended too."""
        family = self.family()
        self.process.stop(sig, 60)
        self.world.processes.remove(self.process)
        for child in family[1:]:
            wait_gone(child)

    def family(self):
        """The ids of the process and its children."""
        with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)) as f:
            return [self.process.pid] + [int(n) for n in f.read().split()]

    def signal_all(self, sig):
        for pid in self.family():
            os.kill(pid, sig)

    def new(self):
        """An empty database."""
        self.count += 1
        return engines.KINDS[self.KIND](self.port, 'sm%d' % self.count)

    def database(self):
        """A new one with jabberd2's tables."""
        made = self.new().create().add_stock_tables()
        made.copy = lambda _name: self.copy(made)
        return made

    def copy(self, database):
        other = self.new()
        database.copy_to(other)
        return other

    def close(self):
        if self.process in self.world.processes:
            self.stop()
        shutil.rmtree(self.path, ignore_errors=True)


class PostgresqlServer(DatabaseServer):
    KIND, NEEDED = 'postgresql', 'postgres'

    @staticmethod
    def program(name):
        found = sorted(glob.glob('/usr/lib/postgresql/*/bin/' + name)) or [shutil.which(name)]
        return found[-1]

    def make(self):
        self.run('initdb', '-D', self.data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--locale=C', '-N')
        with open(os.path.join(self.data, 'pg_hba.conf'), 'r+') as f:
            rest = f.read()
            f.seek(0)
            f.write('host all %s 127.0.0.1/32 scram-sha-256\n%s' % (USER, rest))

    def command(self):
        return self.as_user('postgres', '-D', self.data, '-p', str(self.port), '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off',
                            '-c', 'unix_socket_directories=', *self.options)

    def add_user(self):
        self.root("CREATE ROLE %s LOGIN CREATEDB PASSWORD '%s';" % (USER, PASSWORD))

    def root(self, text):
        """As its administrator."""
        return self.run('psql', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'postgres', '-X', '-q', '-A', '-t', '-v',
                        'ON_ERROR_STOP=1', input=text)

    def stop(self, sig=signal.SIGINT):   # SIGTERM waits for the clients to leave
        super().stop(sig)


class MariadbServer(DatabaseServer):
    KIND, NEEDED = 'mariadb', 'mariadbd'

    @staticmethod
    def program(name):
        return shutil.which(name, path='/usr/sbin:/usr/bin:/sbin:/bin:' + os.environ.get('PATH', ''))

    def make(self):
        self.run('mariadb-install-db', '--no-defaults', '--datadir=' + self.data, '--auth-root-authentication-method=normal',
                 '--skip-test-db', '--tmpdir=' + self.data)   # two at a time step on each other's tables in /tmp

    def command(self):
        return self.as_user('mariadbd', '--no-defaults', '--datadir=' + self.data, '--tmpdir=' + self.data, '--bind-address=127.0.0.1', '--port=%d' % self.port,
                            '--socket=' + os.path.join(self.path, 'socket'), '--pid-file=' + os.path.join(self.path, 'pid'),
                            '--innodb-flush-log-at-trx-commit=2', '--innodb-buffer-pool-size=64M', '--performance-schema=off',
                            '--skip-name-resolve', *self.options)

    def add_user(self):
        self.root("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'; GRANT ALL ON `sm%%`.* TO '%s'@'%%';" % (USER, PASSWORD, USER))

    def root(self, text):
        return self.run('mariadb', '--no-defaults', '-N', '--socket=' + os.path.join(self.path, 'socket'), '-u', 'root', input=text)


SERVERS = {s.KIND: s for s in (PostgresqlServer, MariadbServer)}
