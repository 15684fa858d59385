"""engines.py - databases on a database server that runs already: made, asked, and named in the configs of sm and c2s.
Threads: none; values only.
Owns: nothing; a database goes with its server.

SYSTEM_TEST_DATABASE="postgresql PORT" or "mariadb PORT" puts every test that does not choose for itself on that server, which
listens on 127.0.0.1: see on_databases.py.
"""
import gzip
import json
import os
import subprocess
import sys
import threading

SCHEMAS = '/usr/share/doc/jabberd2/db-setup.%s.gz'
SKIP = 77   # automake's exit status for a test that could not run
USER, PASSWORD = 'sm', 'unsaid'


def schema(kind):
    path = SCHEMAS % kind
    if not os.path.exists(path):
        print('# skipped: %s is missing: install the Debian package jabberd2' % path)
        sys.exit(SKIP)
    with gzip.open(path, 'rt') as f:
        return f.read()


def tables(text):
    """The tables of a schema that sm writes."""
    names = [line.split('"')[1] for line in text.replace('`', '"').splitlines() if line.startswith('CREATE TABLE "')]
    return [n for n in names if n != 'authreg']


class Session:
    def __init__(self, command, text):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ, PGPASSWORD=PASSWORD))
        self.child.stdin.write(text)
        self.child.stdin.flush()
        while self.child.stdout.readline().strip() not in ('ready', ''):
            pass

    def close(self):
        self.child.communicate()


class Database:
    """One database of a server. Subclasses say how it is spoken to."""

    def __init__(self, port, name):
        self.port, self.name = port, name

    def ask(self, text, database=None):
        """What the server's own client prints."""
        done = subprocess.run(self.client(database or self.name), input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, PGPASSWORD=PASSWORD))
        if done.returncode:
            raise AssertionError('%s: %s' % (self.name, done.stderr))
        return done.stdout

    def session(self, text):
        """A client that ran the text and stays until close()."""
        return Session(self.client(self.name), text + "\nSELECT 'ready';\n")

    def part(self, extra=''):
        return ('<{0}><host>127.0.0.1</host><port>{1}</port><dbname>{2}</dbname>{3}<user>{4}</user><pass>{5}</pass>'
                '{6}</{0}>').format(self.DRIVER, self.port, self.name, self.MORE, USER, PASSWORD, extra)

    def configure(self, path, extra=''):
        """The config of an sm that was written for SQLite names this database instead."""
        with open(path) as f:
            text = f.read()
        text = text.replace('<driver>sqlite</driver>', '<driver>%s</driver>%s' % (self.DRIVER, self.part('<transactions/>' + extra)))
        with open(path, 'w') as f:
            f.write(text)

    def configure_c2s(self, path):
        with open(path) as f:
            text = f.read()
        text = text.replace('<module>sqlite</module>', '<module>%s</module>' % self.DRIVER)
        text = text.replace('<sqlite>', self.part('<password_type><plaintext/></password_type>') + '<sqlite>')
        with open(path, 'w') as f:
            f.write(text)

    def create(self):
        self.ask('CREATE DATABASE %s;' % self.name, self.ADMINISTRATION)
        return self

    def file(self):
        return '/nonexistent'


class Postgresql(Database):
    DRIVER, MORE, ADMINISTRATION = 'pgsql', '<schema>public</schema>', 'postgres'

    def client(self, database):
        return ['psql', '-h', '127.0.0.1', '-p', str(self.port), '-U', USER, '-d', database, '-X', '-q', '-A', '-t', '-v',
                'ON_ERROR_STOP=1']

    def add_stock_tables(self):
        self.ask(schema('pgsql'))
        return self

    def rows(self):
        """(table, {column: content}) in the order of storing."""
        for table in tables(schema('pgsql')):
            for line in self.ask('SELECT row_to_json(t) FROM "%s" t ORDER BY "object-sequence";' % table).splitlines():
                yield table, json.loads(line)

    def copy_to(self, other):
        self.ask('CREATE DATABASE %s TEMPLATE %s;' % (other.name, self.name), 'postgres')


class Mariadb(Database):
    DRIVER, MORE, ADMINISTRATION = 'mysql', '', 'information_schema'

    def client(self, database):
        return ['mariadb', '--no-defaults', '-h', '127.0.0.1', '-P', str(self.port), '-u', USER, '-p' + PASSWORD, '-N', '-B', '-r', '-n',
                '--default-character-set=utf8mb4', *([database] if database else [])]

    def add_stock_tables(self):
        self.ask('\n'.join(l for l in schema('mysql').splitlines() if not l.startswith(('CREATE DATABASE', 'USE '))))
        return self

    def rows(self):
        for table in tables(schema('mysql')):
            columns = self.ask("SELECT column_name FROM information_schema.columns WHERE table_schema = '%s' AND table_name = '%s' "
                               "ORDER BY ordinal_position" % (self.name, table)).split()
            asked = ', '.join("'%s', `%s`" % (c, c) for c in columns)
            for line in self.ask('SELECT json_object(%s) FROM `%s` ORDER BY `object-sequence`' % (asked, table)).splitlines():
                yield table, json.loads(line)

    def dump(self):
        return subprocess.run(['mariadb-dump', *self.client(None)[1:6], '-u', USER, '-p' + PASSWORD, self.name], check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def copy_to(self, other):
        other.create().ask(self.dump())


KINDS = {'postgresql': Postgresql, 'mariadb': Mariadb}
made = {}   # by the SQLite file that a test would have used
making = threading.Lock()   # some tests run their cases side by side


def instead_of(file):
    """The database that a test gets where it names a file of SQLite's; None: that file."""
    where = os.environ.get('SYSTEM_TEST_DATABASE')
    if not where:
        return None
    with making:
        if file not in made:
            kind, port = where.split()
            made[file] = KINDS[kind](int(port), 'sm_%d_%d' % (os.getpid(), len(made))).create()
        return made[file]
