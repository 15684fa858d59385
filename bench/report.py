"""bench/report.py - a page of the figures of one or more runs.

Threads: one.
Owns: nothing.
"""
import html


def page(_runs, table=''):
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>shardsm-bench</title><pre>{html.escape(table)}</pre></html>\n'
