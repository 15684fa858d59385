#!/usr/bin/env python3
"""tests/doc/sample.py - the annotated sm.xml: shardsm takes it without a warning, every key stands in it, and with jabberd2
installed it is compared with Debian's file, key by key and chain by chain.
"""
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

ROOT = os.environ.get('srcdir', os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
SHARDSM = os.environ.get('SHARDSM', 'src/shardsm')
SAMPLE = os.path.join(ROOT, 'doc', 'sm.xml')
DEBIAN = '/etc/jabberd2/sm.xml'
# What Debian's file has and the sample leaves out: sections of drivers that are not in use, and what is read over.
LEFT_OUT = ('storage.mysql.', 'storage.pgsql.', 'storage.db.', 'storage.oracle.', 'storage.fs.', 'storage.ldapvcard.',
            'storage.path', 'modules.path')
# What the sample has and Debian's file leaves to its defaults, which these are for jabberd2's sm, too.
DEFAULTS = {'storage.limits.queries': ['0'], 'user.vcard.max-field-size.default': ['16384'],
            'user.vcard.max-field-size.avatar': ['16384'], 'offline.userquota': ['0'], 'roster.maxitems': ['0']}
OWN = ('threads.', 'limits.', 'route-parser', 'local-delivery', 'stop-timeout')

passed = failed = 0


def check(what, wrong):
    global passed, failed
    if wrong:
        failed += 1
        print('%s: %s' % (what, wrong))
    else:
        passed += 1


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def uncommented(text):
    """What is off, on: comments that hold nothing but elements."""
    return re.sub(r'<!--\s*(<[^!].*?>)\s*-->', r'\1', text, flags=re.S)


def table():
    return re.findall(r'^\t"([^"]+)",', read(os.path.join(ROOT, 'src/core/config-keys.c')), flags=re.M)


def keys(element, path=''):
    """Key -> texts, of everything below; containers are not among them."""
    found = {}
    for child in element:
        key = path + child.tag
        if len(child):
            for k, texts in keys(child, key + '.').items():
                found.setdefault(k, []).extend(texts)
        else:
            found.setdefault(key, []).append(re.sub(r'\s+', ' ', child.text or '').strip())
    return found


def chains(root):
    return {c.get('id'): [m.text.strip() for m in c.findall('module')] for c in root.find('modules').findall('chain')}


def run(text, directory):
    """shardsm --check on it: its status, and what is not a notice."""
    path = os.path.join(directory, 'sm.xml')
    text = text.replace('/var/lib/jabberd2/', directory + '/')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    done = subprocess.run([SHARDSM, '-c', path, '--check'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = done.stdout.decode('utf-8', 'replace').split('\n')
    return done.returncode, [line for line in lines if re.search(r'\[(warning|error)\]', line)], lines


def check_taken(text):
    with tempfile.TemporaryDirectory() as d:
        status, complaints, lines = run(text, d)
        check('the sample is refused', '\n'.join(lines) if status else '')
        check('the sample is complained about', complaints)
        check('what it is', [] if any('localhost.localdomain' in line for line in lines) else lines)
        # That the test can tell.
        _, complaints, _ = run(text.replace('<roster>', '<rooster/><roster>'), d)
        check('an unknown element is not complained about', '' if complaints else 'no warning')


def check_all_on(text):
    """Everything on but what asks for something that is not there."""
    on = uncommented(text)
    on = re.sub(r"<driver type='vcard'>.*?</driver>", '', on)
    with tempfile.TemporaryDirectory() as d:
        pem = os.path.join(d, 'server.pem')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=sample', '-keyout', pem + '.key',
                        '-out', pem + '.crt'], check=True, stderr=subprocess.DEVNULL)
        with open(pem, 'w', encoding='utf-8') as f:
            f.write(read(pem + '.crt') + read(pem + '.key'))
        status, complaints, lines = run(re.sub(r'/etc/jabberd2/(server|ca)\.pem', pem, on), d)
        check('the sample with everything on is refused', '\n'.join(lines) if status else '')
        check('the sample with everything on is complained about', complaints)
    have = keys(ET.fromstring(on))
    check('keys that the sample does not explain', [k for k in table() if not k.endswith('*') and k not in have])
    modules = re.findall(r'^\.Ss (\S+)$', read(os.path.join(ROOT, 'doc/shardsm.xml.5')).split('.Sh MODULES')[1], flags=re.M)
    used = {m for chain in chains(ET.fromstring(on)).values() for m in chain}
    check('modules that are in none of the chains', [m for m in modules if m not in used])


def check_debian(text):
    ours, theirs = ET.fromstring(text), ET.parse(DEBIAN).getroot()
    check('chains', ['%s: %s, not %s' % (c, chains(ours).get(c), m) for c, m in chains(theirs).items() if chains(ours).get(c) != m])
    check('chains of our own', [c for c in chains(ours) if c not in chains(theirs)])
    mine, stock = keys(ours), keys(theirs)
    for k in ('modules.chain.module', 'modules.chain'):
        mine.pop(k, None)
        stock.pop(k, None)
    # A comment inside <sql>, which jabberd2 and shardsm leave out of the text.
    stock['storage.sqlite.sql'] = [t.split('--')[0].strip() for t in stock['storage.sqlite.sql']]
    # An empty container is no value.
    stock = {k: v for k, v in stock.items() if not k.startswith(LEFT_OUT) and not any(t.startswith(k + '.') for t in table())}
    check('values', ['%s: %s, not %s' % (k, mine.get(k), v) for k, v in stock.items() if mine.get(k) != v])
    check('keys that Debian\'s file has not', [k for k, v in mine.items() if k not in stock and DEFAULTS.get(k) != v and
                                               not k.startswith(OWN) and not any(t.startswith(k + '.') for t in table())])


def main():
    text = read(SAMPLE)
    check_taken(text)
    check_all_on(text)
    if os.path.exists(DEBIAN):
        check_debian(text)
    else:
        print('%s is not here to compare with' % DEBIAN)
    print('# %d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


sys.exit(main())
