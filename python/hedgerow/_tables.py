"""What callers pass as a table, as columns that the extension module reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from . import _hedgerow
from ._errors import Error, error
from ._rows import Rows

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NOTHING = -(2**63)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SCALES = {None: None, "s": 1_000_000, "ms": 1000, "us": 1}


def microseconds(moment: Any) -> int | None:
    """A moment in microseconds since 1970: of a datetime, a date, a numpy or pandas moment, a text of ISO 8601, or such an integer.

    A moment without a zone is UTC.
    """
    if moment is None:
        return None
    if isinstance(moment, (bool, float)):
        raise error(
            "invalid", f"found the time {moment!r}, expected a moment, or an integer in microseconds since 1970"
        )
    if isinstance(moment, int):
        return moment
    if type(moment).__module__ == "numpy" and moment.dtype.kind in "iu":
        return int(moment)
    if type(moment).__module__ == "numpy" and moment.dtype.kind == "M":
        at = int(moment.astype("datetime64[us]").astype("int64"))
        return None if at == _NOTHING else at
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        except ValueError:
            raise error("invalid", f"found the time {moment!r}, expected one of ISO 8601") from None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if isinstance(moment, datetime):
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        since: timedelta = moment - _EPOCH
        return since // timedelta(microseconds=1)
    raise error("invalid", f"found the time {moment!r}, expected a moment, or an integer in microseconds since 1970")


def duration(span: str | timedelta) -> int:
    """A span of time in microseconds: of a timedelta, or of a text such as ``30d``, ``12h`` or ``90s``."""
    if isinstance(span, timedelta):
        return span // timedelta(microseconds=1)
    number, unit = span[:-1], span[-1:]
    if not number.isdigit() or unit not in _SECONDS:
        raise error("invalid", f"found {span!r}, expected a whole number with a unit: 90s, 15m, 12h, 30d or 4w")
    return int(number) * _SECONDS[unit] * 1_000_000


def scale(unit: str | None) -> int | None:
    """The microseconds of a unit of times; ``None`` tells the unit from the first time."""
    if unit not in _SCALES:
        raise error("invalid", f"found time_unit={unit!r}, expected s, ms or us")
    return _SCALES[unit]


def table(rows: Any, names: Sequence[str] = ()) -> _hedgerow.Table:
    """Any table: an object with ``__arrow_c_stream__``, a pandas frame, a dictionary of columns, or an iterable of tuples or dictionaries.

    ``names`` are the columns of tuples, in their order.
    """
    if isinstance(rows, _hedgerow.Table):
        return rows
    if hasattr(rows, "__arrow_c_stream__"):
        try:
            return _hedgerow.Table.from_arrow(rows)
        except Exception as failure:
            # A frame of pandas needs pyarrow for it, and one type for each column.
            if not _is_frame(rows):
                raise (
                    failure if isinstance(failure, Error) else error("invalid", f"the table cannot be read: {failure}")
                ) from failure
    if _is_frame(rows):
        rows = {str(name): _series(rows[name]) for name in rows.columns}
    if isinstance(rows, Mapping):
        return _hedgerow.Table.from_columns([_column(str(name), values) for name, values in rows.items()])
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise error("invalid", f"found {type(rows).__name__}, expected a table: see `help(hedgerow.Database.link)`")
    return _from_rows(list(rows), names)


def _from_rows(rows: list[Any], names: Sequence[str]) -> _hedgerow.Table:
    if not rows:
        return _hedgerow.Table.from_columns([(name, "text", []) for name in names])
    if all(isinstance(row, Mapping) for row in rows):
        keys = list(dict.fromkeys(key for row in rows for key in row))
        return table({key: [row.get(key) for row in rows] for key in keys})
    widths = {len(row) if isinstance(row, (tuple, list)) else -1 for row in rows}
    if len(widths) != 1 or (width := widths.pop()) < 2 or width > len(names):
        raise error(
            "invalid", f"found rows of other lengths than 2 to {len(names)}, expected tuples ({', '.join(names)})"
        )
    return table(dict(zip(names, zip(*rows))))


def columns(rows: Any) -> dict[str, Any]:
    """The columns of any table as lists or arrays of Python's values, with ``None`` where there is no value."""
    if _is_frame(rows):
        return {str(name): _series(rows[name]) for name in rows.columns}
    if isinstance(rows, Mapping):
        found = {str(name): values if hasattr(values, "dtype") else list(values) for name, values in rows.items()}
    elif isinstance(rows, (list, tuple)) and rows and all(isinstance(row, Mapping) for row in rows):
        found = {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
    else:
        read = Rows(table(rows))
        return {name: read[name] for name in read.column_names}
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise error("invalid", f"found columns of different lengths: {lengths}")
    return found


def _is_frame(rows: Any) -> bool:
    """True for a frame of pandas."""
    return type(rows).__module__.split(".")[0] == "pandas" and hasattr(rows, "columns")


def _series(series: Any) -> Any:
    import numpy as np

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "iufMb":
        return series.to_numpy()
    return [None if gap else value for gap, value in zip(series.isna(), series)]


def _column(name: str, values: Any) -> tuple[str, str, Any]:
    import numpy as np

    if not isinstance(values, np.ndarray):
        return _list(name, values if isinstance(values, (list, tuple)) else list(values))
    if values.ndim != 1:
        raise error("invalid", f"column {name!r}: found {values.ndim} dimensions, expected one")
    if values.dtype.kind in "OUT":
        return _list(name, [None if value != value else value for value in values.tolist()])
    if values.dtype.kind == "M":
        return name, "moment", np.ascontiguousarray(values.astype("datetime64[us]").astype(np.int64))
    if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
        return name, "text", [str(value) for value in values]
    if values.dtype.kind in "iu":
        return name, "integer", np.ascontiguousarray(values, np.int64)
    if values.dtype.kind == "f":
        return name, "number", np.ascontiguousarray(values, np.float64)
    raise error("invalid", f"column {name!r}: found {values.dtype}, expected texts, numbers or moments")


def _list(name: str, values: Sequence[Any]) -> tuple[str, str, Any]:
    import numpy as np

    kinds = {type(value) for value in values if value is not None}
    families = {_family(kind) for kind in kinds}
    if len(families) > 1:
        found = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise error("invalid", f"column {name!r}: found {found} mixed, expected values of one type")
    family = families.pop() if families else str
    if family is str:
        return name, "text", list(values)
    if family is date:
        moments = [microseconds(value) for value in values]
        return name, "moment", np.array([_NOTHING if at is None else at for at in moments], np.int64)
    if family is not float:
        found = kinds.pop().__name__
        raise error("invalid", f"column {name!r}: found {found}, expected texts, numbers or moments")
    if None in values:
        raise error("invalid", f"column {name!r}: found no value in row {list(values).index(None)}")
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in values):
        raise error("invalid", f"column {name!r}: found an integer of more than 64 bits; pass it as a text")
    return _column(name, np.asarray(values))


def _family(kind: type) -> type:
    """The type that a column is read as: texts, numbers (integers among them), moments, or itself."""
    import numpy as np

    if issubclass(kind, (bool, np.bool_)):
        return bool
    if issubclass(kind, (int, float, np.integer, np.floating)):
        return float
    if issubclass(kind, (date, np.datetime64)):
        return date
    return str if issubclass(kind, str) else kind
