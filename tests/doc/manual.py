#!/usr/bin/env python3
"""tests/doc/manual.py - the manual pages say everything that there is: each key, module, chain and option of the source, and
nothing that is not there. And the pages are right for the formatter.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.environ.get('srcdir', os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
PAGES = ('doc/shardsm.8', 'doc/shardsm.xml.5', 'doc/shardsm-bench.1', 'doc/shardsm-ctl.1')
# A module's hook in its struct, and the chain that it works in.
HOOKS = {'in_sess': 'in-sess', 'in_router': 'in-router', 'out_router': 'out-router', 'out_sess': 'out-sess', 'pkt_sm': 'pkt-sm',
         'pkt_user': 'pkt-user', 'stale': 'pkt-user', 'sess_start': 'sess-start', 'sess_end': 'sess-end',
         'user_unload': 'user-unload', 'user_create': 'user-create', 'user_delete': 'user-delete', 'user_leaving': 'user-delete',
         'disco_extend': 'disco-extend', 'component': 'pkt-router'}
SCOPES = {'TO_SELF': 'in-sess', 'TO_SERVER': 'pkt-sm', 'TO_ACCOUNT': 'pkt-user'}

passed = failed = 0


def check(what, wrong):
    """One test case: wrong is a list of what is wrong, or empty."""
    global passed, failed
    if wrong:
        failed += 1
        print('%s: %s' % (what, ', '.join(str(w) for w in wrong)))
    else:
        passed += 1


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as f:
        return f.read()


def sections(page, macro):
    """Heading -> text, of the page's .Sh or .Ss."""
    parts = re.split(r'^\.%s (.*)\n' % macro, page, flags=re.M)
    return dict(zip([h.strip('"') for h in parts[1::2]], parts[2::2]))


def items(text, kind):
    """What the tags of lists name: '.It Ic a.b , Ic c.d' -> a.b, c.d."""
    found = []
    for line in re.findall(r'^\.It (%s .*)$' % kind, text, flags=re.M):
        found += re.findall(r'(?:^|, |\| )(?:%s )(\S+)' % kind, line)
    return found


def lint(path):
    """Complaints of every formatter that is here; None: there is none."""
    full = os.path.join(ROOT, path)
    commands = []
    if shutil.which('mandoc'):
        commands.append(['mandoc', '-Tlint', '-Wwarning', full])
    if shutil.which('groff'):
        commands.append(['groff', '-ww', '-z', '-mdoc', '-Kutf8', '-Tutf8', full])
    if shutil.which('man') and os.path.exists('/usr/bin/mandb'):
        commands.append(['man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', full])
    if not commands:
        return None
    said = []
    env = dict(os.environ, LC_ALL='C.UTF-8', MANWIDTH='80', MANROFFSEQ='')
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.DEVNULL if command[0] != 'mandoc' else subprocess.PIPE,
                              stderr=subprocess.PIPE, env=env, check=False)
        said += (done.stderr + (done.stdout or b'')).decode('utf-8', 'replace').split('\n')[:5]
        if done.returncode:
            said.append('%s: status %d' % (command[0], done.returncode))
    return [s for s in said if s]


def check_pages():
    for path in PAGES:
        wrong = lint(path)
        if wrong is None:
            print('%s: no man, groff or mandoc here to look at it' % path)
        else:
            check(path, wrong)


def check_keys(page):
    known = re.findall(r'^\t"([^"]+)",', read('src/core/config-keys.c'), flags=re.M)
    told = items(page, 'Ic')
    check('config-keys.c', [] if len(known) > 50 else ['only %d keys found: this test is out of date' % len(known)])
    check('keys without an entry in shardsm.xml(5)', sorted(set(known) - set(told)))

    def is_known(key):
        return any(k == key or k.startswith(key + '.') for k in known)
    check('entries of shardsm.xml(5) that are no keys', [k for k in told if not is_known(k)])
    check('keys with two entries', sorted({k for k in told if told.count(k) > 1}))
    unread = items(sections(page, 'Sh')['ACCEPTED WITHOUT EFFECT'], 'Ic')
    source = ''.join(read(os.path.join('src', d, f)) for d in os.listdir(os.path.join(ROOT, 'src'))
                     if os.path.isdir(os.path.join(ROOT, 'src', d)) for f in os.listdir(os.path.join(ROOT, 'src', d))
                     if f.endswith('.c') and f != 'config-keys.c')
    check('keys that are said to be without effect and are read', [k for k in unread if '"%s"' % k in source])


