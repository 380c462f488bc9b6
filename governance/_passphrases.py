"""Key files put under another passphrase, or under none."""

from __future__ import annotations

from pathlib import Path

from affidavit._home import Home
from affidavit.errors import KeyFileError, NotFoundError
from affidavit.lineage import SigningKey, has_passphrase, read_key, replace_key


def change_passphrase(home: Home, old: str | None, new: str | None, *names: str) -> list[Path]:
    """Put key files under another passphrase, or under none; all are opened before one is written.

    A file that is under the new one already is left, so that the command can be run again after a
    crash between two files.

    Args:
        home: Whose keys.
        old: The present passphrase; None where there is none.
        new: The new one; None takes it away.
        names: The keys, such as ``approver-ada@example.org``; the log's and the recorder's by
            default.

    Returns:
        The files that were written.

    Raises:
        KeyFileError: The passphrase is wrong, or a file cannot be written; what was not written is
            as it was.
        NotFoundError: There is no key file of such a name.
    """
    opened: list[tuple[Path, SigningKey]] = []
    for name in names or ("log", "recorder"):
        files = [path for path in home.keyring.files(name) if path.suffix == ".pem"]
        if not files and names:
            raise NotFoundError(
                f"There is no key file {name}.pem in {home.folder / 'keys'}.",
                hint="Give the file's name without its ending.",
            )
        for path in files:
            if not _is_under(path, new):
                key = read_key(path, passphrase=old if has_passphrase(path) else None)
                opened.append((path, key))
    for path, key in opened:
        replace_key(path, key, passphrase=new)
    return [path for path, _ in opened]


def _is_under(path: Path, passphrase: str | None) -> bool:
    if passphrase is None or not has_passphrase(path):
        return passphrase is None and not has_passphrase(path)
    try:
        read_key(path, passphrase=passphrase)
    except KeyFileError:
        return False
    return True
