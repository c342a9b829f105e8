"""The roles of a tensor's dimensions: examples, features or positions. Depends on no operations or modules.

A dimension is a tuple of factors, outermost first, because reshaping merges and splits dimensions; a
dimension of size 1 has no factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypeAlias

EXAMPLES, FEATURES, POSITIONS = "N", "C", "L"


class Axis:
    """One factor of a dimension; its role is None until an operation determines it.

    entry: whether it is an axis of a tensor of the batch; two such axes are never merged.
    shuffled: whether it is a permutation of its parent axis; mirror: the axis in reversed order.
    learned: whether it belongs to parameters of the model, such as learned queries.
    channels: whether it counts features of an earlier tensor.
    merged: whether it is one of several factors of a dimension that weights have treated as features.
    """

    __slots__ = (
        *("_parts", "_role", "_same", "beside", "channels", "entry", "learned", "merged", "mirror"),
        *("parent", "shuffled", "size"),
    )

    def __init__(
        self, size: int, role: str | None = None, entry: bool = False, parent: Axis | None = None
    ) -> None:
        self.size, self.entry, self.parent = size, entry, parent
        self._role, self._same = role, None  # type: str | None, Axis | None
        self._parts: dict[int, tuple[Axis, Axis]] = {}
        self.beside: list[Axis] = []  # axes of other entries of the batch that were combined with it
        self.shuffled, self.mirror = False, None  # type: bool, Axis | None
        self.learned = self.channels = self.merged = False

    @property
    def root(self) -> Axis:
        """The representative of all axes that are known to be equal."""
        axis = self
        while axis._same is not None:
            axis = axis._same
        return axis

    @property
    def role(self) -> str | None:
        root = self.root
        if root._role is None and root.parent is not None:
            inherited = root.parent.role
            return None if inherited == EXAMPLES else inherited  # a part of the examples is not the examples
        return root._role

    @property
    def inherits(self) -> bool:
        """Whether it has a role only because it is a part of an axis with that role."""
        return self.root._role is None and self.role is not None

    def settle(self, role: str | None, of_part: bool = False) -> None:
        """Set the role of the axis if it has none or, with of_part, if it only inherits one."""
        if self.role is None or (of_part and self.inherits):
            self.root._role = role
            if self.root.mirror is not None:
                self.root.mirror.settle(role)

    def is_made_of(self, other: Axis) -> bool:
        """Whether the axis is a part or a permutation of another axis, through any number of steps."""
        axis: Axis | None = self.root.parent
        while axis is not None and axis.root is not other.root:
            axis = axis.root.parent
        return axis is not None

    def split(self, outer: int) -> tuple[Axis, Axis]:
        """The axis as (outer, inner); equal splits return the same two objects."""
        root = self.root
        if outer not in root._parts:
            root._parts[outer] = Axis(outer, parent=root), Axis(root.size // outer, parent=root)
        return root._parts[outer]

    def reordered(self, backwards: bool) -> Axis:
        """The axis in another order; reversed twice, it is the same axis again."""
        root = self.root
        if backwards and root.mirror is not None:
            return root.mirror.root
        found = Axis(root.size, root._role, parent=root)
        found.shuffled = True
        if backwards:
            found.mirror, root.mirror = root, found
        return found

    def same_as(self, other: Axis) -> None:
        """Merge both axes or, if both belong to tensors of the batch, record that they were combined."""
        a, b = self.root, other.root
        if a is b:
            return
        if a.entry and b.entry:
            a.beside.append(b)
            b.beside.append(a)
            return
        a._same, b.entry = b, a.entry or b.entry
        b.learned = not b.entry and (a.learned or b.learned)
        b.beside += a.beside
        b.settle(a._role)


Dimension: TypeAlias = tuple[Axis, ...]
Dims: TypeAlias = tuple[Dimension, ...]


def fresh(size: int, role: str | None = None) -> Dimension:
    return () if size == 1 else (Axis(size, role),)


def role_of(dimension: Dimension) -> str | None:
    """The role of a dimension if all its factors have the same one, else None."""
    roles = {axis.role for axis in dimension}
    return roles.pop() if len(roles) == 1 else None


def viewed(dims: Dims, shape: Sequence[int]) -> Dims | None:
    """The dimensions after a reshape to `shape`; None if the factors cannot be divided in this way.

    >>> [role_of(d) for d in viewed(((Axis(4, "N"),), (Axis(6, "C"),)), (4, 2, 3))]
    ['N', 'C', 'C']
    """
    left = [axis for dimension in dims for axis in dimension]
    if 0 in shape or prod(axis.size for axis in left) != prod(shape):
        return None
    found = []
    for size in shape:
        factors: list[Axis] = []
        while size > 1:
            axis = left.pop(0)
            if size % axis.size == 0:
                factors.append(axis)
                size //= axis.size
            elif axis.size % size == 0:
                outer, inner = axis.split(size)
                factors.append(outer)
                left.insert(0, inner)
                size = 1
            else:
                return None
        found.append(_joined(factors))
    return tuple(found)


def _joined(factors: list[Axis]) -> Dimension:
    """The factors, in which two adjacent parts of one axis become that axis again."""
    found: list[Axis] = []
    for axis in factors:
        found.append(axis)
        while len(found) > 1:
            parent = found[-2].parent
            if parent is None or parent._parts.get(found[-2].size) != (found[-2], found[-1]):
                break
            found[-2:] = [parent]
    return tuple(found)


def combined(shape: Sequence[int], operands: Sequence[Dims]) -> Dims:
    """The dimensions of the result of an elementwise operation with broadcasting."""
    found = []
    for place in range(-len(shape), 0):
        size = shape[place]
        there = [dims[place] for dims in operands if len(dims) >= -place and dims[place]]
        there = [dimension for dimension in there if prod(axis.size for axis in dimension) == size]
        result = there[0] if there else fresh(size)
        for dimension in there[1:]:
            result = _agreed(result, dimension, size)
        found.append(result)
    return tuple(found)


def _agreed(a: Dimension, b: Dimension, size: int) -> Dimension:
    if [axis.size for axis in a] == [axis.size for axis in b]:
        return tuple(_agreed_axis(x, y) for x, y in zip(a, b, strict=True))
    roles_a, roles_b = role_of(a), role_of(b)
    if roles_a == roles_b or all(axis.role is None for axis in b):
        return a
    return b if all(axis.role is None for axis in a) else fresh(size)


def _agreed_axis(a: Axis, b: Axis) -> Axis:
    if a.root is b.root:
        return a
    if a.role is not None and b.role is not None and a.role != b.role:
        return Axis(a.size)  # the roles contradict each other, so that neither is kept
    for whole, changed in ((a, b), (b, a)):
        if changed.is_made_of(whole):  # tokens and permuted tokens are not the same axis
            whole.settle(changed.role)
            return whole
    known, other = (a, b) if a.role is not None else (b, a)
    if known.role != EXAMPLES:  # not inferred backwards: another dimension may have as many entries
        other.same_as(known)
    return known


def reordered(dims: Dims, places: Sequence[int], backwards: bool = False) -> Dims:
    """The dimensions after a permutation of the entries at these places; examples and features keep theirs,
    since permuted examples count as examples and the order of features does not matter.
    """
    found = list(dims)
    for place in places:
        if len(dims[place]) == 1 and dims[place][0].role not in (EXAMPLES, FEATURES):
            found[place] = (dims[place][0].reordered(backwards),)
    return tuple(found)


def features_last(dims: Dims) -> None:
    """Set the roles for an operation on (..., features)."""
    if len(dims[-1]) == 1:
        dims[-1][0].settle(FEATURES)
    for axis in dims[-1] if len(dims[-1]) > 1 else ():
        axis.root.merged = True


def features_second(dims: Dims) -> None:
    """Set the roles for an operation on (examples, features, positions...), also of parts of features."""
    if len(dims) < 3:
        return
    if len(dims[1]) == 1:
        dims[1][0].settle(FEATURES, of_part=True)
    for dimension in dims[2:]:
        for axis in dimension:
            axis.settle(POSITIONS, of_part=True)
