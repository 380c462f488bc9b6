"""The gate's results in each format, and the files that they go to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from affidavit._files import write_file
from affidavit._gate_github import render_github
from affidavit._gate_items import GateReport
from affidavit._gate_junit import render_junit
from affidavit._gate_markdown import render_markdown
from affidavit._gate_result import worst
from affidavit._gate_sarif import render_sarif
from affidavit.errors import ConfigurationError

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable that names the file of a job's summary (GitHub Docs, Workflow commands)."""


def render_json(reports: Sequence[GateReport]) -> str:
    """Return one result as an object, several as an object with a list of them.

    Args:
        reports: The results.
    """
    documents = [report.result.to_dict() for report in reports]
    if len(documents) == 1:
        return _json(documents[0])
    code = worst([report.result for report in reports])
    return _json({"ok": code == 0, "exit_code": code, "results": documents})


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


RENDERERS: Mapping[str, Callable[[Sequence[GateReport]], str]] = MappingProxyType(
    {
        "json": render_json,
        "junit": render_junit,
        "sarif": render_sarif,
        "github": render_github,
        "markdown": render_markdown,
    }
)
"""What makes each format but text, which depends on the terminal."""


def wanted_files(output: Path | None, form: str, also: Sequence[str]) -> dict[Path, str]:
    """Return which file gets which format, checked before anything is decided.

    Args:
        output: Where the format of ``--format`` goes; None for standard output.
        form: That format.
        also: Further files, each as ``FORMAT=FILE``.

    Raises:
        ConfigurationError: A format is unknown, a file is named twice, or its folder is not there.
    """
    pairs = [] if output is None else [(form, output)]
    for text in also:
        named, equals, path = text.partition("=")
        if not equals or not path:
            raise ConfigurationError(f"{text!r} is not FORMAT=FILE.", hint="Such as sarif=g.sarif.")
        pairs.append((named, Path(path)))
    files: dict[Path, str] = {}
    for named, file in pairs:
        if named not in RENDERERS:
            raise ConfigurationError(
                f"{named!r} is not a format that a file can have.",
                hint=f"There are {', '.join(RENDERERS)}.",
            )
        if file in files:
            raise ConfigurationError(f"{file} is named twice.", hint="Give each format its own.")
        if not file.parent.is_dir() or file.is_dir():
            raise ConfigurationError(
                f"{file} cannot be written: its folder is not there, or it is one.",
                hint="Make the folder first.",
            )
        files[file] = named
    return files


def write_reports(reports: Sequence[GateReport], files: Mapping[Path, str]) -> None:
    """Write each file whole.

    Raises:
        ConfigurationError: A file cannot be written.
    """
    for path, form in files.items():
        write_file(path, RENDERERS[form](reports).encode())


def append_summary(reports: Sequence[GateReport]) -> None:
    """Append the results to the job's summary, where a workflow runs.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    path = os.environ.get(SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(render_markdown(reports))
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.", hint=f"Correct {SUMMARY}."
        ) from error
