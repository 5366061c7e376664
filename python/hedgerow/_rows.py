"""Rows in columns, for everything that reads Arrow, and for people."""

from __future__ import annotations

from html import escape
from typing import Any

from . import _hedgerow


class Rows:
    """Rows in columns. A table for everything that reads Arrow (``__arrow_c_stream__``), such as pyarrow, polars and DuckDB."""

    def __init__(self, table: _hedgerow.Table) -> None:
        self._table = table

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return list(self._table.column_names)

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, name: str) -> Any:
        """A column: an array of numbers, or a list. Moments are ``datetime64[us]`` in UTC, and no moment is ``NaT``."""
        values = self._table.column(name)
        if name in self._table.moments:
            import numpy as np

            nothing = np.iinfo(np.int64).min
            return np.array([nothing if at is None else at for at in values], np.int64).astype("datetime64[us]")
        return values

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)

    def to_dict(self) -> dict[str, Any]:
        """The columns by name."""
        return {name: self[name] for name in self.column_names}

    def to_pandas(self) -> Any:
        """A pandas frame."""
        import pandas

        return pandas.DataFrame(self.to_dict())

    def to_polars(self) -> Any:
        """A polars frame, without a copy of the texts in Python."""
        import polars

        return polars.DataFrame(self)

    def to_arrow(self) -> Any:
        """A pyarrow table, without a copy."""
        import pyarrow

        return pyarrow.table(self)

    def _shown(self) -> dict[str, Any]:
        return self.to_dict()

    def _foot(self, most: int) -> str:
        return f"{len(self):,} rows"

    def _cells(self, most: int) -> tuple[list[str], list[list[str]]]:
        columns = self._shown()
        rows = range(min(len(self), most))
        return list(columns), [[_text(column[row]) for column in columns.values()] for row in rows]

    def __repr__(self) -> str:
        names, cells = self._cells(20)
        widths = [max(map(len, column)) for column in zip(names, *cells)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [names, *cells]]
        return "\n".join([*lines, self._foot(20)])

    def _repr_html_(self) -> str:
        names, cells = self._cells(50)
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{escape(self._foot(50))}</p>"


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4f}" if type(value).__name__ == "float32" else str(value)
