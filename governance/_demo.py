"""`affidavit demo`: the whole loop, from a governed read to a verified report."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import affidavit as aff
from affidavit._approve import approve
from affidavit._demo_data import PLANTED_REFUSALS, SCENARIOS, lending_frame, referral_frame
from affidavit._gate import gate
from affidavit._gate_result import GateResult
from affidavit._home import Home, create_home
from affidavit._serve import prediction_ids
from affidavit._settings import Settings, load_settings
from affidavit._terminal import progress, say
from affidavit._verify_home import verify_home
from affidavit.errors import ConfigurationError, PolicyDenied

APPROVER = "reviewer@example.org"
SERVED = 200
_FAIRNESS = {
    "min_ratio": 0.5,
    "min_group": 30,
    "require_declared": True,
    "accepted": ["pass"],
    "doubtful": ["insufficient evidence"],
}
_POLICY = {
    "promotion": {
        "models": {
            # What the organisation of the demo has decided. In the study the outcome itself differs
            # between the groups, so referrals may differ too, down to a ratio of one half; a small
            # sample is a warning, which the reviewer accepts by approving. The lending model gets
            # no such leave.
            "referral": {"metrics": {"roc_auc": {"min": 0.7}}, "fairness": _FAIRNESS},
            "lending": {"metrics": {"roc_auc": {"min": 0.7}}},
        }
    }
}


@dataclass(slots=True)
class _Stage:
    """The demo under way: what it works with, and what it has found."""

    scenario: dict[str, Any]
    home: Home
    settings: Settings
    quiet: bool
    steps: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[dict[str, Any]]:
        """Run one step, and print what it found and how long it took."""
        found: dict[str, Any] = {}
        began = time.perf_counter()
        yield found
        seconds = time.perf_counter() - began
        self.steps.append({"step": title, "seconds": round(seconds, 2), **found})
        if not self.quiet:
            say(f"{len(self.steps):>2}. {title} ({seconds:.1f} s)", "bold")
            for name, value in found.items():
                say(f"      {name}: {value}")


def run_demo(scenario: str, *, rows: int, seed: int, quiet: bool = False) -> dict[str, Any]:
    """Run the demo in the home that the settings name, which is made if there is none.

    Args:
        scenario: ``referral`` or ``lending``.
        rows: How many rows the lending generator makes.
        seed: Seeds the generator.
        quiet: Print nothing.

    Returns:
        The steps and whether everything came out as it should, JSON-safe.

    Raises:
        ConfigurationError: The scenario is unknown, or the number of rows too small.
    """
    if scenario not in SCENARIOS:
        raise ConfigurationError(
            f"The scenario {scenario!r} is unknown.", hint=f"There are {', '.join(SCENARIOS)}."
        )
    if scenario == "lending" and rows < 500:
        raise ConfigurationError(f"{rows} rows are too few to measure.", hint="Use 500 or more.")
    chosen = SCENARIOS[scenario]
    frame = referral_frame() if scenario == "referral" else lending_frame(rows, seed)
    began = load_settings()
    home, _ = create_home(began.home, actor=began.actor, store=began.store)
    with _configured(home):
        stage = _Stage(chosen, home, load_settings(), quiet)
        if not quiet:
            say(f"Affidavit demo: {scenario}, {len(frame)} rows, home {home.folder}", "bold")
        ok = _play(stage, frame)
    result = {"ok": ok, "scenario": scenario, "home": str(home.folder), "steps": stage.steps}
    if not quiet:
        _close(stage, ok=ok)
    return result


def _play(stage: _Stage, frame: Any) -> bool:
    chosen, name = stage.scenario, str(stage.scenario["name"])
    read = aff.data(chosen["dataset"], purpose=chosen["purpose"], columns=chosen["columns"])
    with stage.step("Governed read: policy, obligations, fingerprint") as found:
        governed = read(lambda: frame)()
        found["dropped"] = sorted(set(frame.columns) - set(governed.columns))
        subject = chosen["subject"]
        found["pseudonymised"] = f"{frame[subject].iloc[0]} -> {governed[subject].iloc[0][:16]}…"
    denied = _expected_denial(stage, frame)
    train, test = _split(stage, governed)
    with stage.step("Training: code, environment, parameters, data and model signed") as found:
        model = aff.train(name, sensitive=chosen["sensitive"], purpose=chosen["purpose"])(_fit)(
            train, chosen["features"], chosen["label"]
        )
        found["model"] = aff.Reader(stage.home).model(name).digest
    _measure(stage, model, train, test)
    # The same data, code and seed give the same model: a second demo finds it approved already.
    before = aff.Reader(stage.home).approvals(aff.Reader(stage.home).model(name).digest)
    first = _gate(
        stage,
        "Promotion gate: this very model was approved before"
        if before
        else "Promotion gate, before anyone approved",
    )
    with stage.step("Approval, signed with the reviewer's own key") as found:
        _enrol(stage)
        digest = approve(stage.home, stage.settings, f"{name}@latest", APPROVER, "demo")
        found["approved"] = f"{digest[:26]}… by {APPROVER}"
    second = _gate(stage, "Promotion gate, after the approval")
    served = _serve(stage, test) if second.allowed else _not_served(stage)
    report_ok = _report(stage)
    with stage.step("Verification of everything from the stored bytes") as found:
        with progress("Verifying", quiet=stage.quiet) as told:
            report = verify_home(stage.home, progress=told)
        found["entries"] = f"{report.size}, {len(report.errors)} finding(s)"
        found["root"] = report.root
    # The lending model must be stopped: its disparity was planted.
    passes = name == "referral"
    as_expected = second.allowed == passes and first.allowed == (passes and bool(before))
    return denied and as_expected and served and report_ok and report.ok


def _expected_denial(stage: _Stage, frame: Any) -> bool:
    with stage.step("A read that the policy must deny: purpose social-scoring") as found:
        ran: list[bool] = []

        @aff.data(stage.scenario["dataset"], purpose="social-scoring")
        def forbidden() -> Any:
            ran.append(True)
            return frame

        try:
            forbidden()
        except PolicyDenied as error:
            found["denied"] = "; ".join(f.rule for f in error.decision.deny)
            found["the reader ran"] = "yes" if ran else "no"
            return not ran
        found["denied"] = "NO: the read was allowed"
        return False


def _fit(table: Any, features: list[str], label: str, max_depth: int = 3) -> Any:
    """Fit gradient-boosted trees on the features of a table."""
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(n_estimators=60, max_depth=max_depth, random_state=0)
    return model.fit(table[features], table[label])


def _split(stage: _Stage, governed: Any) -> tuple[Any, Any]:
    """Split the rows, as a run of its own, so that the lineage has no hole between data sets."""
    from sklearn.model_selection import train_test_split

    chosen = stage.scenario
    with (
        stage.step("Split into training and evaluation rows") as found,
        aff.run(chosen["name"], purpose=chosen["purpose"]) as run,
    ):
        run.use(governed, chosen["dataset"])
        run.parameter("test_size", 0.4)
        run.parameter("random_state", 1)
        train, test = train_test_split(governed, test_size=0.4, random_state=1)
        train, test = train.reset_index(drop=True), test.reset_index(drop=True)
        run.produce(train, f"{chosen['name']} training rows")
        run.produce(test[chosen["features"]], f"{chosen['name']} evaluation features")
        found["rows"] = f"{len(train)} to train on, {len(test)} to evaluate on"
    return train, test


def _measure(stage: _Stage, model: Any, train: Any, test: Any) -> None:
    chosen, name = stage.scenario, stage.scenario["name"]
    features = test[chosen["features"]]
    with stage.step("Evaluation: performance, and fairness from one group-by") as found:
        result = aff.evaluate(
            name, model, features, test[chosen["label"]], sensitive=test[chosen["sensitive"]]
        )
        found["roc_auc"] = f"{result.metrics['roc_auc']:.3f} (n={len(test)})"
        if result.fairness is not None:
            for feature in chosen["sensitive"]:
                ratio = result.fairness.disparities()[(feature,)]["four_fifths_ratio"]
                found[f"selection-rate ratio by {feature}"] = (
                    f"{_number(ratio.value)} (95 % CI {_number(ratio.low)} to "
                    f"{_number(ratio.high)}): {result.fairness.assess(feature=feature)}"
                )
        if name == "lending":
            found["planted"] = f"{PLANTED_REFUSALS:.0%} of the grants of group B turned to refusals"
    with stage.step("Explanation: SHAP values, additivity checked on every row") as found:
        background = train[chosen["features"]].head(200)
        explanation = aff.explain_model(name, model, features.head(500), background=background)
        top = list(explanation.mean_absolute().items())[:3]
        found["method"] = explanation.method
        found["residual"] = f"{explanation.residual_max:.1e} at most"
        found["strongest"] = ", ".join(f"{feature} {value:.3f}" for feature, value in top)


def _gate(stage: _Stage, title: str) -> GateResult:
    with stage.step(title) as found:
        result = gate(stage.home, stage.settings, stage.scenario["name"])
        found["verdict"] = "allowed" if result.allowed else "denied"
        if result.decision is not None:
            if result.decision.deny:
                found["because"] = "; ".join(f.message for f in result.decision.deny)
            if result.decision.warn:
                found["with the warning"] = "; ".join(f.message for f in result.decision.warn)
    return result


def _enrol(stage: _Stage) -> None:
    known = {key.identity for key in stage.home.trust_root().keys.values()}
    if APPROVER not in known:
        stage.home.enrol(APPROVER, "approver", actor=stage.settings.actor)


def _serve(stage: _Stage, test: Any) -> bool:
    chosen, name = stage.scenario, stage.scenario["name"]
    with stage.step(f"Serving {SERVED} predictions, each recorded before it is answered") as found:
        loaded = aff.load(f"{name}@production", purpose=chosen["purpose"])

        @aff.serve(f"{name}@production", purpose=chosen["purpose"], subject=chosen["subject"])
        def predict(features: dict[str, Any]) -> float:
            import pandas as pd

            row = pd.DataFrame([features])[chosen["features"]]
            return float(loaded.predict_proba(row)[0, 1])

        columns = [chosen["subject"], *chosen["features"]]
        rows = test[columns].to_dict("records")
        with progress("Serving", quiet=stage.quiet) as told:
            for number in range(SERVED):
                predict(rows[number % len(rows)])
                told(number + 1, SERVED)
        identifier = prediction_ids()[-1]
        found["last prediction"] = identifier
    with stage.step("One served decision, explained afterwards from its record") as found:
        before = os.environ.get("AFFIDAVIT_ROLES")
        os.environ["AFFIDAVIT_ROLES"] = "auditor"
        try:
            why = aff.explain_decision(identifier)
        finally:
            _restore("AFFIDAVIT_ROLES", before)
        found["output"] = f"{why.decision.output:.3f}"
        found["reasons"] = "; ".join(
            f"{r['feature']}={r['value']:g} {r['contribution']:+.3f}" for r in why.reasons[:3]
        )
    return True


def _not_served(stage: _Stage) -> bool:
    with stage.step("Serving: refused, for nothing is in production") as found:
        try:
            aff.load(f"{stage.scenario['name']}@production")
        except aff.AffidavitError as error:
            found["refused"] = error.message
            return True
        return False


def _report(stage: _Stage) -> bool:
    from affidavit._cli_reports import write_report

    with stage.step("Audit report") as found:
        path = stage.home.folder / f"{stage.scenario['name']}-report.html"
        size = write_report(stage.home, stage.settings, stage.scenario["name"], path)
        found["report"] = f"{path} ({size} bytes)"
        (stage.home.folder / "checkpoint.txt").write_bytes(stage.home.ledger.checkpoint())
    return size > 0


@contextlib.contextmanager
def _configured(home: Home) -> Iterator[None]:
    """Give the demo's settings unless the user has some of their own."""
    before = os.environ.get("AFFIDAVIT_CONFIG")
    if before or Path("affidavit.toml").exists():
        yield
        return
    path = home.folder / "demo.toml"
    (home.folder / "demo-policy.json").write_text(json.dumps(_POLICY, indent=2), "utf-8")
    path.write_text('[policy]\ndata = "demo-policy.json"\n', "utf-8")
    os.environ["AFFIDAVIT_CONFIG"] = str(path)
    try:
        yield
    finally:
        _restore("AFFIDAVIT_CONFIG", before)


