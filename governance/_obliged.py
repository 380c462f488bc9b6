"""Obligations around a call: on what a function is given, on what it gives back, and approvals.

What cannot be met raises `ObligationError`; the hook that called turns it into a denial.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from affidavit._approvals import APPROVED, makers, standing_approvals
from affidavit._frame_columns import column_names, how_to_collect
from affidavit._home import Home
from affidavit._parameters import is_plain
from affidavit.errors import ObligationError
from affidavit.policies import (
    Obligation,
    apply_obligations,
    apply_to_record,
    apply_to_records,
    check_fields,
    nested_fields,
    plan,
    value_fields,
)

_CALLERS = frozenset({"explain", "log_full"})
_OF_COLUMNS = frozenset({"drop", "generalise", "mask", "pseudonymise"})


def on_data(obligations: Iterable[Obligation]) -> list[Obligation]:
    """Return the obligations that ask something of data, rather than of the call or its caller."""
    return [item for item in obligations if item.kind not in _CALLERS | {"require_approval"}]


def check_approval(home: Home, digest: str, obligations: Sequence[Obligation]) -> None:
    """Hold a call against ``require_approval``, where the policy asks for it.

    Args:
        home: Whose ledger has the approvals.
        digest: What has to be approved; empty where there is nothing that can be.
        obligations: What the policy asks.

    Raises:
        ObligationError: No approval stands by anyone who had no part in making it; or an obligation
            is unknown, which must show before the call.
        VerificationError: A statement about it does not hold.
    """
    plan(obligations)
    if "require_approval" not in {item.kind for item in obligations}:
        return
    if not digest:
        raise ObligationError(
            "The obligation 'require_approval' is for models, and this call has none yet.",
            hint="Only loading and serving a model can wait for its approval.",
        )
    made = {name.strip().lower() for name in makers(home, digest)[0]}
    for one in standing_approvals(home, digest)[0]:
        independent = str(one["approver"]).strip().lower() not in made
        if one["verified"] is True and one["outcome"] == APPROVED and independent:
            return
    raise ObligationError(
        f"The policy asks for an approval of {digest}, and none stands by anyone who had no part "
        f"in making it.",
        hint="`affidavit approve NAME` signs one.",
    )


def check_none(what: str, obligations: Iterable[Obligation]) -> None:
    """Refuse obligations on data where a hook has no data to meet them on.

    Raises:
        ObligationError: There are some.
    """
    kinds = sorted({item.kind for item in on_data(obligations)})
    if kinds:
        raise ObligationError(
            f"The obligation {kinds[0]!r} cannot be met on {what}.",
            hint="Bind the policy's obligations to reads, training or served features.",
        )


def features_met(
    given: Any, obligations: Sequence[Obligation], keys: Mapping[str, bytes]
) -> tuple[Any, frozenset[str]]:
    """Return what a function is given in place of its features, and the pseudonyms in it.

    Raises:
        ObligationError: An obligation cannot be met on them.
    """
    asked = on_data(obligations)
    if isinstance(given, Mapping):
        met: Any = apply_to_record(given, asked, keys=keys)[0]
        rows: list[Mapping[str, Any]] = [met]
    elif isinstance(given, list) and all(isinstance(row, Mapping) for row in given):
        met = rows = apply_to_records(given, asked, keys=keys)[0]  # type: ignore[assignment]  # read only
    elif column_names(given) is not None:
        met = apply_obligations(given, asked, keys=keys)[0]
        return met, _pseudonyms_in_frame(met, asked)
    else:
        kinds = {item.kind for item in asked} - {"exclude_as_feature"}
        if kinds:
            raise ObligationError(
                f"The obligation {min(kinds)!r} cannot be met on a {type(given).__name__}.",
                hint="Take the features as a mapping, a list of mappings or a data frame.",
            )
        return given, frozenset()
    names = _pseudonymised(asked)
    return met, frozenset(str(row[name]) for row in rows for name in names if row.get(name))


def check_others(arguments: Mapping[str, Any], obligations: Sequence[Obligation]) -> None:
    """Refuse a bound column that comes to a function by another argument than its features.

    Args:
        arguments: The other arguments, by name.
        obligations: What the policy asks.

    Raises:
        ObligationError: An argument is named like a bound column, or holds one.
    """
    bound = plan(on_data(obligations)).bound
    if not bound:
        return
    for name, value in arguments.items():
        if value is None:
            continue
        columns = column_names(value)
        fields = [name, *value_fields(value), *(columns or ())]
        check_fields(((f"argument {name}", field) for field in fields), bound)
        if columns is not None:
            _check_frame(value, f"argument {name}", bound)
        _check_series(value, bound)


def output_met(
    value: Any,
    obligations: Sequence[Obligation],
    keys: Mapping[str, bytes],
    pseudonyms: frozenset[str],
) -> Any:
    """Return what a caller gets in place of an output, with the obligations on columns met.

    A column that the output lacks needs nothing. Values that are the features' own pseudonyms stay
    as they are.

    Args:
        value: A mapping, a data frame, or a list or tuple of them; anything without names of
            columns is given back as it is.
        obligations: What the policy asks.
        keys: Keys for pseudonyms, by name.
        pseudonyms: The pseudonyms that the function was given.

    Raises:
        ObligationError: An obligation cannot be met on it.
    """
    asked = [item for item in on_data(obligations) if item.kind in _OF_COLUMNS]
    if not asked:
        return value
    bound = plan(asked).bound
    if isinstance(value, Mapping):
        there = _present(asked, value, {name: [value[name]] for name in value}, pseudonyms)
        check_fields(((str(n), str(n)) for n in value if n not in bound), bound)
        check_fields(((str(n), field) for n in value for field in value_fields(value[n])), bound)
        return apply_to_record(value, there, keys=keys)[0] if there else value
    if type(value) in (list, tuple):
        met = (output_met(item, obligations, keys, pseudonyms) for item in value)
        return type(value)(met)
    names = column_names(value)
    if names is None:
        inside = [*value_fields(value), *getattr(value, "_fields", ())]
        check_fields((("output", field) for field in inside), bound)
        _check_series(value, bound)
        return value
    _check_frame(value, "output", bound)
    if len(set(names)) < len(names):
        raise ObligationError("A name stands twice among the output's columns.")
    columns = {name: _values(value, name) for name in names if name in bound}
    there = _present(asked, names, columns, pseudonyms)
    check_fields(((name, name) for name in names if name not in bound), bound)
    return apply_obligations(value, there, keys=keys)[0] if there else value


def training_met(
    bound: inspect.BoundArguments, obligations: Sequence[Obligation], keys: Mapping[str, bytes]
) -> list[str]:
    """Meet obligations on the frames among a training function's arguments, in place.

    Args:
        bound: The arguments.
        obligations: What the policy asks.
        keys: Keys for pseudonyms, by name.

    Returns:
        The columns that the model must not learn from.

    Raises:
        ObligationError: An obligation cannot be met on an argument: it has no names of columns, or
            rows would go from one of several that belong together.
    """
    asked = on_data(obligations)
    if not asked:
        return []
    merged = plan(asked)
    given = {name: value for name, value in bound.arguments.items() if name not in {"self", "cls"}}
    frames = [name for name, value in given.items() if column_names(value) is not None]
    others = {name: value for name, value in given.items() if name not in frames}
    check_others(others, asked)
    for name, value in others.items():
        nameless = not is_plain(value) and not hasattr(value, "get_params") and not callable(value)
        if nameless and not isinstance(value, Mapping):
            raise ObligationError(
                f"The policy binds data in training, and the argument {name!r} is a "
                f"{type(value).__name__}, on which no obligation can be checked.",
                hint="Pass the data as a data frame.",
            )
    if merged.choosy and len(frames) != 1:
        raise ObligationError(
            f"The policy removes rows, and the function takes {len(frames)} data frames.",
            hint="Pass features and target as one data frame.",
        )
    for name in frames:
        names = column_names(given[name]) or []
        there = _restricted(asked, names) + [i for i in asked if i.kind not in _OF_COLUMNS]
        check_fields(((name, n) for n in names if n not in merged.bound), merged.bound)
        _check_frame(given[name], f"argument {name}", merged.bound)
        bound.arguments[name] = apply_obligations(given[name], there, keys=keys)[0]
    return list(merged.excluded)


def _restricted(asked: Sequence[Obligation], names: Iterable[str]) -> list[Obligation]:
    present = set(names)
    found = []
    for item in asked:
        columns = tuple(name for name in item.columns if name in present)
        if item.kind in _OF_COLUMNS and columns:
            found.append(Obligation(item.kind, columns, item.parameters))
    return found


def _present(
    asked: Sequence[Obligation],
    names: Iterable[str],
    columns: Mapping[str, Sequence[Any]],
    pseudonyms: frozenset[str],
) -> list[Obligation]:
    """Return the obligations on the columns that are there and not met already."""
    done = set()
    for name in _pseudonymised(asked):
        values = [value for value in columns.get(name, ()) if isinstance(value, str)]
        if values and len(values) == len(columns[name]) and pseudonyms.issuperset(values):
            done.add(name)
    return _restricted(asked, (name for name in names if name not in done))


def _pseudonymised(asked: Sequence[Obligation]) -> list[str]:
    return [name for name, column in plan(asked).columns.items() if column.kind == "pseudonymise"]


def _pseudonyms_in_frame(frame: Any, asked: Sequence[Obligation]) -> frozenset[str]:
    return frozenset(
        str(value) for name in _pseudonymised(asked) for value in _values(frame, name) if value
    )


def _values(frame: Any, name: str) -> list[Any]:
    column = frame[name]
    if getattr(column, "ndim", 1) != 1:  # two columns of one name
        return []
    return list(column.to_pylist() if hasattr(column, "to_pylist") else column.to_list())


def _check_frame(frame: Any, what: str, bound: Iterable[str]) -> None:
    """Refuse a frame that is a query, or has a bound column as a nested field or in its index."""
    collect = how_to_collect(frame)
    if collect:
        raise ObligationError(
            f"{what!r} is a {type(frame).__name__}, whose rows nobody has seen.",
            hint=f"Use {collect}: obligations are met on rows, not on a query.",
        )
    check_fields(nested_fields(frame), bound)
    levels = getattr(getattr(frame, "index", None), "names", None) or ()
    check_fields(((what, str(level)) for level in levels if level is not None), bound)


def _check_series(value: Any, bound: Iterable[str]) -> None:
    """Refuse a series that is named like a bound column, or has one as a label."""
    labels = getattr(value, "index", None)
    if getattr(value, "ndim", None) != 1 or callable(labels):
        return
    named = [str(getattr(value, "name", None) or "")]
    texts = [label for label in (() if labels is None else labels) if isinstance(label, str)]
    check_fields((("output", field) for field in [*named, *texts]), bound)
