"""bench/servers.py - starts a session manager or the relay with users in its database, and a load generator in front of it.

Threads: one.
Owns: the directory of each run and the processes that it started, which it stops by their pids.
"""
import gzip
import json
import os
import re
import subprocess
import time

SM_XML = '/etc/jabberd2/sm.xml'
SCHEMA = '/usr/share/doc/jabberd2/db-setup.sqlite.gz'
LISTEN = '  <listen><ip>127.0.0.1</ip><port>0</port><user>jabberd</user><pass>secret</pass></listen>\n'


class Failed(Exception):
    """A run that gave no figures, and why."""


def write_config(path, database, port):
    """Debian's sm.xml but for: where the router is (port None: it listens itself), the domain, the database, the log."""
    with open(SM_XML, encoding='utf-8') as f:
        text = f.read()
    text = re.sub(r'<pidfile>.*?</pidfile>', '', text)
    text = re.sub(r"<log type='[a-z]*'>", "<log type='stdout'>", text)
    text = text.replace('<id>localhost.localdomain</id>', '<id>localhost</id>')
    text = re.sub(r'<dbname>[^<]*sqlite\.db</dbname>', f'<dbname>{database}</dbname>', text)
    if port is None:
        text = re.sub(r'^  <router>$.*?^  </router>$\n', LISTEN, text, flags=re.S | re.M)
    else:
        text = text.replace('<port>5347</port>', f'<port>{port}</port>')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def make_database(path, bench, args):
    """jabberd2's own schema, and the users of the run in one transaction."""
    opened = gzip.open if SCHEMA.endswith('.gz') else open
    with opened(SCHEMA, 'rt', encoding='utf-8') as f:
        schema = f.read()
    fill_database(path, bench, args, schema)


def fill_database(path, bench, args, schema=''):
    users = subprocess.run([bench, '--sql', *args], check=True, capture_output=True, text=True).stdout
    subprocess.run(['sqlite3', path], input=schema + users, check=True, text=True, stdout=subprocess.DEVNULL)


def wait_until(done, process, what, seconds=120):
    end = time.monotonic() + seconds
    while not (got := done()):
        if process.poll() is not None or time.monotonic() > end:
            raise Failed(f'{what} did not come up')
        time.sleep(0.02)
    return got


def stop(process):
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read()
    except FileNotFoundError:
        return ''


def load(bench, run_dir, args):
    """The load generator. Its report is in run_dir/report, its figures in run_dir/run.json."""
    with open(f'{run_dir}/report', 'w', encoding='utf-8') as out, open(f'{run_dir}/bench.log', 'w', encoding='utf-8') as err:
        return subprocess.Popen([bench, '--json', f'{run_dir}/run.json', *args], stdout=out, stderr=err)


def finish(process, run_dir):
    if process.wait() != 0:
        raise Failed((read(f'{run_dir}/bench.log').strip().splitlines() or ['no word'])[-1])
    with open(f'{run_dir}/run.json', encoding='utf-8') as f:
        return json.load(f)


def run_relay(program, bench, run_dir, args):
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as relay:
        try:
            port = relay.stdout.readline().strip()
            return finish(load(bench, run_dir, ['--relay', f'127.0.0.1:{port}', '--pid', str(relay.pid), *args]), run_dir)
        finally:
            stop(relay)


def start_sm(program, run_dir):
    with open(f'{run_dir}/sm.log', 'w', encoding='utf-8') as log:
        return subprocess.Popen([program, '-c', f'{run_dir}/sm.xml'], stdout=log, stderr=log)


def run_listening(program, bench, run_dir, args):
    sm = generator = None
    write_config(f'{run_dir}/sm.xml', f'{run_dir}/sm.db', None)
    make_database(f'{run_dir}/sm.db', bench, args)
    try:
        sm = start_sm(program, run_dir)
        found = wait_until(lambda: re.search(r'port=(\d+)\] listening for components', read(f'{run_dir}/sm.log')), sm, program)
        generator = load(bench, run_dir, ['--c2s', f'127.0.0.1:{found[1]}', '--pid', str(sm.pid), *args])
        return finish(generator, run_dir)
    finally:
        stop(generator)
        stop(sm)


def run_behind_router(program, bench, run_dir, args):
    sm = None
    make_database(f'{run_dir}/sm.db', bench, args)
    generator = load(bench, run_dir, ['--router', '0', '--port-file', f'{run_dir}/port', '--pid-file', f'{run_dir}/pid', *args])
    try:
        port = wait_until(lambda: read(f'{run_dir}/port').strip(), generator, bench)
        write_config(f'{run_dir}/sm.xml', f'{run_dir}/sm.db', port)
        sm = start_sm(program, run_dir)
        with open(f'{run_dir}/pid', 'w', encoding='utf-8') as f:
            f.write(f'{sm.pid}\n')
        return finish(generator, run_dir)
    finally:
        stop(generator)
        stop(sm)
