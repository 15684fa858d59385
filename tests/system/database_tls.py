#!/usr/bin/python3
"""database_tls.py - TLS to PostgreSQL and MariaDB: a server that proves itself is spoken to, any other one is not.
Threads: one, and a log reader for each server.
Owns: an authority, certificates and the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True
import os
import shutil
import subprocess

import engines
from database import SERVERS
from servers import SHARDSM, SKIP, Report, World, free_port, need_shardsm

DOMAIN = 'example.test'


def openssl(*argv):
    subprocess.run(['openssl', *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def authority(directory, name):
    """Its certificate, and one for 127.0.0.1 that it signed, with the key; readable by whoever the server runs as."""
    ca, ca_key, key, request, cert, san = (os.path.join(directory, name + end) for end in
                                           ('-ca.pem', '-ca.key', '.key', '.csr', '.pem', '.ext'))
    with open(san, 'w') as f:
        f.write('subjectAltName=IP:127.0.0.1,DNS:localhost\n')
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', ca_key, '-out', ca, '-days', '2', '-subj', '/CN=%s authority' % name)
    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', request, '-subj', '/CN=127.0.0.1')
    openssl('x509', '-req', '-in', request, '-CA', ca, '-CAkey', ca_key, '-CAcreateserial', '-out', cert, '-days', '2', '-extfile', san)
    return ca, cert, key


def with_tls(world, kind, cert, key):
    """A server with that certificate."""
    server = SERVERS[kind](world)
    server.stop()
    for source, name in ((cert, 'server.pem'), (key, 'server.key')):
        target = os.path.join(server.path, name)
        shutil.copy(source, target)
        os.chmod(target, 0o600)
        if os.getuid() == 0:
            shutil.chown(target, 'nobody')
    cert, key = os.path.join(server.path, 'server.pem'), os.path.join(server.path, 'server.key')
    server.options += {'postgresql': ['-c', 'ssl=on', '-c', 'ssl_cert_file=' + cert, '-c', 'ssl_key_file=' + key],
                       'mariadb': ['--ssl-cert=' + cert, '--ssl-key=' + key]}[kind]
    server.start()
    return server


def config(world, server, database, ca):
    path = world.sm_config([DOMAIN], listen=free_port())
    if server.KIND == 'mariadb':
        database.configure(path, '<ssl-ca>%s</ssl-ca>' % ca)
        return path
    with open(path) as f:
        text = f.read()
    conninfo = 'host=127.0.0.1 port=%d dbname=%s user=%s password=%s sslmode=verify-full sslrootcert=%s' % (
        server.port, database.name, engines.USER, engines.PASSWORD, ca)
    return world.write('sm.xml', text.replace('<driver>sqlite</driver>', '<driver>pgsql</driver><pgsql><conninfo>%s</conninfo></pgsql>' % conninfo))


def check(path):
    done = subprocess.run([SHARDSM, '-c', path, '--check'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def encrypted(server):
    """Encrypted connections of shardsm's: those there are (PostgreSQL), those there ever were (MariaDB)."""
    if server.KIND == 'mariadb':
        return int(server.root("SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts';").split()[-1])
    return int(server.root("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'sm' AND ssl;"))


def proven(world, server, database, ca):
    before = encrypted(server)
    process = world.shardsm(config(world, server, database, ca))
    World.port_of(process)
    # a writer and three readers at the least
    assert encrypted(server) - before >= 4, (before, encrypted(server))
    process.stop()


def refused(world, server, database, ca):
    status, output = check(config(world, server, database, ca))
    assert status != 0 and 'cannot be opened' in output and ('certificate' in output or 'SSL' in output or 'TLS' in output), (status, output)


def main():
    need_shardsm()
    if not shutil.which('openssl'):
        print('# skipped: openssl is not installed')
        return SKIP
    report = Report()
    with World() as world:
        ca, cert, key = authority(world.dir, 'right')
        other = authority(world.dir, 'wrong')[0]
        for kind in (k for k in SERVERS if SERVERS[k].there()):
            server = with_tls(world, kind, cert, key)
            plain = SERVERS[kind](world, ['--skip-ssl'] if kind == 'mariadb' else [])
            try:
                database, open_database = server.new().create(), plain.new().create()
                report.case(kind + ': a server that proves itself', proven, world, server, database, ca)
                report.case(kind + ": a server with another authority's certificate", refused, world, server, database, other)
                report.case(kind + ': a server without TLS', refused, world, plain, open_database, ca)
            finally:
                server.close()
                plain.close()
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
