#!/usr/bin/python3
"""zombies.py - clients of jabberd2's c2s whose sessions shardsm no longer knows: their next stanza closes them, and only them (O3).
Threads: one, and a log reader for each server.
Owns: the servers that it starts.

The c2s dials shardsm through a cable that can be cut: it keeps its clients when it has dialled again, and tells nobody of them.
"""
import sys
sys.dont_write_bytecode = True
import asyncio
import signal

import clients
from servers import Report, World, need_jabberd2, need_shardsm

DOMAIN = 'example.test'
STANZAS = {   # what a zombie may say next
    'message': lambda client: client.send_message(mto='other@' + DOMAIN, mbody='hello', mtype='chat'),
    'request': lambda client: client.send_raw("<iq type='get' id='z' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % DOMAIN),
    'presence': lambda client: client.send_presence(pshow='away'),
    'answer': lambda client: client.send_raw("<iq type='result' id='z' to='other@%s/x'/>" % DOMAIN),
}


class Cable:
    """Carries bytes between whoever dials its port and a server's."""

    def __init__(self, port):
        self.server_port = port
        self.ends = []

    async def open(self):
        self.listener = await asyncio.start_server(self.connected, '127.0.0.1', 0)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self

    async def connected(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection('127.0.0.1', self.server_port)
        except OSError:
            writer.close()
            return
        self.ends += [writer, far_writer]
        await asyncio.gather(self.carry(reader, far_writer), self.carry(far_reader, writer))

    @staticmethod
    async def carry(reader, writer):
        try:
            while True:
                data = await reader.read(65536)
                if not data:
                    break
                writer.write(data)
        except OSError:
            pass
        writer.close()

    def cut(self):
        for writer in self.ends:
            writer.transport.abort()
        self.ends.clear()

    def close(self):
        self.cut()
        self.listener.close()


def in_thread(function, *args):
    return asyncio.get_running_loop().run_in_executor(None, function, *args)


class Scene:
    def __init__(self, world):
        self.world = world
        self.sm, self.sm_port = world.listening_shardsm([DOMAIN])

    async def open(self):
        self.cable = await Cable(self.sm_port).open()
        loop = asyncio.get_running_loop()
        self.c2s, self.port = await loop.run_in_executor(None, self.world.c2s, DOMAIN, self.cable.port)
        self.party = clients.Party(DOMAIN)
        for user in list(STANZAS) + ['other']:
            await self.party.register(user, self.port)

    async def cut(self):
        """The link breaks; the c2s dials again."""
        seen = len(self.c2s.lines)
        self.cable.cut()
        await in_thread(self.c2s.wait_line, 'ready for connections', seen)

    async def kill(self):
        """shardsm dies, and starts again where it was."""
        seen = len(self.c2s.lines)
        self.sm.stop(signal.SIGKILL)
        self.sm, _ = await in_thread(lambda: self.world.listening_shardsm([DOMAIN], port=self.sm_port))
        await in_thread(self.c2s.wait_line, 'ready for connections', seen)

    async def healed(self, accident):
        party = self.party
        zombies = {user: await party.join(user, 'r', self.port) for user in STANZAS}
        await accident()
        # somebody who is no zombie, on the same c2s
        other = await party.join('other', 'x', self.port)
        alive = [user for user, client in zombies.items() if not client.gone]
        assert alive == list(STANZAS), 'the c2s itself closed all but %s: these were no zombies' % alive
        for user, say in STANZAS.items():
            client = zombies[user]
            say(client)
            await party.until(lambda client=client: client.gone, 'the end of the zombie that sent a ' + user)
            assert client.conflict is None, 'closed with the stream error %s' % client.conflict
            party.clients.remove(client)
            again = await party.join(user, 'r', self.port)
            again.send_message(mto=other.boundjid.full, mbody='it is me, ' + user, mtype='chat')
            await party.until(lambda user=user: 'it is me, ' + user in other.bodies(), 'a message after the new login')
        assert not other.gone, 'somebody else was closed too'
        assert not other.bodies().count('hello'), "a zombie's message was delivered"
        assert self.c2s.running() and self.sm.running()
        for client in party.clients[:]:
            await party.quit(client)


def main():
    need_jabberd2('c2s')
    need_shardsm()
    report = Report()
    with World() as world:
        world.make_schema()
        scene = Scene(world)

        async def scenario(check):
            await scene.open()
            try:
                await check('the link to the c2s breaks', lambda: scene.healed(scene.cut))
                await scene.party.leave()
                await check('shardsm is killed and comes back', lambda: scene.healed(scene.kill))
            finally:
                await scene.party.leave()
                scene.cable.close()
        clients.run(report, scenario)
    return report.finish()


if __name__ == '__main__':
    sys.exit(main())
