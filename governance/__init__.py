"""Affidavit: signed lineage, enforced policies, explanations and fairness for machine learning.

Public names are loaded when they are first used, so that ``import affidavit`` stays cheap enough
for a serving process and imports no data-science library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from affidavit._lazy import lazy_names

if TYPE_CHECKING:
    from affidavit._approve import approve
    from affidavit._context import prediction_ids
    from affidavit._data import data
    from affidavit._decisions import (
        DecisionExplanation,
        ServedDecision,
        disclose_decision,
        explain_decision,
    )
    from affidavit._evidence import verified_statement
    from affidavit._gate import collect_evidence, gate
    from affidavit._gate_result import GateResult
    from affidavit._home import Home, create_home, open_home
    from affidavit._measure import Evaluation, evaluate, explain_model
    from affidavit._model_reference import ModelReference
    from affidavit._models import load
    from affidavit._read import Reader
    from affidavit._read_entries import Entry
    from affidavit._recording import EvidenceGapWarning
    from affidavit._run import Run, run
    from affidavit._serve import serve
    from affidavit._settings import Settings, load_settings
    from affidavit._train import train
    from affidavit._untagged import UntaggedColumnsWarning
    from affidavit._verify_home import verify_home
    from affidavit._waive import waive, withdraw_waiver
    from affidavit._waivers import Waiver, read_waivers
    from affidavit.errors import AffidavitError, PolicyDenied

__version__ = "0.1.0"

_SOURCES = {
    "AffidavitError": "affidavit.errors",
    "DecisionExplanation": "affidavit._decisions",
    "Entry": "affidavit._read_entries",
    "Evaluation": "affidavit._measure",
    "EvidenceGapWarning": "affidavit._recording",
    "GateResult": "affidavit._gate_result",
    "Home": "affidavit._home",
    "ModelReference": "affidavit._model_reference",
    "PolicyDenied": "affidavit.errors",
    "Reader": "affidavit._read",
    "Run": "affidavit._run",
    "ServedDecision": "affidavit._decisions",
    "Settings": "affidavit._settings",
    "UntaggedColumnsWarning": "affidavit._untagged",
    "Waiver": "affidavit._waivers",
    "approve": "affidavit._approve",
    "collect_evidence": "affidavit._gate",
    "create_home": "affidavit._home",
    "data": "affidavit._data",
    "disclose_decision": "affidavit._decisions",
    "evaluate": "affidavit._measure",
    "explain_decision": "affidavit._decisions",
    "explain_model": "affidavit._measure",
    "gate": "affidavit._gate",
    "load": "affidavit._models",
    "load_settings": "affidavit._settings",
    "open_home": "affidavit._home",
    "prediction_ids": "affidavit._context",
    "read_waivers": "affidavit._waivers",
    "run": "affidavit._run",
    "serve": "affidavit._serve",
    "train": "affidavit._train",
    "verified_statement": "affidavit._evidence",
    "verify_home": "affidavit._verify_home",
    "waive": "affidavit._waive",
    "withdraw_waiver": "affidavit._waive",
}

__all__ = [
    "AffidavitError",
    "DecisionExplanation",
    "Entry",
    "Evaluation",
    "EvidenceGapWarning",
    "GateResult",
    "Home",
    "ModelReference",
    "PolicyDenied",
    "Reader",
    "Run",
    "ServedDecision",
    "Settings",
    "UntaggedColumnsWarning",
    "Waiver",
    "__version__",
    "approve",
    "collect_evidence",
    "create_home",
    "data",
    "disclose_decision",
    "evaluate",
    "explain_decision",
    "explain_model",
    "gate",
    "load",
    "load_settings",
    "open_home",
    "prediction_ids",
    "read_waivers",
    "run",
    "serve",
    "train",
    "verified_statement",
    "verify_home",
    "waive",
    "withdraw_waiver",
]

if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _SOURCES)
