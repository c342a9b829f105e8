"""Paragraphs that several docstrings of `gramless.reference` share; each replaces its name in braces."""

from __future__ import annotations

from .._docs import SHARED
from .._paragraphs import T, inserted


def _section(name: str, text: str) -> str:
    return f"{name}\n{'-' * len(name)}\n{text}"


_ERRORS = _section(
    "Raises",
    """ValueError
    If shapes do not match or an option has an invalid value.
TypeError
    If an argument does not hold real numbers.""",
)
# Of functions that do not check their options, as those of gramless do.
_UNCHECKED = _section(
    "Raises",
    """ValueError
    If shapes do not match. Other options than a kernel are not checked.
TypeError
    If an argument does not hold real numbers.""",
)
_NORMALIZE = """
normalize : bool
    Whether to divide each row by its length first, by max(|row|, 1e-12)."""
_OPTIONS = f"""
temperature : float
    tau, the divisor of the similarities; not 0.{_NORMALIZE}"""
_EXCLUDING = """
exclude_above, exclude_hardest, exclude_easiest : float, optional
    Leave negatives out of an anchor's sum: those with a dot product above a limit, and the most or the
    least similar share of them."""
_POSITIVES = """
mask : array (n, n), optional
    Instead of labels: row i weighs the positives of row i. The diagonal is left out.
ignore_index : optional
    Rows with this label are left out."""
_REDUCTION = """
reduction : {"mean", "sum", "none"}
    "none" returns the loss of each anchor."""
_SCALAR_REDUCTION = """
reduction : {"mean", "sum"}
    How the losses of all anchors become one number."""
_VALUE = _section("Returns", 'float, or with reduction="none" an ndarray of float64') + "\n\n" + _ERRORS
_GRADIENT = (
    _section(
        "Returns",
        """float
    The loss.
tuple
    Its gradients with respect to the arrays, in their order and shapes, and to the temperature. A queue,
    a teacher, a guide, labels and ids have none.""",
    )
    + "\n\n"
    + _ERRORS
)
_SUMMED_ROWS = """x : array (n, d)
    The rows whose log-sum-exps are computed.
y : array (m, d), optional
    The rows of each sum; None uses x."""
_SUM_OPTIONS = f"""
temperature : float
    tau, the divisor of the dot products; not 0.{_NORMALIZE}
exclude_self : bool
    Whether to leave out j = i; only with y=None."""
