"""A gallery of methods that misbehave, and what a person is told of each.

Every one is the plain method of `heldout_testing` with something wrong at one place.
"""

from dataclasses import dataclass, field

from heldout_testing import METHOD

MEMORY = {"memory_bytes": str(1 << 29)}
SOME_SECONDS = {"limit_seconds": "6"}  # the neighbour needs a fraction of one


@dataclass(frozen=True)
class Bad:
    """What is put where, and what comes of it: the kind of the failure, and words of its reason."""

    name: str
    places: dict
    kind: str  # "ok": nothing is wrong with the run, and its record says so
    words: str = ""
    budget: dict = field(default_factory=dict)
    edits: tuple = ()  # (text, replacement) of the source itself
    isolation: str | None = None  # where it matters: a sandbox stops more, and earlier


HOSTILE = "\\x1b[31m\\x00\\u202e</td><script>\\ud800" + "\\n{0}%s"

IN_EACH_VERB = [
    Bad(
        "raises in start",
        {"start": "raise ValueError('bad luck')"},
        "exception",
        "start raised ValueError: bad luck (mine.py:",
    ),
    Bad("raises in learn", {"before": "1 / 0"}, "exception", "learn raised ZeroDivisionError"),
    Bad(
        "raises in a later step",
        {"step": "if experience.task == 2: raise KeyError('x')"},
        "exception",
        "in learn of experience 2",
    ),
    Bad(
        "raises in predict",
        {"predict": "raise KeyError('x')"},
        "exception",
        "predict raised KeyError: 'x'",
    ),
    Bad(
        "raises when it is made",
        {},
        "exception",
        "RuntimeError: not today",
        edits=(
            (
                "    def start(",
                "    def __post_init__(self):\n"
                "        raise RuntimeError('not today')\n\n    def start(",
            ),
        ),
    ),
    Bad(
        "raises without a message",
        {"before": "raise Exception"},
        "exception",
        "Exception: no message",
    ),
    Bad(
        "raises what prints badly",
        {
            "before": "class E(Exception):\n"
            "    def __str__(self): raise SystemError('nested')\nraise E()"
        },
        "exception",
        "E",
    ),
    Bad(
        "raises a huge message",
        {"before": "raise ValueError('x' * (1 << 24))"},
        "exception",
        "learn raised ValueError: xxx",
    ),
    Bad(
        "raises a hostile message",
        {"before": f"raise ValueError('{HOSTILE}')"},
        "exception",
        "learn raised ValueError",
    ),
    Bad(
        "raises what is no Exception",
        {"before": "class B(BaseException): pass\nraise B('deep')"},
        "exception",
        "B: deep",
    ),
    Bad(
        "interrupts itself", {"before": "raise KeyboardInterrupt"}, "exception", "KeyboardInterrupt"
    ),
    Bad("raises StopIteration", {"before": "raise StopIteration"}, "exception", "StopIteration"),
    Bad(
        "raises a chain of a thousand",
        {
            "before": "error = ValueError('first')\nfor i in range(1000):\n"
            "    try: raise ValueError(i) from error\n    except ValueError as e: error = e\n"
            "raise error"
        },
        "exception",
        "ValueError: 999",
    ),
    Bad(
        "recurses without end",
        {"before": "def f(): return f()\nf()"},
        "exception",
        "RecursionError",
    ),
]
ENDS_ITSELF = [
    Bad("leaves with sys.exit", {"before": "sys.exit(3)"}, "exit", "sys.exit(3)"),
    Bad("leaves with success", {"before": "sys.exit(0)"}, "exit", "sys.exit(0)"),
    Bad("leaves with a sermon", {"before": "sys.exit('x' * 100000)"}, "exit", "sys.exit('xxx"),
    Bad("vanishes", {"step": "os._exit(0)"}, "exit", "exit code 0 in learn of experience 0"),
    Bad(
        "vanishes while answering",
        {"predict": "os._exit(7)"},
        "exit",
        "exit code 7 in predict on test 0",
    ),
    Bad("segfaults", {"step": "ctypes.string_at(0)"}, "killed", "crashed with SIGSEGV"),
    Bad("aborts", {"step": "os.abort()"}, "killed", "crashed with SIGABRT"),
    Bad(
        "kills itself",
        {"step": "os.kill(os.getpid(), signal.SIGKILL)"},
        "killed",
        "ended by SIGKILL in learn of experience 0, and ended by SIGKILL in learn of experience 0 "
        "when it was made again with nobody beside, so it counts as the method's doing",
    ),
    Bad(
        "kills itself here or there",  # by a coin: another place, and another signal, is no way out
        {
            "before": "if experience.task == time.time_ns() % 4: os.kill(os.getpid(), 9)",
            "after": "if experience.task == 4: os.kill(os.getpid(), signal.SIGTERM)",
        },
        "killed",
        "so it counts as the method's doing",
    ),
    Bad(
        "has a child kill it",
        {
            "before": "if os.fork() == 0: os._exit(os.kill(os.getppid(), signal.SIGKILL) or 0)\n"
            "time.sleep(999)"
        },
        "killed",
        "so it counts as the method's doing",
    ),
    Bad(
        "ends by a signal without a name",
        {"step": "os.kill(os.getpid(), signal.SIGRTMIN + 7)"},
        "killed",
        "crashed with signal 41 in learn of experience 0",
    ),
    Bad(
        "terminates its group",
        {"step": "os.killpg(0, signal.SIGTERM); time.sleep(999)"},
        "killed",
        "ended by SIGTERM in learn of experience 0, and ended by SIGTERM",
    ),
    Bad("ends by an alarm", {"before": "signal.alarm(1); time.sleep(999)"}, "killed", "SIGALRM"),
]
NEVER_ENDS = [
    Bad(
        "loops and ignores SIGTERM",
        {"before": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"},
        "time-out",
        "learn of experience 0 was still running after the limit of 6 s",
        SOME_SECONDS,
    ),
    Bad(
        "loops while answering",
        {"predict": "while True: time.sleep(1)"},
        "time-out",
        "predict on test 0",
        SOME_SECONDS,
    ),
    Bad(
        "loops at import",
        {},
        "time-out",
        "importing the method",
        SOME_SECONDS,
        edits=(
            (
                "    def start(",
                "    def __post_init__(self):\n        while True: time.sleep(1)\n\n    def start(",
            ),
        ),
    ),
    Bad(
        "prints without end",
        {"before": "while True: print('x' * 10000); time.sleep(0.001)"},
        "time-out",
        "learn of experience 0",
        SOME_SECONDS,
    ),
    Bad(
        "stops itself",
        {"before": "os.kill(os.getpid(), signal.SIGSTOP)"},
        "time-out",
        "learn of experience 0",
        SOME_SECONDS,
    ),
    Bad(
        "waits for an answer", {"before": "sys.stdin.readline(); input()"}, "exception", "EOFError"
    ),
]
ANSWERS_BADLY = [
    Bad("answers too few", {"predict": "return torch.zeros(3).long()"}, "output", "3 outputs for"),
    Bad("answers too many", {"predict": "return torch.zeros(9999).long()"}, "output", "9999"),
    Bad("answers nothing", {"predict": "return None"}, "output", "returned NoneType"),
    Bad("answers a list", {"predict": "return [0] * len(inputs)"}, "output", "returned list"),
    Bad("answers a string", {"predict": "return 'seven'"}, "output", "returned str"),
    Bad(
        "answers lazily", {"predict": "return (i for i in inputs)"}, "output", "returned generator"
    ),
    Bad("answers one number", {"predict": "return torch.tensor(3)"}, "output", "returned Tensor"),
    Bad("answers logits", {"predict": "return self.model(inputs, task)"}, "output", "shape"),
    Bad(
        "answers reals",
        {"predict": "return torch.zeros(len(inputs))"},
        "output",
        "whole numbers are asked for",
    ),
    Bad(
        "answers truth values",
        {"predict": "return torch.ones(len(inputs)).bool()"},
        "output",
        "whole numbers are asked for",
    ),
    Bad(
        "answers NaN", {"predict": "return torch.full((len(inputs),), float('nan'))"}, "output", ""
    ),
    Bad(
        "answers a class that is none",
        {"predict": "return torch.full((len(inputs),), 77)"},
        "output",
        "valid are 0 to 9",
    ),
    Bad(
        "answers below zero",
        {"predict": "return torch.full((len(inputs),), -1)"},
        "output",
        "valid are 0 to 9",
    ),
    Bad(
        "answers objects",
        {"predict": "return np.array([object()] * len(inputs))"},
        "output",
        "predict returned object values",
    ),
    Bad(
        "answers complex numbers",
        {"predict": "return np.full(len(inputs), 1j)"},
        "output",
        "predict returned complex128 values",
    ),
    Bad(
        "answers a meta tensor",
        {"predict": "return torch.zeros(len(inputs), dtype=torch.long, device='meta')"},
        "exception",
        "",
    ),
    Bad(
        "answers sparsely",
        {"predict": "return torch.zeros(len(inputs), dtype=torch.long).to_sparse()"},
        "exception",
        "Sparse layout",
    ),
    Bad(
        "answers with what pretends",
        {
            "predict": "class T(torch.Tensor):\n    def __len__(self): return 10**9\n"
            "return torch.zeros(3).long().as_subclass(T)"
        },
        "output",
        "1000000000 outputs",
    ),
    Bad(
        "diverges",
        {"after": "with torch.no_grad(): next(self.model.parameters()).fill_(float('nan'))"},
        "diverged",
        "holds NaN or infinity after learn; a step size that is too large",
    ),
]
TAKES_TOO_MUCH = [
    Bad(
        "eats memory",
        {"before": "self.hoard = [bytearray(1 << 26) for _ in range(64)]"},
        "memory",
        "memory",
        MEMORY,
    ),
    Bad("eats memory in one bite", {"before": "torch.ones(1 << 36)"}, "memory", "alloc", MEMORY),
    Bad(
        "eats memory while answering",
        {"predict": "np.ones((1 << 17, 1 << 17))"},
        "memory",
        "",
        MEMORY,
    ),
    Bad(
        "reads past its budget",
        {"after": "for _ in experience.batches(32): pass"},
        "budget",
        "after the budget of experience 0 was spent",
    ),
    Bad(
        "asks for batches of nothing",
        {"before": "experience.batches(0)"},
        "contract",
        "the batch size is a whole number > 0",
    ),
    Bad(
        "asks for a reward",
        {"before": "experience.reward(torch.zeros(1), torch.zeros(1))"},
        "contract",
        "no verifier",
    ),
    Bad("asks for prompts", {"before": "experience.prompts"}, "exception", "no prompts"),
    Bad(
        "spends below zero",
        {"before": "experience.spend(generated_tokens=-5)"},
        "budget",
        "amounts cannot be negative",
    ),
    Bad(
        "answers below cost",
        {"predict": "self.problem.spend(generated_tokens=-5)"},
        "budget",
        "amounts cannot be negative",
    ),
    Bad(
        "forges what answers cost",
        {"predict": "self.problem._ledger.predicting['generated_tokens'] = -5"},
        "contract",
        "below zero",
    ),
    Bad(
        "forges what it has spent",
        {"after": "experience._ledger.spent['x'] = -5"},
        "contract",
        "below zero",
    ),
    Bad(
        "forges what it has seen",
        {"after": "experience._ledger.samples_seen = -1"},
        "contract",
        "below zero",
    ),
    Bad(
        "says it has seen many",
        {"after": "experience._ledger.samples_seen = 'many'"},
        "contract",
        "counts that are no numbers",
    ),
    Bad(
        "counts with a million names",
        {"before": "for i in range(100000): experience.spend(**{f'name_{i}': 1})"},
        "contract",
        "more than 100 names",
    ),
]
BREAKS_THE_HARNESS = [
    Bad(
        "closes its descriptors",
        {"before": "os.closerange(0, 1000)"},
        "exit",
        "in learn of experience 0",
    ),
    Bad(
        "hangs up",
        {
            "before": "self.problem = None; import contextlib, gc, socket\n"
            "for o in gc.get_objects():\n"
            "    with contextlib.suppress(OSError):\n"
            "        if type(o) is socket.socket: o.close()"
        },
        "exit",
        "",
    ),
    Bad("deletes its model", {"after": "del self.model"}, "exception", "predict raised"),
    Bad(
        "forges a message",
        {
            "before": "import gc; from harness.candidate.channel import Channel\n"
            "for o in gc.get_objects():\n"
            "    if type(o) is Channel: o.send('learned', {'spent': {}})"
        },
        "contract",
        "",
    ),
    Bad(
        "sends rubbish",
        {
            "before": "import gc; from harness.candidate.channel import Channel\n"
            "for o in gc.get_objects():\n"
            "    if type(o) is Channel: o.socket.send(bytes(range(256)))"
        },
        "contract",
        "no message of ours",
    ),
    Bad(
        "sends a failure of a kind of its own",
        {
            "before": "import gc; from harness.candidate.channel import Channel\n"
            "for o in gc.get_objects():\n"
            "    if type(o) is Channel: o.send('failed', {'kind': 'bad-luck', 'reason': 'x'})"
        },
        "contract",
        "x, in learn of experience 0",
    ),
    Bad(
        "sends a list as the kind of its failure",
        {
            "before": "import gc; from harness.candidate.channel import Channel\n"
            "for o in gc.get_objects():\n"
            "    if type(o) is Channel: o.send('failed', {'kind': ['exit'], 'reason': 'x'})"
        },
        "contract",
        "x, in learn of experience 0",
    ),
    Bad(
        "raises a failure of a kind of its own",
        {"before": "from harness.errors import RunFailure\nraise RunFailure('luck', 'bad')"},
        "exception",
        "'luck' is no kind of failure",
    ),
    Bad(
        "sends a failure of its own",
        {
            "before": "import gc; from harness.candidate.channel import Channel\n"
            "for o in gc.get_objects():\n"
            "    if type(o) is Channel: o.send('failed', {'kind': 'x' * 9999, 'reason': 5})"
        },
        "contract",
        "",
    ),
]
NOTHING = """import gc, json, socket
from harness.candidate.channel import Channel
fd = os.memfd_create('nothing')
os.ftruncate(fd, 64 << 30)
head = json.dumps({'kind': 'predicted', 'data': {'spent': {}}, 'arrays': [['uint8', [64 << 30]]]})
for o in gc.get_objects():
    if type(o) is Channel: socket.send_fds(o.socket, [head.encode()], [fd])"""
BREAKS_THE_HARNESS += [
    Bad(
        "answers with 64 GB of nothing",
        {"predict": NOTHING},
        "contract",
        "allowed are 268435456",
        isolation="process",
    ),
    Bad(
        "makes 64 GB of nothing in a sandbox",
        {"predict": NOTHING},
        "exception",
        "File too large",
        isolation="sandbox",
    ),
    Bad(
        "answers in a type of its own",
        {"predict": "return np.zeros(len(inputs), 'M8[s]')"},
        "output",
        "predict returned datetime64[s] values",
    ),
    Bad(
        "takes nothing to predict",
        {},
        "exception",
        "predict raised TypeError",
        edits=(
            ("def predict(self, inputs, task=None):", "def predict(self, *, inputs=0, task=0):"),
        ),
    ),
    Bad(
        "has a model that raises",
        {"start": "type(self).model = property(lambda self: 1 / 0)"},
        "exception",
        "ZeroDivisionError",
    ),
]

HARMLESS = [
    Bad("changes its inputs", {"before": "experience.inputs.fill_(9.0)",
        "predict": "inputs.fill_(9.0)"}, "ok"),
    Bad("changes torch for all", {"start":
        "torch.set_default_dtype(torch.float64); torch.set_num_threads(2)\n"
        "torch.set_grad_enabled(True); torch.manual_seed(5); torch.nn.Linear.forward = None\n"
        "torch.set_default_dtype(torch.float32)", "before": "del torch.nn.Linear.forward"},
        "exception", "learn raised"),
    Bad("changes its environment", {"start":
        "os.environ.clear(); os.chdir('/'); os.umask(0o777); sys.path.clear()"}, "ok"),
    Bad("changes its hyper-parameters", {"start": "self.lr = 0.5; type(self).lr = 7.0"}, "ok"),
    Bad("never reads its data", {}, "ok", edits=(("experience.batches(32)", "()"),)),
    Bad("stops early", {"step": "break"}, "ok"),
    Bad("spawns threads", {"start": "import threading\n"
        "for _ in range(20): threading.Thread(target=time.sleep, args=(60,)).start()"},
        "ok"),
    Bad(
        "says it spent more than there is",
        {"after": "experience._ledger.spent['x'] = 1 << 70"},
        "contract",
        "no run spends so much",
    ),
    Bad(
        "writes to a full disk",
        {"before": "open('/dev/full', 'w', buffering=1).write('x' * 99 + chr(10))"},
        "exception",
        "No space left on device",
    ),
    Bad("leaves children", {"start": "if os.fork() == 0:\n    while True: time.sleep(1)"}, "ok"),
    Bad("leaves children in groups of their own", {"start":
        "if os.fork() == 0:\n    os.setsid()\n    time.sleep(20); os._exit(0)"}, "ok"),
    Bad("prints bytes", {"before": "os.write(1, bytes(range(256)) * 400)"}, "ok"),
    Bad("prints to a closed stdout", {"before": "sys.stdout.close(); sys.stderr.close()"}, "ok"),
    Bad("warns much", {"before": "import warnings\nfor i in range(999): warnings.warn(str(i))"},
        "ok"),
    Bad("leaves a handler at exit", {"start": "import atexit; atexit.register(time.sleep, 60)"},
        "ok"),
    Bad("leaves a finaliser", {"start": "self.f = Late()"}, "ok", edits=((
        "@dataclass\n",
        "class Late:\n    def __del__(self): raise ValueError('late')\n\n@dataclass\n"),)),
    Bad("replaces print and open", {"start":
        "import builtins; builtins.print = builtins.open = None"}, "ok"),
    Bad("turns off the collector", {"start": "import gc; gc.disable(); gc.freeze()"}, "ok"),
]  # fmt: skip

GALLERY = [
    *IN_EACH_VERB,
    *ENDS_ITSELF,
    *NEVER_ENDS,
    *ANSWERS_BADLY,
    *TAKES_TOO_MUCH,
    *BREAKS_THE_HARNESS,
    *HARMLESS,
]


def source(bad):
    """The method's text before its places are filled."""
    text = METHOD
    for old, new in bad.edits:
        assert old in text
        text = text.replace(old, new)
    return text
