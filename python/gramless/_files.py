"""Files: outputs are checked before the work and written atomically; only regular files are read.

This module knows no file format, only the signatures by which it recognises data files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from ._paths import PathLike, as_path, same_file
from ._text import printable

DATA_SUFFIXES = frozenset((
    ".npz", ".npy", ".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".h5",
    ".hdf5", ".nc", ".mat", ".zarr", ".parquet", ".feather", ".arrow", ".onnx", ".gguf", ".msgpack",
    ".tfrecord", ".json", ".jsonl", ".zip", ".tar", ".gz",
))  # fmt: skip
_MARKS = (b"\x93NUMPY", b"PK\x03\x04", b"\x89HDF", b"PAR1", b"ARROW1", b"GGUF", b"\x1f\x8b",
          *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))  # fmt: skip
_OPEN_STREAM = re.compile(r"/dev/(fd/|std(in|out|err)$)|/proc/[^/]+/fd/")
MOST_TRIES = 8  # attempts to use a name that other processes may use


def check_output(
    what: str, path: PathLike, inputs: Iterable[PathLike] = (), suffixes: frozenset[str] = DATA_SUFFIXES
) -> None:
    """Verify, before the work, that a result can be written to `path` without harm.

    what: the start of the error, such as "--csv".
    inputs: files that are read; none of them may be the output, even under another name.
    suffixes: those that are refused, see `check_kind`.

    Raises ValueError if the folder is missing or not writable, and if the output would replace a folder, an
    input, a file of a data format or a file without write permission.
    """
    name = f"{what}: {printable(str(as_path(what, path)))}"
    for other in inputs:
        if same_file(path, other):
            raise ValueError(f"{name} is {printable(str(other))}, which is read; name another file")
    target = Path(os.path.realpath(path))
    try:
        found = _status(path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise ValueError(f"{name} is a folder; name a file")
        check_kind(what, path, suffixes)
        if _written_directly(path):
            return
        if not target.parent.is_dir():
            raise ValueError(f"{name}: there is no folder {printable(str(target.parent))}")
        check_folder(target.parent)  # first: it distinguishes a read-only disk from a missing permission
        effective = os.access in os.supports_effective_ids
        if found is not None and not os.access(target, os.W_OK, effective_ids=effective):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ValueError(f"{name} cannot be written ({error.strerror or error})") from None


def check_kind(what: str, path: PathLike, suffixes: frozenset[str] = DATA_SUFFIXES) -> None:
    """Raise ValueError for a file of a data format, recognised by these suffixes or by its content.

    A file that holds data is refused under any suffix. Without suffixes no content is checked.
    """
    name, target = f"{what}: {printable(str(path))}", Path(os.path.realpath(path))
    for suffix in (Path(path).suffix.lower(), target.suffix.lower()):
        if suffix in suffixes:
            raise ValueError(f"{name} has the suffix of a data format, {suffix}; name another file")
    found = _status(path)
    if not suffixes or found is None or not stat.S_ISREG(found.st_mode):
        return
    if _holds_data(target) or (target.suffix.lower() == ".json" and is_foreign_json(target)):
        raise ValueError(f"{name} holds data of another kind; name another file")


def is_foreign_json(path: PathLike) -> bool:
    """Whether an existing .json file holds anything but a result of gramless."""
    try:
        with open(path, "rb") as stream:
            begin = stream.read(64)
    except OSError:
        return False
    return bool(begin) and b'"gramless' not in begin


def check_folder(folder: PathLike) -> None:
    """Raise OSError unless a file can be created in the folder."""
    descriptor, name = _unnamed(os.fspath(folder))
    os.close(descriptor)
    if name is not None:
        os.unlink(name)


def write_file(path: PathLike, content: bytes) -> None:
    """Replace the file atomically by one with this content: after any failure the old file is unchanged.

    It follows symbolic links, keeps permissions and owner, and writes directly to devices and pipes. Raises
    OSError, which names the path.
    """
    try:
        if _written_directly(path):
            with open(path, "wb") as stream:
                stream.write(content)
        else:
            _replace(os.path.realpath(path), content)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), printable(str(path))) from None


def _replace(target: str, content: bytes) -> None:
    folder, name = os.path.dirname(target), None
    try:
        descriptor, name = _unnamed(folder)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            _inherit(descriptor, target)
            os.fsync(descriptor)
            if name is None:
                _put(descriptor, target)
        if name is not None:
            os.replace(name, target)
            name = None
    finally:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)
    _sync_folder(folder)


def _put(descriptor: int, target: str) -> None:
    """Give an unnamed file the name of the target, and remove the target's old file.

    Without an old file one call suffices. Otherwise the new file first gets a temporary name, the same for
    all writers of that target. A process that finds this name taken, by another process or by one that was
    killed, first moves that complete file to the target: no content is lost and no temporary file stays.
    """
    source, (folder, base) = f"/proc/self/fd/{descriptor}", os.path.split(target)
    digest = hashlib.blake2b(os.fsencode(base), digest_size=8).hexdigest()
    between = [os.path.join(folder, f".gramless-{digest}")] * MOST_TRIES
    for name in (target, *between, _unused(folder)):
        try:
            # os.link follows the link in /proc only if it is given a folder; src_dir_fd is otherwise unused.
            os.link(source, name, src_dir_fd=descriptor)
        except FileExistsError:
            if name != target:
                with contextlib.suppress(OSError):
                    os.replace(name, target)
            continue
        if name != target:
            _move(name, target)
        return


def _move(name: str, target: str) -> None:
    try:
        os.replace(name, target)
    except FileNotFoundError:  # another process has moved it
        if not os.path.exists(target):
            raise
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def read_file(what: str, path: PathLike, largest: int) -> bytes:
    """The bytes of a regular file of at most `largest` bytes.

    Raises ValueError for devices, pipes and larger files, before anything is read.
    """
    size = regular_size(what, path)
    if size > largest:
        raise ValueError(
            f"{what}: {printable(Path(path).name)} has {size} bytes, more than the {largest} that are read"
        )
    with open(path, "rb") as stream:
        return stream.read(size)


def regular_size(what: str, path: PathLike) -> int:
    """Size of a regular file in bytes; raises ValueError for devices and pipes, which may never end."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{what}: {printable(Path(path).name)} is not a regular file")
    return found.st_size


def _status(path: PathLike) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _written_directly(path: PathLike) -> bool:
    found = _status(path)
    special = found is not None and not stat.S_ISREG(found.st_mode)
    return special or _OPEN_STREAM.match(os.path.abspath(path)) is not None


def _holds_data(target: Path) -> bool:
    try:
        with target.open("rb") as stream:
            begin = stream.read(16)
    except PermissionError:
        return False
    return begin.startswith(_MARKS) or begin[8:10] == b'{"'  # safetensors: a length of 8 bytes, then JSON


def _unnamed(folder: str) -> tuple[int, str | None]:
    """Create and open a file in the folder, if possible without a name: none stays after a crash."""
    folder = folder or os.curdir
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        try:
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), None
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
    name = _unused(folder)
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666), name


def _unused(folder: str) -> str:
    return os.path.join(folder, f".gramless-{secrets.token_hex(8)}")


def _inherit(descriptor: int, target: str) -> None:
    found = _status(target)
    if found is None:
        return
    with contextlib.suppress(OSError):  # only root can give a file to another user
        os.fchown(descriptor, found.st_uid, found.st_gid)
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode))


def _sync_folder(folder: str) -> None:
    """Flush the folder so that the new name is durable; does nothing on file systems without support."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or os.curdir, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
