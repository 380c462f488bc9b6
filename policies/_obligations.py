"""Merging obligations to the strictest, and the record of having met them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from affidavit.errors import ObligationError
from affidavit.policies._contract import FLAG_KINDS, check_obligation
from affidavit.policies._decision import Obligation, frozen_parameters, listed_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "AppliedObligation",
    "CellPlan",
    "ColumnPlan",
    "Plan",
    "applied_record",
    "check_columns",
    "folded",
    "merge_obligations",
    "plan",
]

# Strictest first: what leaves least of the original value.
_STRICTNESS = ("drop", "mask", "pseudonymise", "generalise")


@dataclass(frozen=True, slots=True)
class AppliedObligation:
    """An obligation that was met, and verified on the data afterwards.

    Args:
        kind: What was done.
        columns: The columns that it was done to; for ``exclude_as_feature``, those present that
            training must leave out.
        parameters: The obligation's parameters; a key appears by its name only.
        rows_before: Number of rows before all obligations.
        rows_after: Number of rows after all obligations.
        for_caller: True where nothing was done to the data because the obligation is the
            caller's to meet (``explain``, ``log_full``, ``require_approval``).
    """

    kind: str
    columns: tuple[str, ...]
    parameters: Mapping[str, Any] = field(hash=False)
    rows_before: int = 0
    rows_after: int = 0
    for_caller: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", frozen_parameters(self.parameters))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled.
        values = (self.rows_before, self.rows_after, self.for_caller)
        return (AppliedObligation, (self.kind, self.columns, dict(self.parameters), *values))

    def to_dict(self) -> dict[str, Any]:
        """The applied obligation as a JSON object."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "parameters": listed_parameters(self.parameters),
            "rows_before": self.rows_before,
            "rows_after": self.rows_after,
            "for_caller": self.for_caller,
        }


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What happens to one column: one kind with its parameters."""

    kind: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CellPlan:
    """Which combinations of values are too rare to be handed out.

    Args:
        columns: The columns whose values are combined, in order.
        k: How many rows a combination needs.
        max_share: The share of the rows that may be removed, from 0 to 1.
    """

    columns: tuple[str, ...]
    k: int
    max_share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Merged obligations.

    Args:
        columns: Per column, the strictest of what was asked.
        excluded: Columns that training must leave out, in order.
        rows: The smallest row limit, or None.
        flags: Kinds that are the caller's to meet, in order.
        keeps: Per column, the texts that a row needs one of to stay.
        cells: Which rare combinations go, or None.
    """

    columns: Mapping[str, ColumnPlan]
    excluded: tuple[str, ...]
    rows: int | None
    flags: tuple[str, ...]
    keeps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cells: CellPlan | None = None

    @property
    def bound(self) -> frozenset[str]:
        """Every column that some obligation names."""
        cells = self.cells.columns if self.cells is not None else ()
        return frozenset((*self.columns, *self.excluded, *self.keeps, *cells))

    @property
    def choosy(self) -> bool:
        """Whether rows may be removed."""
        return self.rows is not None or bool(self.keeps) or self.cells is not None


def _stricter(one: ColumnPlan, other: ColumnPlan) -> ColumnPlan:
    if one.kind != other.kind:
        return min(one, other, key=lambda item: _STRICTNESS.index(item.kind))
    if dict(one.parameters) == dict(other.parameters):
        return one
    if one.kind == "generalise" and "width" in one.parameters and "width" in other.parameters:
        narrow, wide = sorted((one.parameters["width"], other.parameters["width"]))
        if wide % narrow == 0:
            return ColumnPlan("generalise", {"width": wide})
    # Two keys, or two bands of which neither contains the other: nothing between them is strict
    # enough for both.
    return ColumnPlan("mask", {})


def _stricter_cells(one: CellPlan | None, other: CellPlan) -> CellPlan:
    if one is None:
        return other
    # A combination of more columns that occurs k times has parts that occur k times.
    columns = tuple(sorted({*one.columns, *other.columns}))
    return CellPlan(columns, max(one.k, other.k), min(one.max_share, other.max_share))


