"""The texts of issues, in Markdown and HTML; all that others have named is rendered literally.

Values are inline code: no mention of a user, no reference to an issue, no link, and no quick action
of GitLab, which is a line that begins with a slash.
"""

from __future__ import annotations

import re
from html import escape

from mlops_assets.integrations.issue_trackers.tracker import IssueText, Mark
from mlops_assets.monitoring.document import Rule
from mlops_assets.paths import monitoring_key
from mlops_assets.registry import Alarm, Run
from mlops_assets.text.markup import code, table
from mlops_assets.text.printable import printable

MAX_VALUE = 500  # characters
MAX_TITLE = 200
# what no platform takes for markup, a mention or a reference
_UNSAFE = re.compile(r"[^\w .:,/-]")


def issue_text(
    alarm: Alarm, mark: Mark, dataset: str, run: Run | None, rule: Rule | None, document: str | None
) -> IssueText:
    """Return the text of the issue of an alarm.

    Args:
        alarm: the alarm.
        mark: of the issue.
        dataset: that the model version was trained on.
        run: that has trained it; None if unknown.
        rule: as of its newest failed day; None if that has no document.
        document: sha256 of that document; None if there is none.
    """
    facts = {
        "model version": f"{alarm.model}@{alarm.version}",
        "data version": f"{dataset}@{alarm.data_version}",
        "rule": alarm.rule,
        "failed on": alarm.day
        if alarm.day == alarm.last_day
        else f"{alarm.day} to {alarm.last_day}",
    }
    if rule is not None and rule.value is not None:
        facts["value"] = f"{rule.value:.4g}"
    if rule is not None and rule.limit is not None:
        facts["limit"] = f"{rule.limit:.4g}"
    if run is not None:
        facts["training run"] = run.run_id
        facts["code version"] = run.code.get("commit") or run.code_version
    if document is not None:
        facts["report"] = monitoring_key(alarm.model, alarm.last_day, "report.html")
        facts["monitoring.json"] = f"sha256 {document}"
    title = f"{alarm.model}: {alarm.rule} failed on {alarm.day}"
    return IssueText(
        title=_UNSAFE.sub("?", " ".join(printable(title).split()))[:MAX_TITLE],
        facts={name: _shortened(value) for name, value in facts.items()},
        advice=(
            f"mlops alarm show {alarm.id}",
            f"mlops monitor show {alarm.model} --day {alarm.last_day}",
        ),
        failure=_shortened(alarm.text),
        mark=mark,
    )


def markdown(text: IssueText) -> str:
    """Return the description of an issue in Markdown."""
    rows = [[name, code(value)] for name, value in text.facts.items()]
    commands = "\n".join(f"* {code(line)}" for line in text.advice)
    return (
        f"A rule of monitoring has failed: {code(text.failure)}\n\n"
        f"{table(['', ''], rows)}\n\n"
        "The report is in the workspace. What is known of the alarm, and where it leads:\n\n"
        f"{commands}\n\n"
        "This issue is closed when the rule passes.\n\n"
        f"{text.mark.comment()}\n"
    )


def html(text: IssueText) -> str:
    """Return the description of an issue in HTML."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(value)}</code></td></tr>"
        for name, value in text.facts.items()
    )
    commands = "".join(f"<li><code>{escape(line)}</code></li>" for line in text.advice)
    return (
        f"<p>A rule of monitoring has failed: <code>{escape(text.failure)}</code></p>"
        f"<table>{rows}</table>"
        "<p>The report is in the workspace. What is known of the alarm, and where it leads:</p>"
        f"<ul>{commands}</ul><p>This issue is closed when the rule passes.</p>"
    )


def recovered_text(alarm: Alarm) -> str:
    """Return the comment on the issue of an alarm that has ended; good in Markdown and HTML."""
    return f"The rule has passed on {alarm.recovered_day}."


def failed_again_text(alarm: Alarm) -> str:
    """Return the comment on the issue of an alarm that is open again."""
    return f"The rule has failed again on {alarm.last_day}."


def _shortened(value: str) -> str:
    line = printable(" ".join(value.split()))
    return line if len(line) <= MAX_VALUE else f"{line[:MAX_VALUE]}…"
