"""The result of a comparison of layers: a matrix with names, settings and p-values. Needs no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _files, _result_files
from ._chance import Bools, check_alpha
from ._paths import as_path
from ._text import csv_text, left_out_text, printable

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

__all__ = ["LayerMatrix"]


@dataclass(frozen=True, eq=False)
class LayerMatrix:
    """CKA (or mutual kNN) of every layer of one model with every layer of another, with p-values.

    `layer_matrix`, `gramless.torch.compare_models`, and `cka_matrix`, `hsic_matrix` and `mutual_knn_matrix`
    of a mapping return it. `numpy.asarray` converts it to the matrix.

    Attributes
    ----------
    matrix : ndarray of float64, (len(layers_a), len(layers_b))
    layers_a, layers_b : list of str
        The names of rows and columns, in the order of the layers; `names` is the pair of both.
    settings : dict
        How it was computed: kernel, estimator, "pvalue" (the method), "correction", "cells" (the number of
        tested cells), and "level" and "interval" if there are intervals. From `compare_models` also model_a,
        model_b, method, weighting, pool, batches, on_disk, and left_out_a and left_out_b, which map the
        layers that were left out to the reasons.
    n : int or None
        The number of rows, which are examples or tokens.
    z : ndarray or None
        (CKA - mean) / standard deviation, both over all permutations of the rows of y. For debiased CKA the
        mean is 0 and the variance exactly 2 / (n (n - 3)), so that z = CKA sqrt(n (n - 3) / 2); for biased
        CKA they are from Kazi-Aoual et al. 1995; for mutual kNN they are exact. Because this null
        distribution is skewed, z = 2 is not a threshold: use `pvalue`.
    pvalue : ndarray or None
        The one-sided p-value of each cell, not corrected for the number of cells; also called `p`.
    pvalue_corrected : ndarray or None
        The p-value corrected for the number of cells: by the maximum z over all cells for permutations, by
        Holm's method otherwise. If layers are compared with themselves, only the cells above the diagonal
        are tested, and those below are their mirror image.
    low, high : ndarray or None
        The bounds of an interval for each cell, which contains the CKA of the population with probability
        settings["level"]: for each cell alone, not for all jointly; see `gramless.analysis.cka_interval`.
    standard_error : ndarray or None
        The jackknife standard error of each cell.
    record : dict
        What the result depends on: function, versions of gramless, numpy and torch, the commit of gramless
        if known, date, machine with instruction set and threads, n, kernel, estimator, the seed of the
        permutations and, in "layers_a" and (for two models) "layers_b", each layer's shape before pooling,
        shape of rows, dtype, pooling, bandwidth and, with `digests`, SHA-256. It can be stored as JSON.

    References
    ----------
    Szekely and Rizzo 2013, "The distance correlation t-test of independence in high dimension". Kazi-Aoual,
    Hitier, Sabatier and Lebreton 1995, "Refined approximations to permutation tests for multivariate
    inference". Westfall and Young 1993, "Resampling-based multiple testing".

    Examples
    --------
    >>> result = LayerMatrix(np.eye(2), ["conv1", "fc"], ["conv1", "fc"], {"kernel": "Linear()"}, n=500)
    >>> result.save("result.safetensors")
    >>> LayerMatrix.load("result.safetensors").layers_a
    ['conv1', 'fc']
    >>> float(np.asarray(result).trace())
    2.0
    """

    matrix: Floats
    layers_a: list[str]
    layers_b: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    n: int | None = None
    z: Floats | None = None
    pvalue: Floats | None = None
    pvalue_corrected: Floats | None = None
    low: Floats | None = None
    high: Floats | None = None
    standard_error: Floats | None = None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[list[str], list[str]]:
        """Names of rows and of columns."""
        return self.layers_a, self.layers_b

    @property
    def p(self) -> Floats | None:
        """The same as `pvalue`."""
        return self.pvalue

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        found = self.matrix if dtype is None else self.matrix.astype(dtype, copy=False)
        if copy is False and found is not self.matrix:
            raise ValueError(f"LayerMatrix: an array of dtype {dtype} needs a copy of the matrix")
        return found.copy() if copy and found is self.matrix else found

    def __repr__(self) -> str:
        rows, columns = self.matrix.shape
        what = "".join(f", {name}={self.settings[name]}" for name in _SHOWN if name in self.settings)
        what += f", n={self.n}" if self.n is not None else ""
        if self.pvalue_corrected is not None:
            what += f", {np.count_nonzero(self.within_chance())} within chance"
        without = self._left_out()
        what += f", left out: {without}" if without else ""
        return printable(f"LayerMatrix({rows} x {columns} layers{what})")

    def within_chance(self, alpha: float = 0.05) -> Bools:
        """The cells that chance explains: those whose corrected p-value exceeds alpha.

        Parameters
        ----------
        alpha : float
            The level: an upper bound on the probability of any cell beyond chance if no layers are related.

        Returns
        -------
        ndarray of bool, (len(layers_a), len(layers_b))
            False where the matrix is NaN.

        Raises
        ------
        ValueError
            If there are no p-values, or alpha is not between 0 and 1.
        TypeError
            If alpha is not a number.
        """
        alpha = check_alpha("LayerMatrix.within_chance", alpha)
        if self.pvalue_corrected is None:
            raise ValueError(
                "LayerMatrix.within_chance: there are no p-values; they need pvalue= other than None, at "
                'least 4 rows and, in compare_models, method="exact"'
            )
        return np.asarray(self.pvalue_corrected > alpha)

    def plot(self, ax: Axes | None = None, *, alpha: float = 0.05, **options: Any) -> Axes:
        """Draw the matrix with `gramless.plot.heatmap`.

        Cells within chance are hatched, and intervals are written below the values if they fit. The caption
        states alpha, the method and correction, the level and width of intervals, and the layers that were
        left out with the reasons.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            The axes to draw into; None creates a figure.
        alpha : float
            The level of `within_chance`.
        **options
            Passed to `heatmap`; `within_chance=None` hatches no cell, `intervals=None` writes no interval.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError, TypeError
            If alpha or an option is not valid.
        """
        from .plot import heatmap

        alpha = check_alpha("LayerMatrix.plot", alpha)
        models = [self.settings.get(name) for name in ("model_a", "model_b")]
        defaults: dict[str, Any] = {"label_a": models[0], "label_b": models[1], "title": self._title()}
        defaults["colorbar_label"] = str(self.settings.get("statistic", "CKA"))
        if self.pvalue_corrected is not None:
            defaults["within_chance"] = self.within_chance(alpha)
        if self.low is not None and self.high is not None:
            defaults["intervals"] = self.low, self.high
        options = defaults | options
        lines = [self.chance_text(alpha)] if options.get("within_chance") is not None else []
        if options.get("intervals") is not None:
            lines.append(self._interval_text())
        if without := self._left_out():
            lines.append(f"left out: {without}")
        return heatmap(self.matrix, *self.names, ax, **({"caption": "\n".join(lines)} | options))

    def chance_text(self, alpha: float = 0.05) -> str:
        """The part of the caption of `plot` on chance: alpha, method and correction."""
        method, correction = self.settings.get("pvalue"), self.settings.get("correction")
        cells, resamples = self.settings.get("cells"), self.settings.get("n_resamples")
        parts = [f"{resamples} permutations" if method == "permutation" and resamples else method]
        parts.append(f"{correction} over {cells} cells" if correction and cells else correction)
        how = ", ".join(str(part) for part in parts if part)
        return f"hatched: within chance (corrected p > {alpha:g}{f'; {how}' if how else ''})"

    def _interval_text(self) -> str:
        """The part of the caption of `plot` on intervals: their level, and their median and largest width."""
        widths = np.asarray(self.high) - np.asarray(self.low)
        widths = widths[np.isfinite(widths)]
        level = self.settings.get("level")
        name = f"{100 * level:g} % intervals" if isinstance(level, float) else "intervals"
        if widths.size == 0:
            return f"{name}: none"
        return f"{name}: median width {np.median(widths):.2g}, at most {widths.max():.2g}"

    def _left_out(self) -> str:
        """The layers that were left out, as a short text."""
        models = {"a": self.settings.get("left_out_a"), "b": self.settings.get("left_out_b")}
        if models["a"] == models["b"] and self.settings.get("model_a") == self.settings.get("model_b"):
            models = {"": models["a"]}
        texts = {model: left_out_text(found, 3) for model, found in models.items() if found}
        return "; ".join(f"{text}{' of ' if model else ''}{model}" for model, text in texts.items())

    def _title(self) -> str:
        kernel = str(self.settings.get("kernel", "")).partition("(")[0].replace("Linear", "linear")
        numbers = [f"{name} = {x}" for name, x in (("k", self.settings.get("k")), ("n", self.n)) if x]
        parts = [kernel, self.settings.get("estimator"), *numbers]
        known = ", ".join(str(part) for part in parts if part)
        statistic = str(self.settings.get("statistic", "CKA"))
        return f"{statistic} ({known})" if known else statistic

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the matrix with its names and all digits as CSV; after a failure the file is unchanged.

        Control characters in names are written as escapes, and a name that a spreadsheet would read as a
        formula gets an apostrophe in front.

        Raises
        ------
        ValueError
            If path is a file of a data format, or no file can have this name.
        OSError
            If the file cannot be written.
        """
        path = as_path("LayerMatrix.to_csv: path", path)
        _files.check_kind("LayerMatrix.to_csv", path)
        _files.write_file(path, csv_text(self.matrix, self.layers_a, self.layers_b).encode())

    def to_dataframe(self) -> pd.DataFrame:
        """The matrix as a pandas DataFrame with layers_a as its index and layers_b as its columns.

        Raises
        ------
        ImportError
            If pandas is missing.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "LayerMatrix.to_dataframe: needs pandas, which is not installed: pip install pandas"
            ) from error
        return pd.DataFrame(self.matrix, index=self.layers_a, columns=self.layers_b)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a .safetensors file (names and settings as JSON in its metadata), or to .json.

        After a failure the file is unchanged.

        Raises
        ------
        ValueError
            If the suffix is another one, no file can have this name, or the file holds anything but a
            LayerMatrix, which is not replaced.
        OSError
            If the file cannot be written.
        """
        arrays = {name: getattr(self, name) for name in _result_files.ARRAYS}
        fields = {
            "layers_a": self.layers_a,
            "layers_b": self.layers_b,
            "n": self.n,
            "settings": self.settings,
            "record": self.record,
        }
        _result_files.save(path, {name: x for name, x in arrays.items() if x is not None}, fields)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LayerMatrix:
        """Read a LayerMatrix that `save` wrote.

        Raises
        ------
        ValueError
            If the file has another format or version, or is damaged.
        OSError
            If the file cannot be read; FileNotFoundError if it does not exist.
        """
        return cls(**_result_files.load(path))


_SHOWN = ("model_a", "model_b", "kernel", "estimator", "method", "k")
