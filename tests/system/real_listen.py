#!/usr/bin/python3
"""real_listen.py - shardsm in the router's place too: two of jabberd2's c2s dial it, real clients in front of both.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.
"""
import sys
sys.dont_write_bytecode = True

import clients
from servers import Report, World, need_jabberd2, need_shardsm

DOMAIN = 'example.test'


def main():
    need_jabberd2('c2s')
    need_shardsm()
    report = Report()
    with World() as world:
        world.make_schema()
        _, sm_port = world.listening_shardsm([DOMAIN])
        ports = [world.c2s(DOMAIN, sm_port, name)[1] for name in ('c2s-one', 'c2s-two')]

        async def scenario(check):
            party = clients.Party(DOMAIN)
            try:
                await clients.everyday(party, ports, check)
            finally:
                await party.leave()
        clients.run(report, scenario)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
