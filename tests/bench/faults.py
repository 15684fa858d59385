#!/usr/bin/env python3
"""tests/bench/faults.py - shardsm-bench must see every way in which a message can go wrong, and none where nothing did.

A stand-in for a listening session manager delivers what it is sent, but for one fault a run. Python's standard library alone.
Threads: one for the stand-in of each run.
Owns: its socket; ends with the run.
"""
import os
import re
import socket
import subprocess
import sys
import threading

BENCH = os.environ.get('SHARDSM_BENCH', 'bench/shardsm-bench')
NS = "xmlns='http://jabberd.jabberstudio.org/ns/component/1.0'"
SESSION = "xmlns:sm='http://jabberd.jabberstudio.org/ns/session/1.0'"
HEADER = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='x'>"
FEATURES = "<stream:features><mechanisms><mechanism>DIGEST-MD5</mechanism></mechanisms></stream:features>"
CHALLENGE = 'cmVhbG09ImphYmJlcmQtcm91dGVyIixub25jZT0iYWJjZGVmZ2giLHFvcD0iYXV0aCIsY2hhcnNldD11dGYtOCxhbGdvcml0aG09bWQ1LXNlc3M='


class StandIn:
    """A session manager's links, and one fault: applied to the fifth message."""

    def __init__(self, fault, links=1):
        self.fault = fault
        self.links = links
        self.count = 0
        self.held = None
        self.known = set()
        self.socks = {}
        self.lock = threading.Lock()
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        for _ in range(self.links):
            link, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        data = ''
        with link:
            while chunk := link.recv(65536):
                data += chunk.decode()
                with self.lock:
                    while (end := self.element_end(data)) > 0:
                        for sock, text in self.answer(data[:end], link):
                            sock.sendall(text.encode())
                        data = data[end:]
                if self.fault == 'hang up' and self.count >= 5:
                    return

    @staticmethod
    def element_end(data):
        found = re.match(r"(<\?xml[^>]*>)?<stream:stream[^>]*>|<(auth|response|bind|route)\b.*?</\2>", data, re.S)
        return found.end() if found else 0

    def answer(self, element, link):
        """What goes out, and on which link."""
        if 'stream:stream' in element:
            return [(link, HEADER + FEATURES)]
        if element.startswith('<auth'):
            return [(link, f'<challenge>{CHALLENGE}</challenge>')]
        if element.startswith('<response'):
            return [(link, '<success/>')]
        if element.startswith('<bind'):
            self.socks[re.search(r"name='([^']*)'", element)[1]] = link
            return [(link, f"<bind {NS}/><presence {NS} from='localhost'/>")]
        if 'action=' in element:
            return [(link, self.control(element))]
        return [(self.socks[self.link_of(m)], self.render(m)) for m in self.message(element)]

    def link_of(self, message):
        number = (int(message['c2s']) - 1) % self.links + 1
        if self.fault == 'wrong link' and self.count == 5:
            number = number % self.links + 1
        return f'c2s{number}'

    def control(self, element):
        action = re.search(r"action='(\w+)'", element)[1]
        c2s = re.search(r"sc:c2s='(\d+)'", element)[1]
        name = re.search(r" from='([^']*)'", element)[1]
        past = {'start': 'started', 'create': 'created', 'end': 'ended'}[action]
        if action == 'create':
            self.known.add(c2s)
        if action == 'start' and self.fault == 'new users' and c2s not in self.known:
            past = "start' sm:failed='1"
        return f"<route {NS} to='{name}' from='sm'><sm:session {SESSION} sm:c2s='{c2s}' sm:sm='sm{c2s}' action='{past}'/></route>"

    def message(self, element):
        inner = element[element.index('<message'):]
        to, ident, sender = (re.search(rf" {name}='([^']*)'", inner)[1] for name in ('to', 'id', 'sc:c2s'))
        body = re.search(r'<body>([^<]*)</body>', inner)[1]
        self.count += 1
        to = to if '/' in to else to + '/r'
        good = dict(c2s=re.search(r'\d+', to)[0], to=to, frm=f'user{sender}@localhost/r', body=body, id=ident, type='chat')
        if self.held:
            late, self.held = self.held, None
            return [good, late]
        if self.count != 5:
            return [good]
        other = '1' if good['c2s'] != '1' else '2'
        change = {
            'wrong session': dict(c2s=other), 'wrong to': dict(to='user999@localhost/r'), 'wrong from': dict(frm='user999@localhost/r'),
            'altered': dict(body=body[:-1] + '#'), 'wrong type': dict(type='normal'), 'bounced': dict(type='error'),
        }
        if self.fault == 'lost':
            return []
        if self.fault == 'twice':
            return [good, good]
        if self.fault == 'late':
            self.held = good
            return []
        return [dict(good, **change.get(self.fault, {}))]

    def render(self, m):
        return (f"<route {NS} from='localhost' to='{self.link_of(m)}'><message xmlns='jabber:client' {SESSION} type='{m['type']}' to='{m['to']}' "
                f"from='{m['frm']}' id='{m['id']}' sm:c2s='{m['c2s']}' sm:sm='sm{m['c2s']}'><body>{m['body']}</body></message></route>")


# What the stand-in does wrong, and what the report must say of it; None: the run must be a good one.
CASES = {
    'none': None, 'new users': None,
    'lost': ' 1 lost', 'twice': ' 1 twice', 'late': ' 1 out of order', 'wrong from': ' 1 with a wrong from', 'altered': ' 1 altered',
    'wrong type': ' 1 altered', 'wrong session': ' 1 misdelivered', 'wrong to': ' 1 misdelivered', 'bounced': ' 1 bounced',
    'hang up': 'a link was lost', 'two links': None, 'wrong link': ' 1 misdelivered',
}


def run(fault, want):
    links = 2 if 'link' in fault else 1
    stand_in = StandIn(fault, links)
    # Two sessions write to each other alone; with this seed message 6 is of the pair of message 5 and can overtake it.
    done = subprocess.run([BENCH, '--c2s', f'127.0.0.1:{stand_in.port}', '--sessions', '2', '--messages', '50', '--window', '50', '--seed', '1', '--links', str(links),
                           '--timeout', '1', '--quiet'], capture_output=True, text=True, timeout=60, check=False)
    if want is None:
        return done.returncode == 0, done
    return done.returncode == 1 and want in done.stdout, done


def main():
    failed = 0
    for fault, want in CASES.items():
        good, done = run(fault, want)
        print(f"{'PASS' if good else 'FAIL'}: {fault}")
        if not good:
            failed += 1
            print(f'exit code {done.returncode}\n{done.stdout}{done.stderr}')
    print(f'# {len(CASES) - failed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
