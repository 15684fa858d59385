"""database.py - the databases that both servers are given: files of SQLite, a PostgreSQL server of the test's own.
Threads: one for each side.
Owns: a PostgreSQL server, from its start to the end of the World that it runs in.
"""
import glob
import gzip
import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

from servers import SKIP, Died, free_port

SCHEMAS = '/usr/share/doc/jabberd2/db-setup.%s.gz'


def schema(kind):
    path = SCHEMAS % kind
    if not os.path.exists(path):
        print('# skipped: %s is missing: install the Debian package jabberd2' % path)
        sys.exit(SKIP)
    with gzip.open(path, 'rt') as f:
        return f.read()


def tables(text):
    """The tables of a schema that sm writes."""
    names = [line.split('"')[1] for line in text.splitlines() if line.startswith('CREATE TABLE "')]
    return [n for n in names if n != 'authreg']


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


class PostgresqlServer:
    """A server of our own on loopback; its data directory belongs to a user who is not root, as PostgreSQL demands."""

    BIN = sorted(glob.glob('/usr/lib/postgresql/*/bin'))[-1:]

    def __init__(self, world):
        self.world = world
        self.count = 0
        self.path = tempfile.mkdtemp(prefix='shardsm-test-pg-')
        self.data = os.path.join(self.path, 'data')
        self.run('initdb', '-D', self.data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--locale=C', '-N')
        self.port = free_port()
        self.process = world.run('postgres', self.as_user('postgres', '-D', self.data, '-p', str(self.port),
                                                          '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off',
                                                          '-c', 'unix_socket_directories='))
        self.process.wait_line('ready to accept connections')

    def as_user(self, program, *argv):
        command = [os.path.join(self.BIN[0], program), *argv]
        if os.getuid() != 0:
            return command
        owner = pwd.getpwnam('nobody')
        os.chown(self.path, owner.pw_uid, owner.pw_gid)
        return ['setpriv', '--reuid=%d' % owner.pw_uid, '--regid=%d' % owner.pw_gid, '--clear-groups', *command]

    def run(self, program, *argv, **kw):
        done = subprocess.run(self.as_user(program, *argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              cwd='/', **kw)
        if done.returncode:
            raise Died('%s: %s' % (program, done.stdout))
        return done.stdout

    def sql(self, database, text):
        return self.run('psql', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'postgres', '-d', database, '-X', '-q', '-A',
                        '-t', '-v', 'ON_ERROR_STOP=1', input=text)

    def database(self):
        """A new one with jabberd2's tables."""
        made = Postgresql(self)
        self.sql('postgres', 'CREATE DATABASE %s;' % made.name)
        self.sql(made.name, schema('pgsql'))
        return made

    def close(self):
        self.process.stop(signal.SIGINT)
        self.world.processes.remove(self.process)
        shutil.rmtree(self.path, ignore_errors=True)


class Postgresql:
    """One database of that server."""

    CONFIG = ('<pgsql><host>127.0.0.1</host><port>%d</port><dbname>%s</dbname><schema>public</schema><user>postgres</user>'
              '<pass>unused</pass><transactions/></pgsql>')

    def __init__(self, server):
        self.server = server
        server.count += 1
        self.name = 'sm%d' % server.count

    def file(self):
        return '/nonexistent'

    def configure(self, path):
        with open(path) as f:
            text = f.read()
        text = text.replace('<driver>sqlite</driver>', '<driver>pgsql</driver>' + self.CONFIG % (self.server.port, self.name))
        with open(path, 'w') as f:
            f.write(text)

    def rows(self):
        for table in tables(schema('pgsql')):
            found = self.server.sql(self.name, 'SELECT row_to_json(t) FROM "%s" t ORDER BY "object-sequence";' % table)
            for line in found.splitlines():
                yield table, json.loads(line)

    def copy(self, _name):
        other = Postgresql(self.server)
        self.server.sql('postgres', 'CREATE DATABASE %s TEMPLATE %s;' % (other.name, self.name))
        return other
