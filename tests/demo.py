#!/usr/bin/python3
"""The demonstration of ./quickstart: it works, and nothing of it stays behind however it ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SRC = os.environ.get("srcdir", os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARDSM = os.environ.get("SHARDSM", "src/shardsm")
SKIPPED = 77
LIMIT = 90


def start(directory, *arguments, shardsm=SHARDSM):
    return subprocess.Popen(["/usr/bin/python3", f"{SRC}/demo/quickstart.py", shardsm, "--dir", directory, *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def left_behind(directory):
    """Processes that still work in the site's directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                command = f.read().replace("\0", " ")
        except OSError:
            continue
        if f"{directory}/" in command and int(pid) != os.getpid():
            found.append(command)
    return found


def ends(process, directory, status):
    said = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == status, f"status {process.returncode} instead of {status}:\n{said}"
    assert not left_behind(directory), f"still running: {left_behind(directory)}\n{said}"
    return said


def once_works(directory):
    said = ends(start(directory, "--once"), directory, 0)
    assert "to bob" in said and "it works" in said, said
    with open(f"{directory}/sm.log") as f:
        # c2s ends first; a server that is told to stop before it has seen that cannot send its last answers to anybody.
        bad = [line for line in f if ("[error]" in line or "[warning]" in line) and "too late to do anything else with it" not in line]
    assert not bad, "the server complains of what quickstart gave it: " + "".join(bad)


def ctrl_c_ends_it(directory):
    process = start(directory)
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("Ctrl-C"):
            break
    assert "port" in said and "registration is open" in said, said
    process.send_signal(signal.SIGINT)
    ends(process, directory, 0)


def an_early_signal_ends_it(directory):
    """At a few moments: while the certificate is made, while a server starts, while the clients meet."""
    for i in range(3):
        process = start(directory)
        assert process.stdout.readline().startswith("starting")
        if i == 1:
            wait_for_file(f"{directory}/sm.log")
        elif i == 2:
            assert process.stdout.readline().startswith("two clients")
        process.send_signal(signal.SIGTERM)
        ends(process, directory, 1)


def wait_for_file(path):
    end = time.monotonic() + LIMIT
    while not os.path.exists(path):
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)


def a_server_that_dies_is_shown(directory):
    with open(f"{directory}/bad", "w") as f:
        f.write("#!/bin/sh\necho this is why\nexit 3\n")
    os.chmod(f"{directory}/bad", 0o700)
    said = ends(start(directory, "--once", shardsm=f"{directory}/bad"), directory, 1)
    assert "this is why" in said and "status 3" in said, said


def main():
    if not os.path.exists("/usr/sbin/jabberd2-c2s"):
        print("jabberd2 is not installed")
        return SKIPPED
    passed = failed = 0
    for case in (once_works, ctrl_c_ends_it, an_early_signal_ends_it, a_server_that_dies_is_shown):
        directory = tempfile.mkdtemp(prefix="shardsm-demo-")
        try:
            case(directory)
            passed += 1
        except Exception as e:  # of whatever kind: the other cases run all the same
            print(f"{case.__name__}: {type(e).__name__} {e}")
            failed += 1
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"# {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
