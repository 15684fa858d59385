"""scenario.py - scenarios/*.txt: what is said to a server, and where the two servers may differ. Reading and writing them.
Threads: none; values only.
Owns: nothing.

config XML              before the first scenario: what sm.xml says more, for this file
== NAME - what it is about
users alice carol@other.test      accounts; a scenario's names are its own, whatever other scenarios call theirs
online alice/a bob/b=5            session, available (priority 5); what comes of it is not looked at
session alice/a[:CID]             session without presence
friends A B | follows A B         both subscribed; A receives B's presence
alice/a > XML                     the client sends; everything that comes of it, everywhere, is compared
alice/a ~> XML                    the same, and nothing is looked at
far > XML                         a component that serves far.test sends
{ver:alice/a} is the last roster version that the session saw, {query} the id of the server's question who far.test is.
c2s > XML                         c2s sends a route's attributes and content as they are
start alice/a[:CID] | end alice/a | create alice | delete alice     session control, looked at
command ACTION TARGET|- DOMAIN|- CID   session control with any action, target and addressee; c2s id CID
unmarked alice                    asks that account for nothing when it waits (its privacy list would not let it answer)
alone                             not beside others: it asks about all sessions, speaks to all, or kills the server
rows OWNER...                     rows of these owners belong to this scenario too
unread old REASON                 jabberd2's sm cannot be asked what it finds
---                               the server ends; the reader of its database takes over
compare                           a step of its own: the rows that are left
A line that begins with white space continues the one before, or tells a difference of that step, and why it is right:
    REASON - ACTOR: XML           only jabberd2's sm does this
    REASON + ACTOR: XML           only shardsm does this
A difference that is not told fails, and so does one that is told and does not occur. After `compare` stand the rows.
"""
import re

LISTED = re.compile(r'\s+([A-Za-z0-9?-]+) ([-+])([a-z,]*) (\S.*)')
ID = re.compile(r'''\bid=['"]([^'"]+)['"]''')


class Step:
    def __init__(self, number, text):
        self.number, self.text = number, text
        self.listed = []      # (reason, sign, run, text)

    def words(self):
        return self.text.split()


class Scenario:
    def __init__(self, name, title, path):
        self.name, self.title, self.path = name, title, path
        self.steps = []
        self.serial = 0       # makes its users unique

    def alone(self):
        return any(s.text == 'alone' for s in self.steps)

    def unread(self):
        """reader -> reason, of those who cannot be asked."""
        return dict(s.words()[1:] for s in self.steps if s.text.startswith('unread '))

    def ids(self):
        return set(ID.findall('\n'.join(s.text for s in self.steps)))


class File:
    """config: XML for sm.xml; scenarios; prologue: the lines before the first of them."""

    def __init__(self, path):
        self.path, self.config, self.prologue, self.scenarios = path, '', [], []
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                self._line(number, line.rstrip('\n'))

    def _line(self, number, line):
        if line.startswith('=='):
            name, _, title = line[2:].strip().partition(' - ')
            self.scenarios.append(Scenario(name, title, self.path))
        elif not self.scenarios:
            self.prologue.append(line)
            if line.startswith('config '):
                self.config += line[len('config '):]
        elif line[:1].isspace() and line.strip():
            self._more(line)
        elif line.strip():
            self.scenarios[-1].steps.append(Step(number, line.strip()))

    def _more(self, line):
        step = self.scenarios[-1].steps[-1]
        told = LISTED.fullmatch(line)
        if told:
            step.listed.append(told.groups())
        else:
            step.text += ('' if step.text.endswith('>') else ' ') + line.strip()

    def save(self):
        with open(self.path, 'w', encoding='utf-8') as f:
            f.write('\n'.join(self.prologue + ['']).lstrip('\n'))
            blank = ''
            for scenario in self.scenarios:
                f.write('%s== %s - %s\n' % (blank, scenario.name, scenario.title))
                blank = '\n'
                for step in scenario.steps:
                    f.write(step.text + '\n')
                    for reason, sign, run, text in step.listed:
                        f.write('    %s %s%s %s\n' % (reason, sign, run, text))


def load(paths):
    files = [File(p) for p in paths]
    serial, names = 0, set()
    for file in files:
        for scenario in file.scenarios:
            serial += 1
            scenario.serial = serial
            if scenario.name in names:
                raise ValueError('two scenarios are called ' + scenario.name)
            names.add(scenario.name)
            if not scenario.steps or scenario.steps[-1].text != 'compare':
                scenario.steps.append(Step(0, 'compare'))
    return files


def load_reasons(path):
    reasons = {}
    with open(path, encoding='utf-8') as f:
        for line in f:
            if line.startswith('#') or not line.strip():
                continue
            if line[0].isspace():
                reasons[name] += ' ' + line.strip()
                continue
            name, _, text = line.partition(':')
            reasons[name] = text.strip()
    return reasons
