"""What a policy engine answers: findings, obligations and the decision that carries them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SEVERITIES",
    "Decision",
    "Finding",
    "Obligation",
    "frozen_parameters",
    "listed_parameters",
]

SEVERITIES = ("low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One reason for a denial or a warning.

    Args:
        rule: The stable id of the rule, such as ``purpose.missing``.
        message: What was found, as a sentence.
        severity: One of ``low``, ``medium``, ``high``, ``critical``.
        clause: The clause of a law or standard that the rule answers to; empty where none does.
    """

    rule: str
    message: str
    severity: str = "high"
    clause: str = ""

    def to_dict(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return {
            "rule": self.rule,
            "message": self.message,
            "severity": self.severity,
            "clause": self.clause,
        }


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something that must be done to the data, or by the caller, for an allowance to hold.

    Args:
        kind: What must be done, such as ``mask``.
        columns: The columns concerned; empty for an obligation on the whole.
        parameters: Values that the kind needs, such as ``{"key": "default"}``. They are copied
            and cannot be changed afterwards.
    """

    kind: str
    columns: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        # A decision may sit in a cache: nobody who receives it may change the next one.
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "parameters", frozen_parameters(self.parameters))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled.
        return (Obligation, (self.kind, self.columns, dict(self.parameters)))

    def to_dict(self) -> dict[str, Any]:
        """The obligation as a JSON object."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "parameters": listed_parameters(self.parameters),
        }


def frozen_parameters(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Parameters that nobody can change: lists become tuples."""
    return MappingProxyType(
        {key: tuple(item) if isinstance(item, list) else item for key, item in parameters.items()}
    )


def listed_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in the order of their names, with lists, as JSON has them."""
    return {
        key: list(parameters[key]) if isinstance(parameters[key], tuple) else parameters[key]
        for key in sorted(parameters)
    }


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of a policy engine to one request.

    An allowance never carries denials, and a denial never carries obligations.

    Args:
        allow: Whether the call may proceed.
        deny: Why it may not.
        warn: What should be known although it does not deny.
        obligations: What must be done for the allowance to hold.
        entrypoint: The rule that was asked, such as ``affidavit/data_read``.
        engine: The engine's name.
        engine_version: The version of OPA that compiled or evaluated the rules.
        bundle_digest: ``sha256:…`` of the module and the effective data; empty where unknown.
        input_digest: Digest of the canonical input that was evaluated. With ``cached`` that is
            the earlier input, which may differ in the fields declared volatile.
        duration_ns: Wall time of the decision in nanoseconds.
        cached: Whether the answer came from a cache.
    """

    allow: bool
    deny: tuple[Finding, ...]
    warn: tuple[Finding, ...]
    obligations: tuple[Obligation, ...]
    entrypoint: str
    engine: str
    engine_version: str
    bundle_digest: str
    input_digest: str
    duration_ns: int
    cached: bool = False

    def __post_init__(self) -> None:
        if self.allow is not (self.allow is True and not self.deny):
            raise ValueError("An allowance is literally true and carries no denial.")
        if self.obligations and not self.allow:
            raise ValueError("A denial carries no obligations: nothing is handed out.")

    @classmethod
    def denied(
        cls,
        entrypoint: str,
        rule: str,
        message: str,
        *,
        severity: str = "high",
        clause: str = "",
        engine: str = "",
        engine_version: str = "",
        bundle_digest: str = "",
        input_digest: str = "",
        duration_ns: int = 0,
    ) -> Decision:
        """A denial for one reason, as engines give where no trustworthy answer can be had."""
        return cls(
            allow=False,
            deny=(Finding(rule, message, severity, clause),),
            warn=(),
            obligations=(),
            entrypoint=entrypoint,
            engine=engine,
            engine_version=engine_version,
            bundle_digest=bundle_digest,
            input_digest=input_digest,
            duration_ns=duration_ns,
        )

    @property
    def trustworthy(self) -> bool:
        """Whether rules decided, rather than trouble with the engine or the input."""
        return not any(f.rule.startswith(("engine.", "input.")) for f in self.deny)

    def from_cache(self) -> Decision:
        """The same decision, marked as an answer from a cache."""
        return replace(self, cached=True)

    def to_dict(self) -> dict[str, Any]:
        """The decision as a JSON object, the same for the same decision."""
        return {
            "allow": self.allow,
            "deny": [finding.to_dict() for finding in self.deny],
            "warn": [finding.to_dict() for finding in self.warn],
            "obligations": [obligation.to_dict() for obligation in self.obligations],
            "entrypoint": self.entrypoint,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "bundle_digest": self.bundle_digest,
            "input_digest": self.input_digest,
            "duration_ns": self.duration_ns,
            "cached": self.cached,
        }
