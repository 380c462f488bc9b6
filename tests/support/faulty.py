"""Serves and appends while system calls fail; says over a socket what was acknowledged.

python tests/support/faulty.py SOCKET
"""

from __future__ import annotations

import socket
import sys

import affidavit as aff
from affidavit.errors import AffidavitError
from affidavit.lineage import new_id, record_bytes, timestamp

ROUNDS = 120


@aff.serve("model", subject="person")
def predict(features: dict[str, object]) -> int:
    return 1


def main() -> None:
    told = socket.socket(fileno=int(sys.argv[1]))
    home = aff.open_home(aff.load_settings().home)
    for number in range(ROUNDS):
        try:
            if number % 4:
                predict({"n": number, "person": f"person-{number % 7}"})
                identifier = aff.prediction_ids()[-1]
            else:
                identifier = new_id()
                fields = {"id": identifier, "time": timestamp(), "actor": "a", "action": "read"}
                home.record(record_bytes("access", {**fields, "object": "o"}))
        except AffidavitError:
            told.send(b"refused\n")
        else:
            told.send(f"{identifier}\n".encode())


if __name__ == "__main__":
    main()
