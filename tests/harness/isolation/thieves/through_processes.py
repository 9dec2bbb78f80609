"""Thieves that start, outlive or disturb processes, and that cheat the clock."""

import ctypes
import os
import resource
import subprocess
import time
from pathlib import Path

PR_SET_NAME = 15
SPAWNED = 400  # more than a sandbox allows, few enough for any machine


def a_fork_bomb(_):
    """How many processes can be had."""
    script = f"i=0; while [ $i -lt {SPAWNED} ]; do sleep 60 & i=$((i+1)); done"
    done = subprocess.run(["/bin/sh", "-c", script], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)  # fmt: skip
    return None if done.returncode else f"heldout: {SPAWNED} processes"


def an_orphan(hint):
    """A grandchild in a session of its own that goes on when the run is over."""
    heard, said = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(PR_SET_NAME, hint.encode(), 0, 0, 0)
            os.write(said, b"!")
            time.sleep(600)
        os._exit(0)
    os.wait()
    os.read(heard, 1)


def a_signal_to_the_harness(hint):
    """Signal 0 does nothing but tell whether another one would arrive."""
    os.kill(int(hint), 0)
    return "heldout: could be killed"


def a_slower_harness(hint):
    """Limits and priority of another process."""
    resource.prlimit(int(hint), resource.RLIMIT_CPU)
    os.setpriority(os.PRIO_PROCESS, int(hint), os.getpriority(os.PRIO_PROCESS, int(hint)))
    os.sched_setaffinity(int(hint), os.sched_getaffinity(int(hint)))
    return "heldout: could be slowed down"


def a_namespace(_):
    """A user namespace, in which one is root, as the start of more; in a child, so no harm."""
    done = subprocess.run(["/usr/bin/unshare", "-Ur", "/bin/echo", "heldout: root"],
                          capture_output=True)  # fmt: skip
    return done.stdout


def raised_limits(_):
    """More memory than the run was given."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "heldout: no limit"


def more_rights(_):
    """Back to root."""
    os.setresuid(0, 0, 0)
    held = [line for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("CapEff:")]  # fmt: skip
    return "heldout: root" if int(held[0].split()[1], 16) & 1 << 21 else None  # CAP_SYS_ADMIN


def a_closed_folder_of_its_own(_):
    """PR_SET_DUMPABLE: its /proc files become root's, and nobody else can count its memory."""
    if ctypes.CDLL(None, use_errno=True).prctl(4, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    return "heldout: unseen"
