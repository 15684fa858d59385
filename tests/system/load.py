"""load.py - shardsm-bench as a test's load: its users in the database, and a run of it, which fails when anything is lost or wrong.
Threads: a log reader for each run.
Owns: nothing; a World owns what runs in it.
"""
import os
import sqlite3
import subprocess

from servers import SHARDSM

BENCH = os.environ.get('SHARDSM_BENCH', os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(SHARDSM))), 'bench/shardsm-bench'))


def make_users(world, arguments):
    """The users of a run with those arguments, in a SQLite database that has the tables."""
    sql = subprocess.run([BENCH, '--sql', *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    db = sqlite3.connect(world.db, timeout=30)
    db.executescript(sql)
    db.close()


def start_load(world, port, arguments):
    """A run that has begun: it exits with 0 when every answer was right."""
    return world.run('shardsm-bench', [BENCH, '--c2s', '127.0.0.1:%d' % port, *arguments])
