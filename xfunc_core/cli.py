"""The command line: ``python -m xfunc_core COMMAND``. The same core as the app, for scripts and clusters.

Here is the edge: answers go to stdout, whatever is said while they are worked out goes to stderr, and
what goes wrong becomes one sentence and an exit code. `commands` knows the options, `answers` the work.

Exit codes: 0 good; 1 it cannot be done, or a run that was waited for did not finish; 2 the command is
not written right; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress

from xfunc_core.answers.answer import Answer, plain
from xfunc_core.commands import UsageError, parser
from xfunc_core.errors import XfuncError, refusal

SECONDS_BETWEEN_LINES = 10.0
"""Between lines on how far a wait is, where stderr is no terminal whose line could be replaced."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; a wrong or a ``--help`` command ends the same way, without SystemExit."""
    _survive_any_encoding()
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    progress = Progress()
    try:
        options = parser().parse_args(words)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of torch and chgnet are meant for their developers
            answer = options.run(options, progress)
        progress.end()
        _print(answer, as_json)
    except SystemExit as ended:  # argparse printed the help
        return int(ended.code or 0)
    except UsageError as error:
        return _fail(str(error), as_json, progress, code=2)
    except XfuncError as error:
        return _fail(str(error), as_json, progress)
    except BrokenPipeError:
        return _leave_quietly()
    except OSError as error:
        return _fail(refusal(error), as_json, progress)
    except KeyboardInterrupt:
        return _fail("Interrupted; runs in the queue go on.", as_json, progress, code=130)
    return answer.exit_code


class Progress:
    """Says on stderr how far a wait is: on one line that changes in a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._shown = ""
        self._last = -SECONDS_BETWEEN_LINES

    def __call__(self, text: str) -> None:
        """Show a text; in a terminal it replaces the one before."""
        with suppress(OSError):
            if sys.stderr.isatty():
                self._replace(text)
            elif text != self._shown and time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
                self._last, self._shown = time.monotonic(), text
                print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the changing line away."""
        with suppress(OSError):
            if self._shown and sys.stderr.isatty():
                self._replace("")

    def _replace(self, text: str) -> None:
        text = text[: _columns() - 1]
        print(f"\r{text.ljust(len(self._shown))}" + ("" if text else "\r"), end="", file=sys.stderr, flush=True)
        self._shown = text


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _print(answer: Answer, as_json: bool) -> None:
    print(json.dumps(plain(answer.data), indent=1, allow_nan=False) if as_json else answer.text, flush=True)


def _fail(sentence: str, as_json: bool, progress: Progress, code: int = 1) -> int:
    progress.end()
    with suppress(OSError):
        print(json.dumps({"error": sentence}) if as_json else f"xfunc: {sentence}", file=sys.stderr, flush=True)
    return code


def _leave_quietly() -> int:
    """The reader has seen enough (``| head``). Python's own farewell flush must not find the closed pipe again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _survive_any_encoding() -> None:
    """Where the terminal cannot show ² or Å, show a substitute rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
