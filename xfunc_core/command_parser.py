"""How commands are parsed: one sentence on what is written wrong, help with examples, no abbreviations."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from xfunc_core.answers.answer import Answer, Say

Run = Callable[[argparse.Namespace, Say], Answer]

PROGRAM = "python -m xfunc_core"


class UsageError(Exception):
    """The command is not written right; the message is a sentence."""


class Parser(argparse.ArgumentParser):
    """Raises what argparse would print, and takes no abbreviated options: a script must not change its meaning later."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, formatter_class=_Formatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:].rstrip('.')}. See: {self.prog} --help")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of descriptions, and names the default where an option has one worth a word."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)

    def _get_help_string(self, action: argparse.Action) -> str:
        shown = "" if action.default in (None, False, "", argparse.SUPPRESS) else " (default: %(default)s)"
        return (action.help or "") + shown


def add_command(added: Any, name: str, run: Run, sentence: str, examples: Sequence[str], note: str = "") -> argparse.ArgumentParser:
    """Add a command with its help, its examples and ``--json``; ``run`` gives its answer."""
    shown = "\n".join(["examples:", *(f"  {PROGRAM} {name} {example}".rstrip() for example in examples), *(["", note] if note else [])])
    command = added.add_parser(name, help=sentence, description=sentence, epilog=shown.replace("%", "%%"))
    command.add_argument("--json", action="store_true", help="answer in JSON, for scripts; errors too, on stderr")
    command.set_defaults(run=run)
    return command
