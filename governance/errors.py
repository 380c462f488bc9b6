"""Every error that Affidavit raises, as one tree.

```
AffidavitError
├── ConfigurationError            a setting, a file or an option is wrong
│   ├── NotInitialisedError       there is no Affidavit home yet
│   └── MissingDependencyError    an extra is not installed
├── NotFoundError                 a name, an id or a digest is unknown
├── FingerprintError              an object has no canonical digest
├── LedgerError
│   ├── LedgerUnavailableError    disk full, read-only, locked: nothing was written
│   │   └── SpoolFullError        too much waits to be taken into the log
│   ├── LedgerCorruptError        the store cannot be read as a ledger
│   ├── SpoolDamagedError         a spool's bytes are not what a writer left
│   ├── SubjectKeyConflictError  two writers made a key for one data subject: seal again
│   └── KeyFileError              a key is missing, readable by others, or not a key
├── VerificationError             bytes, signatures or proofs do not hold
│   ├── EnvelopeError             a DSSE envelope or in-toto statement
│   ├── CheckpointError           a signed note or checkpoint
│   └── ProofError                an inclusion or consistency proof
├── PolicyError
│   ├── PolicyDenied              the answer was no; carries the decision
│   ├── PolicyEngineError         no trustworthy answer could be had: treated as no
│   └── ObligationError           an obligation is unknown, or does not hold on the data
│       └── RateLimitError        a served function was called more often than its limit admits
└── MeasurementError
    ├── ExplanationError          attributions could not be computed, or do not add up
    └── FairnessError             the inputs of a fairness measurement are unusable
```

This module imports nothing of ours, and is the only one that every room may import.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AffidavitError",
    "CheckpointError",
    "ConfigurationError",
    "EnvelopeError",
    "ExplanationError",
    "FairnessError",
    "FingerprintError",
    "KeyFileError",
    "LedgerCorruptError",
    "LedgerError",
    "LedgerUnavailableError",
    "MeasurementError",
    "MissingDependencyError",
    "NotFoundError",
    "NotInitialisedError",
    "ObligationError",
    "PolicyDenied",
    "PolicyEngineError",
    "PolicyError",
    "ProofError",
    "RateLimitError",
    "SpoolDamagedError",
    "SpoolFullError",
    "SubjectKeyConflictError",
    "VerificationError",
]


class AffidavitError(Exception):
    """Something that Affidavit refuses or cannot do.

    Args:
        message: What was expected and what was found.
        hint: What to do next, as a sentence; empty where the message says it all.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments would otherwise be lost when a worker process sends an error home.
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(
    cls: type[AffidavitError], args: tuple[Any, ...], state: dict[str, Any]
) -> AffidavitError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(AffidavitError):
    """A setting, a file or an option is wrong."""


class NotInitialisedError(ConfigurationError):
    """There is no Affidavit home at the place that was named."""


class MissingDependencyError(ConfigurationError):
    """A library is needed that belongs to an extra which is not installed.

    Args:
        library: The library's import name.
        extra: The extra of Affidavit that brings it.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"This needs the library {library!r}, which is not installed.",
            hint=f"Install it with: pip install 'affidavit[{extra}]'.",
        )
        self.library = library
        self.extra = extra


class NotFoundError(AffidavitError):
    """A name, an id or a digest is not in the ledger."""


class FingerprintError(AffidavitError):
    """An object has no canonical digest."""


class LedgerError(AffidavitError):
    """The ledger could not do what was asked."""


class LedgerUnavailableError(LedgerError):
    """The store cannot be written or read at present; nothing was written."""


class LedgerCorruptError(LedgerError):
    """The store cannot be read as a ledger."""


class SpoolFullError(LedgerUnavailableError):
    """Too much waits to be taken into the log; nothing was acknowledged."""


class SpoolDamagedError(LedgerError):
    """A spool's bytes are not what its writer left there."""


class SubjectKeyConflictError(LedgerError):
    """Two writers made a key for one data subject at one moment; the payload is sealed again."""


class KeyFileError(LedgerError):
    """A key file is missing, readable by others, or does not hold the key that is expected."""


class VerificationError(AffidavitError):
    """Bytes, a signature or a proof do not hold.

    Args:
        message: What was expected and what was found.
        hint: What to do next.
        index: The log index of the entry concerned, where there is one.
    """

    def __init__(self, message: str, *, hint: str = "", index: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.index = index


class EnvelopeError(VerificationError):
    """A DSSE envelope or the in-toto statement in it does not hold."""


class CheckpointError(VerificationError):
    """A signed note or checkpoint does not hold."""


class ProofError(VerificationError):
    """An inclusion or consistency proof does not hold."""


class PolicyError(AffidavitError):
    """A policy was not satisfied, or could not be evaluated."""


class PolicyDenied(PolicyError):  # noqa: N818  # it reads as what happened
    """A policy said no, and the guarded call did not run.

    Args:
        message: Who was denied what, and by which rule.
        decision: The decision, an `affidavit.policies.Decision`.
        hint: What would have to change.
    """

    def __init__(self, message: str, *, decision: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.decision = decision


class PolicyEngineError(PolicyError):
    """No trustworthy answer could be had from a policy engine; callers treat it as a denial."""


class ObligationError(PolicyError):
    """An obligation is unknown, cannot be applied, or does not hold after it was applied."""


class RateLimitError(ObligationError):
    """A served function was called more often than a policy permits.

    Args:
        calls: How many calls the limit admits.
        seconds: Within how many seconds.
        retry_after: In how many seconds one more call will be permitted, if nothing else is called.
    """

    def __init__(self, calls: int, seconds: int, retry_after: int) -> None:
        super().__init__(
            f"The limit of {calls} call(s) in {seconds} s is used up.",
            hint=f"Call again in {retry_after} s.",
        )
        self.calls = calls
        self.seconds = seconds
        self.retry_after = retry_after


class MeasurementError(AffidavitError):
    """A measurement could not be made from what was given."""


class ExplanationError(MeasurementError):
    """Attributions could not be computed, or do not add up to the model's output."""


class FairnessError(MeasurementError):
    """The inputs of a fairness measurement are unusable."""