def modules():
    """Name -> the chains that it has hooks for."""
    text = read('src/module/modules.c')
    names = re.findall(r'\bX\((\w+)\)', re.search(r'#define MODULES\(X\)(.*?)\n\n', text, re.S).group(1))
    source = ''.join(read('src/module/' + f) for f in sorted(os.listdir(os.path.join(ROOT, 'src/module'))) if f.endswith('.c'))
    found = {}
    for name in names:
        struct = re.search(r'^const struct module module_%s = \{(.*?)\};\s*$' % name, source, re.S | re.M).group(1)
        chains = {chain for hook, chain in HOOKS.items() if re.search(r'\.%s\b' % hook, struct)}
        chains |= {chain for scope, chain in SCOPES.items() if re.search(r'\b%s\b' % scope, struct)}
        found[re.search(r'\.name = "([^"]+)"', struct).group(1)] = chains
    return found


def check_modules(page):
    have = modules()
    told = sections(sections(page, 'Sh')['MODULES'], 'Ss')
    check('modules.c', [] if len(have) > 10 else ['only %d modules found: this test is out of date' % len(have)])
    check('modules without a section in shardsm.xml(5)', sorted(set(have) - set(told)))
    check('sections that are no modules', sorted(set(told) - set(have)))
    check('modules out of order', [] if list(told) == sorted(told) else list(told))
    for name in sorted(set(have) & set(told)):
        line = re.search(r'^Chains: (.*)\.$', told[name], flags=re.M)
        chains = set(line.group(1).split(', ')) if line else set()
        check('chains of %s that are not told' % name, sorted(have[name] - chains))


def check_chains(page):
    names = re.findall(r'\[CHAIN_\w+\] = "([^"]+)"', read('src/shard/chain.c'))
    check('chains that shardsm.xml(5) does not explain',
          [n for n in names if not re.search(r'^\.It Cm %s$' % re.escape(n), page, flags=re.M)] if names else ['none found'])


def check_options():
    """Every option of the programs."""
    for source, page in (('src/core/cmdline.c', 'doc/shardsm.8'), ('bench/options.c', 'doc/shardsm-bench.1'), ('src/ctl.c', 'doc/shardsm-ctl.1')):
        text = read(source)
        options = set(re.findall(r'\{\s*"([a-z0-9-]+)",\s*(?:no|required)_argument', text))
        short = set(re.search(r'getopt(?:_long)?\(argc, argv, "\+?([^"]*)"', text).group(1)) - set(':?')
        manual = read(page)
        missing = [o for o in options if not re.search(r'^\.It .*Fl -%s\b' % o, manual, flags=re.M)]
        missing += [o for o in short if not re.search(r'^\.It .*Fl %s\b' % o, manual, flags=re.M)]
        check('options of %s that %s does not explain' % (source, page), missing if short else ['none found'])


def check_scenarios():
    names = [re.search(r'struct scenario scenario_\w+ = \{\s*(?:\.name = )?"([^"]+)"', read('bench/' + f)).group(1)
             for f in sorted(os.listdir(os.path.join(ROOT, 'bench'))) if re.match(r'scenario_\w+\.c$', f)]
    manual = read('doc/shardsm-bench.1')
    check('scenarios that shardsm-bench(1) does not explain',
          [n for n in names if not re.search(r'^\.It Cm %s$' % n, manual, flags=re.M)] if names else ['none found'])


def main():
    page = read('doc/shardsm.xml.5')
    check_pages()
    check_keys(page)
    check_modules(page)
    check_chains(page)
    check_options()
    check_scenarios()
    print('# %d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


sys.exit(main())
