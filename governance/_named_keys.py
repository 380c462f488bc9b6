"""The named secret keys of a home, as obligations ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from affidavit._home import Home


class NamedKeys(Mapping[str, bytes]):
    """The named keys of pseudonyms, derived from the home's master key."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def __getitem__(self, name: str) -> bytes:
        return self._home.vault.named_key(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
