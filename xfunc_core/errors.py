"""What may go wrong by the user's doing. Each message is one sentence: what, where, what to do."""


class XfuncError(Exception):
    """Base of every error whose message is meant for the user; pages and the CLI show it as it is."""


class DataError(XfuncError):
    """A file or dataset cannot be used; the message names the file and, where known, the frame."""


class ConfigError(XfuncError):
    """A setting or a combination of settings makes no sense; the message names the setting and the fix."""


class RunError(XfuncError):
    """A run folder cannot be used, or a run cannot go on."""


def refusal(error: OSError) -> str:
    """What the system refuses, as a sentence; the last resort where nobody knows what was being done."""
    return f"The system refuses: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}."