PARAGRAPHS = SHARED | {
    "raises": _ERRORS,
    "value": f"{_REDUCTION}\n\n{_VALUE}",
    "value_excluding": f"{_REDUCTION}{_EXCLUDING}\n\n{_VALUE}",
    "value_of_positives": f"{_REDUCTION}{_EXCLUDING}{_POSITIVES}\n\n{_VALUE}",
    "gradient": f"{_SCALAR_REDUCTION}\n\n{_GRADIENT}",
    "gradient_excluding": f"{_SCALAR_REDUCTION}{_EXCLUDING}\n\n{_GRADIENT}",
    "gradient_of_positives": f"{_SCALAR_REDUCTION}{_EXCLUDING}{_POSITIVES}\n\n{_GRADIENT}",
    "views": _section(
        "Parameters",
        f"""z_a, z_b : array (n, d)
    Row i of both are two views of one example.{_OPTIONS}""",
    ),
    "supervised": _section(
        "Parameters",
        f"""z : array (n, d)
    One row for each example, or for each view of one.
labels : array (n,), optional
    Integers or text. Rows with one label are positives of each other.{_OPTIONS}""",
    ),
    "anchors_and_keys": _section(
        "Parameters",
        f"""anchors, keys : array (n, d)
    Key i is the positive of anchor i.
queue, negatives : array (m, d), optional
    Further keys, which are negatives of every anchor. A queue gets no gradient.
ids : array (n + m,), optional
    Of keys, negatives and queue: keys with the id of the anchor's own key are left out of the sum.{_OPTIONS}
symmetric : bool
    Whether to average with the loss of keys against anchors, without negatives and queue.""",
    ),
    "queries": _section(
        "Parameters",
        f"""q, k : array (n, d)
    Queries and keys; key i is the positive of query i.
queue : array (m, d)
    The negatives of every query.{_OPTIONS}""",
    ),
    "labelled_keys": _section(
        "Parameters",
        f"""anchors, keys : array (n, d)
    Row i of both has label i.
labels : array (n,)
    Integers or text. Keys with the label of an anchor are its positives.{_OPTIONS}
symmetric : bool
    Whether to average with the loss of keys against anchors.""",
    ),
    "guided": _section(
        "Parameters",
        f"""anchors, positives : array (n, d)
    Row i of both belong together.
negatives : array (m, d), optional
    Negatives of every anchor.
guide_anchors, guide_positives, guide_negatives : array (n, e), (n, e) and (m, e)
    The guide's rows of the same examples.{_OPTIONS}
margin : float
    Pairs above the guide's cosine of a_i and p_i, less the margin, are left out.
margin_strategy : {{"absolute", "relative"}}
    "relative" multiplies the margin by the magnitude of that cosine.
contrast_anchors, contrast_positives : bool
    Whether pairs of two anchors, and pairs of two positives, are negatives.""",
    ),
    "distilled": _section(
        "Parameters",
        f"""student : array (n, d)
    The student's embeddings of a batch.
teacher : array (n, e)
    The teacher's embeddings of the same examples.
queue_student : array (m, d)
    The queue, as the student sees it.
queue_teacher : array (m, e), optional
    The same examples, as the teacher sees them. None uses queue_student for both, as the paper does.
temperature : float
    tau, the divisor of the student's similarities; not 0.
teacher_temperature : float
    tau_teacher, the divisor of the teacher's similarities; not 0.{_NORMALIZE}""",
    ),
    "two_towers": _section(
        "Parameters",
        f"""a, b : array (n, d)
    Row i of both belong together.
logit_scale, logit_bias : float
    The factor of the dot products, and what is added to them.{_NORMALIZE}""",
    ),
    "summed_rows": _section("Parameters", f"{_SUMMED_ROWS}{_SUM_OPTIONS}"),
    "weighted_rows": _section(
        "Parameters",
        f"""{_SUMMED_ROWS}
weights : array (n,), optional
    The factors of the log-sum-exps in the sum that is differentiated. None is 1 for each.{_SUM_OPTIONS}""",
    ),
    "pair": _section(
        "Parameters",
        """x, y : array (n, p) and (n, q)
    Row i of both is one example; computed in float64.""",
    ),
    "layers": _section(
        "Parameters",
        """xs, ys : sequence of arrays (n, d)
    Layers of two models, row i of all one example; d may differ. ys=None compares xs with itself.""",
    ),
    "rows": _section(
        "Parameters",
        """x : array (n, d)
    One row for each example; computed in float64.""",
    ),
    "progress": """
progress
    Ignored.""",
    "matrix": _section("Returns", "ndarray of float64, (len(xs), len(ys))") + "\n\n" + _ERRORS,
    "number": _section("Returns", "float") + "\n\n" + _ERRORS,
    "unchecked_matrix": _section("Returns", "ndarray of float64, (len(xs), len(ys))") + "\n\n" + _UNCHECKED,
    "unchecked_number": _section("Returns", "float") + "\n\n" + _UNCHECKED,
    "neighbors": """
k : int
    The number of nearest rows by cosine, a row itself left out.""",
    "rsa_options": """
metric : {"sqeuclidean", "cosine", "correlation"}
    The distance of two rows: |x_i - x_j|^2, or 1 less their cosine or their correlation.
comparison : {"pearson", "cosine"}
    How the distances of all pairs are compared: with their correlation or their cosine.""",
    "simclr": _section(
        "References",
        """Chen, Kornblith, Norouzi and Hinton 2020, "A simple framework for contrastive learning of visual
representations", arXiv:2002.05709, equation 1.""",
    ),
    "huh": _section(
        "References",
        'Huh, Cheung, Wang and Isola 2024, "The platonic representation hypothesis", arXiv:2405.07987.',
    ),
    "kriegeskorte": _section(
        "References",
        """Kriegeskorte, Mur and Bandettini 2008, "Representational similarity analysis - connecting the
branches of systems neuroscience", Frontiers in Systems Neuroscience 2:4.""",
    ),
    "wang": _section(
        "References",
        """Wang and Isola 2020, "Understanding contrastive representation learning through alignment and
uniformity on the hypersphere", arXiv:2005.10242, equations 5 and 6.""",
    ),
    "gretton": _section(
        "References",
        """Gretton, Bousquet, Smola and Schoelkopf 2005, "Measuring statistical dependence with
Hilbert-Schmidt norms" (biased). Song, Smola, Gretton, Bedo and Borgwardt 2012, "Feature selection via
dependence maximization", JMLR 13 (unbiased).""",
    ),
    "kornblith": _section(
        "References",
        """Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited",
arXiv:1905.00414.""",
    ),
    "two_samples": _section(
        "References",
        """Gretton, Borgwardt, Rasch, Schoelkopf and Smola 2012, "A kernel two-sample test", JMLR 13,
equations 3 and 5.""",
    ),
}


def documented(described: T) -> T:
    """Inserts the paragraphs above into a docstring, in place of their names in braces."""
    return inserted(described, PARAGRAPHS)
