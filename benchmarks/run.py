"""Runs every benchmark, each in a process of its own, and prints what it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "ledger.py",
    "serving.py",
    "stores.py",
    "policy.py",
    "fairness.py",
    "fingerprints.py",
    "tags.py",
    "explanations.py",
)


def main() -> int:
    """Run them all; 1 if one fails."""
    failed = []
    for script in SCRIPTS:
        print(f"\n== {script.removesuffix('.py')} ==", flush=True)
        done = subprocess.run([sys.executable, Path(__file__).parent / script], check=False)
        if done.returncode:
            failed.append(script)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
