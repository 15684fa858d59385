#!/usr/bin/python3
"""real_router.py - shardsm in sm's place: jabberd2's router and c2s around it, real clients in front.
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

--stock runs jabberd2's own sm in the middle.
"""
import sys
sys.dont_write_bytecode = True

import clients
from servers import Report, World, need_jabberd2, need_shardsm

DOMAIN = 'example.test'


def main():
    stock = sys.argv[1:] == ['--stock']
    need_jabberd2('router', 'c2s', *(['sm'] if stock else []))
    if not stock:
        need_shardsm()
    report = Report()
    with World() as world:
        world.make_schema()
        _, router_port = world.router()
        config = world.sm_config([DOMAIN], router=router_port, workers=0 if stock else 4)
        if stock:
            world.stock_sm(config)
        else:
            world.shardsm(config).wait_line('ready for sessions')
        _, port = world.c2s(DOMAIN, router_port)

        async def scenario(check):
            party = clients.Party(DOMAIN, behind_router=True)
            try:
                await clients.everyday(party, [port], check)
            finally:
                await party.leave()
        clients.run(report, scenario)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
