"""Which of the user's columns each encoded column stems from.

The answer is read from the structure of the fitted transformers (scikit-learn's ColumnTransformer
and its kin), never from the names of their outputs, and is then tried on the data: shuffling one
column of the user's must change no encoded column that is said to stem from another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affidavit.explain._frames import numeric_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Sources = list[int]

# One output per input, in the same order, each made of its own input and fitted constants only.
_COLUMNWISE = {
    "Binarizer",
    "MaxAbsScaler",
    "MinMaxScaler",
    "OrdinalEncoder",
    "PowerTransformer",
    "QuantileTransformer",
    "RobustScaler",
    "StandardScaler",
}
_PROBED_ROWS = 8


def sources_of(steps: Sequence[Any], n_features: int) -> Sources | None:
    """The user's column behind each encoded column.

    Args:
        steps: Fitted transformers, applied in this order.
        n_features: How many columns the user has.

    Returns:
        One index per encoded column, or None if a step mixes columns or is not known.
    """
    sources: Sources | None = list(range(n_features))
    for step in steps:
        if sources is None:
            return None
        sources = _through(step, sources)
    return sources


def verify_sources(
    sources: Sources,
    frame: pd.DataFrame,
    encode: Callable[[pd.DataFrame], Any],
    *,
    seed: int,
) -> bool:
    """Whether each of the user's columns changes only the encoded columns that stem from it.

    Args:
        sources: The claim.
        frame: Rows of the user's columns; two differing rows are needed to tell anything.
        encode: The fitted transformers.
        seed: Seeds the choice of rows.

    Returns:
        False if a shuffled column changed an encoded column of another, or the widths differ.
    """
    rng = np.random.default_rng(seed)
    k, d = min(_PROBED_ROWS, len(frame)), frame.shape[1]
    chosen = rng.choice(len(frame), size=k, replace=False)
    donor = np.roll(chosen, 1)
    # Block 0 is as it was; in block j + 1 column j comes from the neighbouring row.
    blocks = {
        name: frame[name].array.take(
            np.concatenate([donor if block == j + 1 else chosen for block in range(d + 1)])
        )
        for j, name in enumerate(frame.columns)
    }
    encoded = numeric_matrix(encode(pd.DataFrame(blocks)))
    if encoded is None or encoded.shape[1] != len(sources):
        return False
    cubes = encoded.reshape(d + 1, k, -1)
    same = (cubes == cubes[:1]) | (np.isnan(cubes) & np.isnan(cubes[:1]))
    changed = ~same.all(axis=1)
    owner = np.asarray(sources)
    return not any(changed[j + 1][owner != j].any() for j in range(d))


def _through(step: Any, inputs: Sources) -> Sources | None:
    """The sources of a transformer's outputs, given those of its inputs."""
    if step is None or isinstance(step, str):
        # "drop" gives no column; anything else that is no transformer is "passthrough".
        return [] if step == "drop" else inputs
    own = type(step).__name__
    if not type(step).__module__.startswith("sklearn."):
        # A subclass may override transform: it is not the class whose structure is known.
        own = "unknown"
    structured: Callable[[Any, Sources], Sources | None] | None = {
        "ColumnTransformer": _column_transformer,
        "FeatureUnion": _feature_union,
        "FunctionTransformer": _function,
        "KBinsDiscretizer": _bins,
        "MissingIndicator": _indicator,
        "OneHotEncoder": _one_hot,
        "Pipeline": _pipeline,
        "PolynomialFeatures": _polynomial,
        "SimpleImputer": _simple_imputer,
        "SplineTransformer": _even_split,
        "TargetEncoder": _even_split,
    }.get(own)
    if own in _COLUMNWISE:
        return inputs
    if structured is None and own != "unknown" and hasattr(step, "get_support"):
        structured = _selector
    try:
        return None if structured is None else structured(step, inputs)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        # Another version's structure: not understood, so not followed.
        return None


def _selector(step: Any, inputs: Sources) -> Sources:
    return [inputs[j] for j in np.flatnonzero(step.get_support())]


def _indicator(step: Any, inputs: Sources) -> Sources:
    return [inputs[j] for j in step.features_]


def _pipeline(step: Any, inputs: Sources) -> Sources | None:
    sources: Sources | None = inputs
    for _, inner in step.steps:
        if sources is None:
            return None
        sources = _through(inner, sources)
    return sources


def _column_transformer(step: Any, inputs: Sources) -> Sources | None:
    taken = getattr(step, "_transformer_to_input_indices", None)
    if taken is None:
        return None
    width = max((s.stop for s in step.output_indices_.values()), default=0)
    outputs: list[int | None] = [None] * width
    for name, inner, _ in step.transformers_:
        place = step.output_indices_[name]
        if place.stop == place.start:
            continue
        found = _through(inner, [inputs[j] for j in taken[name]])
        if found is None or len(found) != place.stop - place.start:
            return None
        outputs[place] = found
    complete = [s for s in outputs if s is not None]
    return complete if len(complete) == width else None


def _feature_union(step: Any, inputs: Sources) -> Sources | None:
    outputs: Sources = []
    for _, inner in step.transformer_list:
        found = _through(inner, inputs)
        if found is None:
            return None
        outputs += found
    return outputs


def _function(step: Any, inputs: Sources) -> Sources | None:
    # An arbitrary function may mix columns; a numpy ufunc works element by element.
    return inputs if step.func is None or isinstance(step.func, np.ufunc) else None


def _one_hot(step: Any, inputs: Sources) -> Sources:
    infrequent = getattr(step, "infrequent_categories_", [None] * len(inputs))
    dropped = step.drop_idx_ if step.drop_idx_ is not None else [None] * len(inputs)
    outputs: Sources = []
    for source, categories, rare, drop in zip(
        inputs, step.categories_, infrequent, dropped, strict=True
    ):
        count = len(categories)
        if rare is not None and len(rare):
            count += 1 - len(rare)
        if drop is not None:
            count -= 1
        outputs += [source] * count
    return outputs


def _simple_imputer(step: Any, inputs: Sources) -> Sources:
    empty = pd.isna(np.asarray(step.statistics_, dtype=object))
    kept = inputs
    if not step.keep_empty_features:
        kept = [s for s, gone in zip(inputs, empty, strict=True) if not gone]
    if step.add_indicator:
        kept = kept + [inputs[j] for j in step.indicator_.features_]
    return kept


def _bins(step: Any, inputs: Sources) -> Sources:
    if step.encode == "ordinal":
        return inputs
    return [s for s, n in zip(inputs, step.n_bins_, strict=True) for _ in range(int(n))]


def _polynomial(step: Any, inputs: Sources) -> Sources | None:
    outputs: Sources = []
    for powers in step.powers_:
        used = np.flatnonzero(powers)
        if len(used) != 1:
            return None
        outputs.append(inputs[int(used[0])])
    return outputs


def _even_split(step: Any, inputs: Sources) -> Sources | None:
    width = len(step.get_feature_names_out())
    per, rest = divmod(width, len(inputs))
    return None if rest else [s for s in inputs for _ in range(per)]