def plan(obligations: Iterable[Obligation]) -> Plan:
    """Merge obligations to the strictest for each column.

    ``drop`` goes before ``mask``, ``pseudonymise`` and ``generalise``. Two generalisations by bands
    of which one contains the other become the wider; two pseudonymisations under different keys,
    or generalisations that do not nest, become a mask. The smallest row limit holds. Of several
    ``suppress_small_cells``, the columns are united, the larger ``k`` and the smaller ``max_share``
    hold; of several ``keep_rows`` on one column, the values that all of them name. The order of the
    obligations does not matter.

    Raises:
        ObligationError: An obligation is unknown or its parameters are unusable.
    """
    columns: dict[str, ColumnPlan] = {}
    excluded: set[str] = set()
    limits: list[int] = []
    flags: set[str] = set()
    keeps: dict[str, set[str]] = {}
    cells: CellPlan | None = None
    # Sorting first makes the merge independent of the order in which they came.
    for obligation in sorted(obligations, key=lambda item: (item.kind, str(item.to_dict()))):
        reason = check_obligation(obligation)
        if reason:
            raise ObligationError(reason, hint="The call is denied; correct the policy's data.")
        if obligation.kind in _STRICTNESS:
            asked = ColumnPlan(obligation.kind, obligation.parameters)
            for name in obligation.columns:
                columns[name] = _stricter(columns[name], asked) if name in columns else asked
        elif obligation.kind == "exclude_as_feature":
            excluded.update(obligation.columns)
        elif obligation.kind == "limit_rate":
            raise ObligationError(
                "The obligation 'limit_rate' is about calls of a served function, not about data.",
                hint="Let the policy ask for it where a model is served, and nowhere else.",
            )
        elif obligation.kind == "limit_rows":
            limits.append(obligation.parameters["rows"])
        elif obligation.kind == "keep_rows":
            (name,), values = obligation.columns, set(obligation.parameters["values"])
            keeps[name] = keeps.get(name, values) & values
        elif obligation.kind == "suppress_small_cells":
            share = obligation.parameters["max_share"]
            names = tuple(sorted(set(obligation.columns)))
            cells = _stricter_cells(cells, CellPlan(names, obligation.parameters["k"], share))
        else:
            flags.add(obligation.kind)
    return Plan(
        columns={name: columns[name] for name in sorted(columns)},
        excluded=tuple(sorted(excluded)),
        rows=min(limits, default=None),
        flags=tuple(sorted(flags)),
        keeps={name: tuple(sorted(keeps[name])) for name in sorted(keeps)},
        cells=cells,
    )


def merge_obligations(obligations: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """The obligations that remain after merging, at most one of a kind and parameters.

    Args:
        obligations: What policies asked, in any order.

    Returns:
        Equivalent obligations in a fixed order; merging them again changes nothing.

    Raises:
        ObligationError: An obligation is unknown or its parameters are unusable.
    """
    merged = plan(obligations)
    grouped: dict[tuple[str, str], tuple[ColumnPlan, list[str]]] = {}
    for name, column in merged.columns.items():
        key = (column.kind, str(sorted(column.parameters.items())))
        grouped.setdefault(key, (column, []))[1].append(name)
    result = [
        Obligation(column.kind, tuple(names), column.parameters)
        for _, (column, names) in sorted(grouped.items(), key=lambda item: item[0])
    ]
    if merged.excluded:
        result.append(Obligation("exclude_as_feature", merged.excluded))
    if merged.rows is not None:
        result.append(Obligation("limit_rows", (), {"rows": merged.rows}))
    result.extend(
        Obligation("keep_rows", (name,), {"values": list(values)})
        for name, values in merged.keeps.items()
    )
    if merged.cells is not None:
        parameters = {"k": merged.cells.k, "max_share": merged.cells.max_share}
        result.append(Obligation("suppress_small_cells", merged.cells.columns, parameters))
    result.extend(Obligation(kind) for kind in merged.flags)
    return tuple(result)


def applied_record(
    asked: Iterable[Obligation], present: Iterable[str], before: int, after: int
) -> tuple[AppliedObligation, ...]:
    """What was done, for the record: the merged obligations with the columns that were there.

    Args:
        asked: What the decision asked.
        present: The columns before anything was done.
        before: Number of rows before.
        after: Number of rows after.
    """
    merged = merge_obligations(asked)
    names = set(present)
    return tuple(
        AppliedObligation(
            obligation.kind,
            tuple(name for name in obligation.columns if name in names),
            obligation.parameters,
            before,
            after,
            for_caller=obligation.kind in FLAG_KINDS,
        )
        for obligation in merged
    )


def folded(name: str) -> str:
    """A name less what the eye does not tell apart: case, white space, Unicode normal form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def _needing(name: str, merged: Plan) -> str:
    """Return the kind that cannot be met without a column; empty where there is none."""
    if name in merged.keeps:
        return "keep_rows"
    column = merged.columns.get(name)
    if column is not None:
        return "" if column.kind == "drop" else column.kind
    in_cells = merged.cells is not None and name in merged.cells.columns
    return "suppress_small_cells" if in_cells else ""


def check_columns(present: Sequence[str], merged: Plan) -> None:
    """Refuse data on which the obligations cannot be told to hold.

    Args:
        present: The names of the columns, in order.
        merged: The obligations.

    Raises:
        ObligationError: A name stands twice; an obligation other than ``drop`` or
            ``exclude_as_feature`` binds a column that is absent; or a column's name differs from
            that of a bound one only by case, white space or Unicode normal form.
    """
    seen = set()
    for name in present:
        if name in seen:
            raise ObligationError(
                f"The column {name!r} stands more than once; an obligation could miss one of them.",
                hint="Rename the columns so that each name is unique.",
            )
        seen.add(name)
    looks: dict[str, list[str]] = {}
    for name in present:
        looks.setdefault(folded(name), []).append(name)
    bound = merged.bound
    for name in sorted(bound):
        twins = [twin for twin in looks.get(folded(name), []) if twin not in bound]
        if twins:
            raise ObligationError(
                f"An obligation binds the column {name!r}, and the data hold {twins[0]!r}, which "
                f"differs from it only by case, white space or Unicode normal form.",
                hint="Rename the column, or tag both.",
            )
        kind = _needing(name, merged)
        if name not in seen and kind:
            raise ObligationError(
                f"The obligation {kind!r} binds the column {name!r}, which the data lack.",
                hint="The data are not those that the decision was about; ask again with theirs.",
            )
