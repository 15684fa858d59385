"""Starts the site, shows it at work, serves until Ctrl-C. Exit status 0: it worked."""

import argparse
import asyncio
import os
import signal
import sys
import time
import types

from clients import DemoError, demonstrate
from local_site import DOMAIN, Site, SiteError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Stop(KeyboardInterrupt):
    """Of the one kind that asyncio lets through wherever it comes."""


def stop(signum, frame):
    # Once is enough: a second signal must not interrupt the cleaning up.
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, signal.SIG_IGN)
    raise Stop


def say(text):
    print(f"  {text}", flush=True)


def show_logs(site):
    for name, text in site.log_tails():
        print(f"--- the end of {name}\n{text}", file=sys.stderr)


def serve(site):
    print(f"""
The server is yours. Connect any XMPP client:

  account   you@{DOMAIN}   (registration is open: choose a name and a password in the client)
  server    127.0.0.1, port {site.client_port}   (STARTTLS; the certificate is self-made: {site.dir}/cert.pem)
  logs      {site.dir}/sm.log, {site.dir}/c2s.log

Ctrl-C ends it.""", flush=True)
    while not site.dead():
        time.sleep(0.5)
    raise SiteError(site.dead())


def main(shardsm, directory, once):
    site = Site(directory, shardsm)
    status = 1
    try:
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, stop)
        print("starting shardsm and jabberd2's c2s", flush=True)
        site.start()
        print("two clients meet:", flush=True)
        asyncio.run(demonstrate(types.SimpleNamespace(host="127.0.0.1", port=site.client_port, domain=DOMAIN,
                                                      certificate=f"{site.dir}/cert.pem"), say))
        dead = site.dead()
        if dead:
            raise SiteError(dead)
        print("it works", flush=True)
        status = 0
        if not once:
            serve(site)
    except Stop:
        print("\nstopping", flush=True)
    except (SiteError, DemoError) as e:
        status = 1
        show_logs(site)
        print(f"quickstart: {e}", file=sys.stderr)
    finally:
        if not site.stop():
            print("quickstart: a process did not end by itself", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shardsm", help="the program")
    parser.add_argument("--once", action="store_true", help="end after the demonstration")
    parser.add_argument("--dir", default=f"{ROOT}/.quickstart", help="where everything is written")
    given = parser.parse_args()
    sys.exit(main(given.shardsm, given.dir, given.once))
