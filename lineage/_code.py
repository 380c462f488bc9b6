"""Where a function comes from: its source, its module and the git commit, without absolute paths.

Recipes: ``function-source-v1`` is SHA-256 over the exact source text of the function with its
decorators, dedented, in UTF-8; ``file-bytes-v1`` is that of the module's file.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from affidavit.errors import FingerprintError
from affidavit.lineage._digest import Digest
from affidavit.lineage._files import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE_RECIPE = "function-source-v1"
_TIMEOUT = 10.0
_SCP = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)(.+)")
# git variables that a hook sets would point git at another repository.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE")


def code_facts(function: Callable[..., Any]) -> dict[str, Any]:
    """Where a function's code comes from, JSON-safe.

    Args:
        function: A function, method, class or partial; decorators that set ``__wrapped__`` are
            looked through.

    Returns:
        ``module`` and ``name`` (qualified); ``source``: the digest of the function's text;
        ``file``: its path relative to the repository, else the file's name, with ``digest``;
        ``git``: ``commit``, ``branch`` (None if detached), ``dirty`` (a tracked file differs from
        the commit, or the function's file is not tracked), ``remote`` (without credentials; None
        if there is none or it is a local path). What cannot be had is
        ``{"unavailable": reason}``; this function does not fail.
    """
    target = _target(function)
    path = _file_of(target)
    git = _git_facts(path) if path is not None else _unavailable("the code is in no file")
    name = getattr(target, "__qualname__", type(target).__qualname__)
    return {
        "module": str(getattr(target, "__module__", None)),
        "name": str(name),
        "source": _source(target),
        "file": _file(path),
        "git": git,
    }


def _unavailable(reason: str) -> dict[str, Any]:
    return {"unavailable": reason}


def _target(function: Any) -> Any:
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            try:
                function = inspect.unwrap(function)
            except ValueError:  # a decorator that wraps itself
                return function
        elif callable(function) and not hasattr(function, "__qualname__"):
            return type(function)
        else:
            return function


def _source(target: Any) -> dict[str, Any]:
    try:
        text = textwrap.dedent(inspect.getsource(target))
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError) as error:
        return _unavailable(f"no source: {type(error).__name__}")
    return Digest.of(text.encode(), recipe=SOURCE_RECIPE).to_dict()


def _file_of(target: Any) -> Path | None:
    try:
        path = Path(inspect.getsourcefile(target) or "")
    except TypeError:
        return None
    return path.resolve() if path.is_file() else None


def _file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return _unavailable("the code is in no file")
    root = _repository(path.parent)
    name = path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.name
    try:
        return {"name": name, **file_digest(path).to_dict()}
    except FingerprintError:
        return {"name": name, **_unavailable("the file cannot be read")}


def _git_facts(path: Path) -> dict[str, Any]:
    """Commit, branch, state and remote; the state is asked of git at each call."""
    root = _repository(path.parent)
    if root is None:
        return _unavailable("git is not installed, or the file is in no repository")
    status = _git(root, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "-z")
    if status is None:
        return _unavailable("git gave no status in time")
    lines = [line for line in status.split("\0") if line]
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    changed = any(not line.startswith("# ") for line in lines)
    commit, branch = heads.get("branch.oid", ""), heads.get("branch.head", "")
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        return _unavailable("the repository has no commit")
    tracked = _git(root, "ls-files", "--error-unmatch", "--", f":(literal){path.relative_to(root)}")
    return {
        "commit": commit,
        "branch": None if branch in {"", "(detached)"} else branch,
        "dirty": changed or tracked is None,
        "remote": _remote(root),
    }


def _repository(directory: Path) -> Path | None:
    """The root of the repository that a directory is in, or None."""
    found = _known_root(directory)
    if found is not None and (found / ".git").exists():
        return found
    _known_root.cache_clear()  # a repository that came or went since
    return _known_root(directory)


@functools.lru_cache(maxsize=256)
def _known_root(directory: Path) -> Path | None:
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return None
    out = _git(directory, "rev-parse", "--show-toplevel")
    return Path(out.rstrip("\n")).resolve() if out else None


def _remote(root: Path) -> str | None:
    out = _git(root, "config", "--get", "remote.origin.url")
    return strip_credentials(out.strip()) if out else None


def strip_credentials(url: str) -> str | None:
    """A remote's URL without user, password, query and fragment.

    Args:
        url: A URL, or git's short form ``user@host:path``.

    Returns:
        The URL that names the repository and nothing else; None for a path on this machine.
    """
    parts = urlsplit(url)
    if parts.scheme and parts.netloc:
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    short = _SCP.fullmatch(url)
    if short and parts.scheme != "file":
        return f"{short[1]}:{short[2]}"
    return None


def _git(directory: Path, *args: str) -> str | None:
    """What git prints, or None if it fails; it asks nothing, locks nothing and runs no hook."""
    environment = {k: v for k, v in os.environ.items() if k not in _GIT_VARIABLES}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    options = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
    try:
        done = subprocess.run(  # noqa: S603  # fixed words and a directory
            ["git", *options, *args],  # noqa: S607  # whichever git is on the path
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
