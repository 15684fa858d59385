"""differences.py - what two servers did differently, held against what a scenario says that they may.
Threads: none; values only.
Owns: nothing.
"""
import collections
import difflib


def between(stock, ours):
    """[(sign, 'ACTOR: line')] of two maps of actor -> lines."""
    found = []
    for actor in sorted(set(stock) | set(ours)):
        a, b = stock.get(actor, []), ours.get(actor, [])
        for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
            if tag != 'equal':
                found += [('-', '%s: %s' % (actor, line)) for line in a[i1:i2]]
                found += [('+', '%s: %s' % (actor, line)) for line in b[j1:j2]]
    return found


def unexplained(step, found, run, reasons):
    """Complaints of a step. found: from between(). run: which pair of servers this was ('' when there is only one)."""
    left = collections.Counter(found)
    complaints = []
    for reason, sign, runs, text in step.listed:
        if run not in runs.split(','):
            continue
        if reason not in reasons:
            complaints.append('line %d: no reason is called %s' % (step.number, reason))
        if left[(sign, text)]:
            left[(sign, text)] -= 1
        else:
            complaints.append('line %d: a listed difference no longer occurs: %s %s' % (step.number, sign, text))
    for sign, text in found:
        if left[(sign, text)]:
            left[(sign, text)] -= 1
            complaints.append('line %d: only %s: %s' % (step.number, {'-': "jabberd2's sm", '+': 'shardsm'}[sign], text))
    return complaints


def rewrite(step, found, run):
    """Makes a step list what was found; what was listed before keeps its reason, the rest gets the reason ?."""
    known = collections.defaultdict(list)
    for reason, sign, runs, text in step.listed:
        if run in runs.split(','):
            known[(sign, text)].append(reason)
    step.listed = [l for l in step.listed if run not in l[2].split(',')]
    for sign, text in found:
        step.listed.append(((known[(sign, text)] or ['?']).pop(0), sign, run, text))