def _restore(name: str, before: str | None) -> None:
    if before is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = before


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def _close(stage: _Stage, *, ok: bool) -> None:
    say("")
    say(
        "Everything came out as it should." if ok else "Something did not come out as it should.",
        "bold green" if ok else "bold red",
    )
    say("What an auditor would look at next:")
    for command, what in _next_commands(stage):
        say(f"  {command}    # {what}")


def _next_commands(stage: _Stage) -> Iterator[tuple[str, str]]:
    """Give commands that work as they stand, pasted into the shell that ran the demo."""
    name, folder = stage.scenario["name"], stage.home.folder
    program = "affidavit" if shutil.which("affidavit") else sys.argv[0]
    default = Path(".affidavit").absolute()
    place = "" if folder == default else f"AFFIDAVIT_HOME={shlex.quote(str(folder))} "
    own = Path("affidavit.toml").exists() or "AFFIDAVIT_CONFIG" in os.environ
    config = "" if own else f"AFFIDAVIT_CONFIG={shlex.quote(_short(folder / 'demo.toml'))} "
    checkpoint = shlex.quote(_short(folder / "checkpoint.txt"))
    yield f"{place}{program} verify --checkpoint {checkpoint}", "the log, from its bytes"
    yield f"{place}{program} log", "the newest entries"
    yield f"{place}{program} lineage {name}", "what the model was made from"
    yield f"{place}{program} show {name}", "every statement about the system"
    for row in aff.Reader(stage.home).predictions(model=name, limit=1):
        yield f"AFFIDAVIT_ROLES=auditor {place}{program} explain {row['id']}", "one decision"
    yield f"{place}{config}{program} gate {name}", "the verdict, under the demo's own thresholds"
    yield f"{place}{program} report {name} -o report.html", "the audit report"
    yield f"{place}AFFIDAVIT_ROLES=auditor {program} ui", "the auditor's app"


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
