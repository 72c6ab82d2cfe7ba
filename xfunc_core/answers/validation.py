"""The answer to whether a dataset can be trusted."""

from __future__ import annotations

from xfunc_core.answers import find
from xfunc_core.answers.answer import Answer, Say
from xfunc_core.data.validation import Finding, Severity, validate


def check(name: str, say: Say) -> Answer:
    """The validation report of a dataset, warnings first; its data hold the ids of every frame."""
    report = validate(find.dataset(name), lambda share, what: say(f"{what} ({100 * share:.0f} %) …"))
    lines = [f"{name}: {report.verdict}"]
    for severity, head in ((Severity.WARNING, "To look at"), (Severity.INFO, "Good to know")):
        found = [f for f in report.findings if f.severity is severity]
        lines += ["", head, *(f"  {f.sentence}{_example(f, report.n_frames)}" for f in found)] if found else []
    return Answer("\n".join(lines), report.to_json())


def _example(finding: Finding, n_frames: int) -> str:
    """One id, where the finding is not about all of them."""
    return f" For example {finding.frame_ids[0]}." if finding.frame_ids and finding.n < n_frames else ""
