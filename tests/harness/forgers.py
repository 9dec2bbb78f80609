"""More of the gallery of `bad_methods`: methods that say of themselves what is not so.

All of it happens in the method's own process, where everything can be reached: what the harness is
told there, it must be able to refuse.
"""

from bad_methods import Bad

LINE = """import gc
from harness.candidate.channel import Channel
(line,) = [o for o in gc.get_objects() if type(o) is Channel]
"""
AT_THE_END = """
send = line.send
def forged(kind, data=None, arrays=()):
    send(kind, {**(data or {}), **%s} if kind == 'finished' else data, arrays)
line.send = forged
"""
SHRINKS = """
if experience.task == 1: experience._ledger.samples_seen = 0
"""

FORGERS = [
    Bad(
        "spends under a name that is none",
        {"before": "experience.spend(**{'\\ud800': 1})"},
        "contract",
        "use a word",
    ),
    Bad(
        "forges a name that is none",
        {"after": "experience._ledger.spent['\\ud800'] = 1"},
        "contract",
        "1 names of spending, 1 of them no words",
    ),
    Bad(
        "forges a million names",
        {"after": "experience._ledger.spent.update({f'n{i}': 1 for i in range(5000)})"},
        "contract",
        "5000 names of spending",
    ),
    Bad(
        "takes back what it has seen",
        {"after": SHRINKS},
        "contract",
        "0 samples_seen after ",
    ),
    Bad(
        "has seen more than there is",
        {"after": "experience._ledger.samples_seen += 1000"},
        "budget",
        "samples; the budget allows",
    ),
    Bad(
        "has read more than there is",
        {"after": "experience._ledger.samples_read += 1000"},
        "budget",
        "read 1000 samples; there are",
    ),
    Bad(
        "asks to be looked at when it likes",
        {"step": "experience._evaluate()"},
        "contract",
        "unexpected message 'point'",
    ),
    Bad(
        "is larger than anything",
        {"after": LINE + AT_THE_END % "{'parameters': 1 << 70}"},
        "contract",
        "a number of parameters that is none",
    ),
    Bad(
        "is of no size",
        {"after": LINE + AT_THE_END % "{'parameters': [3]}"},
        "contract",
        "a number of parameters that is none",
    ),
    Bad(
        "hashes its weights in words",
        {"after": LINE + AT_THE_END % "{'weights_sha256': '\\ud800' * 64}"},
        "contract",
        "a hash of weights that is none",
    ),
    Bad(
        "may not kill who started it",
        {"step": "os.kill(os.getppid(), signal.SIGKILL)"},
        "exception",
        "PermissionError",
        isolation="sandbox",
    ),
]
