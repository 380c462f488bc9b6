"""What the gate decided, as every format renders it.

Exit codes: 0 allowed, 1 denied, 2 usage, 3 the policy engine could not decide, 4 evidence that is
missing or cannot be verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affidavit._waivers import AppliedWaiver, applied_waivers
from affidavit.lineage import Fault
from affidavit.policies import Decision

STAGES = ("promote",)
EXIT_ALLOWED, EXIT_DENIED, EXIT_USAGE, EXIT_ENGINE, EXIT_EVIDENCE = 0, 1, 2, 3, 4
WORDS = {
    EXIT_ALLOWED: "ALLOWED",
    EXIT_DENIED: "DENIED",
    EXIT_ENGINE: "NOT DECIDED",
    EXIT_EVIDENCE: "EVIDENCE MISSING OR NOT VERIFIED",
}
"""What each exit code of a result is called."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate decided.

    Args:
        name: The system.
        stage: The stage.
        digest: The model's digest; empty where there is none.
        exit_code: What the process ends with.
        decision: The policy's decision; None where none could be asked for.
        decision_id: Its id in the ledger.
        evidence: The evidence documents that the policy saw.
        faults: What is missing or could not be verified.
        effective_time: The moment that was asked about; empty where that was now. There is then a
            decision, and no verdict.
    """

    name: str
    stage: str
    digest: str
    exit_code: int
    decision: Decision | None
    decision_id: str
    evidence: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()
    effective_time: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the model may pass."""
        return self.exit_code == EXIT_ALLOWED

    @property
    def waivers(self) -> tuple[AppliedWaiver, ...]:
        """The denials that waivers overrode."""
        return applied_waivers(self.decision, self.evidence)

    @property
    def sentence(self) -> str:
        """The result in a sentence, with the system's name as it is."""
        may = "may" if self.allowed else "may not"
        return f"{WORDS[self.exit_code]}: {self.name} {may} pass {self.stage}."

    def to_dict(self) -> dict[str, Any]:
        """Return the result, JSON-safe."""
        decision = self.decision.to_dict() if self.decision else None
        return {
            "ok": self.allowed,
            "name": self.name,
            "stage": self.stage,
            "digest": self.digest,
            "exit_code": self.exit_code,
            "decision_id": self.decision_id,
            "decision": decision,
            "evidence": dict(self.evidence),
            "waivers": [waiver.to_dict() for waiver in self.waivers],
            "effective_time": self.effective_time,
            "errors": [fault.to_dict() for fault in self.faults],
        }


def worst(results: Sequence[GateResult]) -> int:
    """Return the exit code of several results: the highest of theirs."""
    return max(result.exit_code for result in results)
