"""Docstrings of public functions and classes are complete in themselves, in the sections of numpydoc."""

import importlib
import inspect
import re
import types

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")
MODULES = (
    "gramless",
    "gramless.torch",
    "gramless.plot",
    "gramless.analysis",
    "gramless.compat",
    "gramless.reference",
    "gramless.jax",
    "gramless.torch.lightning",
    "gramless.torch.transformers",
)
SECTION = re.compile(r"^(\w+)\n-{3,}$", re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : (.+))?$", re.MULTILINE)
# What help(name) would send the reader to other pages for.
ELSEWHERE = re.compile(r"\b[Aa]s in `[\w.]+`")


def public():
    for module_name in MODULES:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError:  # of an extra that is not installed
            continue
        for name in module.__all__:
            found = getattr(module, name, None)
            if isinstance(found, type) or callable(found):
                yield pytest.param(found, id=f"{module_name}.{name}")


PUBLIC = list(public())
# Results, which functions return: users read their attributes.
RESULTS = [
    p for p in PUBLIC if isinstance(p.values[0], type) and "Attributes\n" in (p.values[0].__doc__ or "")
]


def sections(found):
    """The text before the first section as "", and each section by its name."""
    parts = SECTION.split(inspect.getdoc(found) or "")
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(text):
    """The names of a section's entries, with what stands below each."""
    found, name = {}, None
    for line in text.strip("\n").splitlines():
        if line and not line.startswith(" "):
            name = ENTRY.match(line)
            assert name, line
            found[name[1]] = []
        elif name and line.strip():
            found[name[1]].append(line)
    return found


def parameters(found):
    own = inspect.signature(found).parameters.values()
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [star.get(p.kind, "") + p.name for p in own if p.name not in ("self", "cls")]


def methods(cls):
    """The public methods and properties that a class defines; `forward` is described with its class."""
    for name, found in vars(cls).items():
        if (
            isinstance(found, types.FunctionType | classmethod | property)
            and not name.startswith("_")
            and name != "forward"
        ):
            yield name, getattr(cls, name)


@pytest.mark.parametrize("found", [p for p in PUBLIC if p not in RESULTS])
def test_parameters_are_those_of_the_signature(found):
    names = parameters(found)
    described = entries(sections(found).get("Parameters", ""))
    assert [name for line in described for name in line.split(", ")] == names
    assert [line for line, text in described.items() if not text] == []


@pytest.mark.parametrize("found", RESULTS)
def test_attributes_are_those_of_the_class(found):
    described = [name for line in entries(sections(found)["Attributes"]) for name in line.split(", ")]
    assert described == list(getattr(found, "__dataclass_fields__", getattr(found, "_fields", described)))


@pytest.mark.parametrize("found", PUBLIC)
def test_sections_are_there(found):
    own = sections(found)
    assert own[""].strip().partition("\n\n")[0].endswith((".", ":")), "a first sentence"
    if isinstance(found, type):
        assert found in [p.values[0] for p in RESULTS] or "Examples" in own
    else:
        returns = inspect.signature(found).return_annotation
        assert ("Returns" in own) == (returns not in (None, "None"))
        assert "Examples" in own
    assert "Examples" not in own or ">>> " in own["Examples"]
    if parameters(found) and found not in [p.values[0] for p in RESULTS]:
        assert "Raises" in own
    order = ["Parameters", "Attributes", "Returns", "Raises", "Warns", "Notes", "References", "Examples"]
    assert [name for name in own if name] == [name for name in order if name in own]


@pytest.mark.parametrize("found", PUBLIC)
def test_nothing_that_is_needed_stands_elsewhere(found):
    text = inspect.getdoc(found)
    assert re.findall(r"^ *\{\w+\}$", text, re.MULTILINE) == [], "a shared paragraph was not inserted"
    assert [line for line in found.__doc__.splitlines() if len(line) > 110] == []
    own = sections(found)
    for name in ("Parameters", "Returns", "Raises"):
        assert ELSEWHERE.findall(own.get(name, "")) == [], name


@pytest.mark.parametrize("found", [p for p in PUBLIC if isinstance(p.values[0], type)])
def test_methods_are_described(found):
    described = {name: method.__doc__ or "" for name, method in methods(found)}
    assert [name for name, text in described.items() if not text] == []
    assert [line for text in described.values() for line in text.splitlines() if len(line) > 110] == []
