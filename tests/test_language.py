"""The language of the code: one word has one meaning, American spelling, and plain English (docs/design.md)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("acsnet", "tools", "benchmarks", "scripts")
PAGES = (
    *(f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY", "CODE_OF_CONDUCT")),
    *(path.relative_to(REPOSITORY).as_posix() for path in sorted((REPOSITORY / "docs").rglob("*.md"))),
)

# A retired word of a name -> the word to use. Plurals are found as well.
RETIRED = {
    "card": "metadata (of a checkpoint) or model_card (the text people read)",
    "figure": "metric, value or estimate (a number); plot or picture (a drawing)",
    "measure": "metric",
    "statistic": "metric, estimate or estimator",
    "part": "subset (train, val, test) or fold",
    "pixel_size": "spacing",
    "balance": "weighting",
}
BRITISH = re.compile(
    r"(summar|normal|optim|initial|general|regular|random|serial|special|visual|quant|binar|organ|recogn|anonym|standard"
    r"|categor|minim|maxim|equal|central|crystall|local)is(e|ed|es|ing|er|ers|ation|ations)"
    r"|(col|behavi|neighb|fav|hon|lab)our\w*|(milli|centi|kilo)?metres?|centre[ds]?|grey\w*|licence|catalogue|analyse[ds]?"
    r"|(label|model|cancel|travel|signal)l(ed|ing)|artefacts?|fibres?|judgement|defence|sceptic\w*|callipers?"
)
# Patterns of names in which a retired word is right -> the reason.
ALLOWED = {
    r"acsnet\.statistics": "the room of intervals and tests",
    r".*\.PairedTest\.statistic": "the statistic of a test is the term of statisticians",
    r"benchmarks\..*measure": "benchmarks measure time and memory",
}

# What to look for in docstrings, comments, messages and pages -> what to write instead.
PHRASES = {
    r"\bwhat (is|was|are|were) known\b": "a noun: metadata, entry, fields",
    r"\b(is|are|was|were|be|been) told\b": "logged, reported, specified",
    r"\b(is|are|was|were|to be) had\b": "available, obtained",
    r"\b(goes|go|gone|going|went) on with\b|\b(goes|gone|went) on where\b": "continue, resume",
    r"\banew\b": "again, or a verb with re-",
    r"\bheeds?\b": "uses, depends on",
    r"\bwhat(so)?ever\b|\bwhoever\b|\bwhomever\b": "any, or a noun",
    r"\b(stands?|stood|lies|lie|lay) (below|above|beside|behind)\b": "is below, see ...",
    r"\bbeside\b": "next to, or in addition to",
    r"\b(all|nothing|none|everything|one|name|names|classes|network|arguments|lines?) but for\b|, but for\b": "except",
    r"\btold apart\b|\btells? apart\b": "distinguish",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"(?<!\bthere )\bis no (?!(longer|more|fewer|better|worse|larger|smaller|faster|slower)\b)[a-z]+": "is not a ...",
    r"\b(a|one) (row|line|column|cell|file|folder|image|batch|picture|weight|number|step) an? [a-z]+": "per ...",
    r"\b(millimeters?|pixels?|images?|milliseconds|seconds|megabytes) an? (pixel|image|batch|second)\b": "per ...",
    r"\bnone for nobody\b|\bfor nobody\b": "None for no ...",
    r"\bthat which\b|\bthose which\b": "the one that, or a noun",
    r"\b(came|come|comes) of\b": "the result of",
    r"\b(is|are) dear\b": "expensive",
    r"\b(un)?parted\b": "separated, split",
    r"\bwritten down\b": "written, recorded",
    r"\bsaid aloud\b": "reported",
    r"\bcannot be got\b|\bgot wrong\b": "fails, is checked",
    r"\b(is|are) due in\b": "must have",
    r"\bwith a word\b": "with a message",
    r"\bneeded (is|are)\b": "expected ...",
    r"\b(training|validation|test|tested) parts?\b": "subset",
    r"(?<!model )\bcards?\b": "metadata (of a checkpoint), or model card (the text people read)",
    r"\bfigures?\b(?! \d)": "metric, value or result (a number); plot or picture (a drawing)",
    r"\bpixel sizes?\b": "spacing",
}
# What a docstring may not begin with -> what to write instead.
BEGINNINGS = {
    r"(What|Whoever|Whom|How)\b(?!.*\?)": "a noun, or an imperative verb such as Return, Describe",
    r"(Give|Gives|Tell|Tells|Say|Says)\b": "Return, Compute, Log, Report",
}


class Name(NamedTuple):
    """A public name, and where it is: ``module`` or ``module.Class.method(argument)``."""

    where: str
    name: str


def modules() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def is_public(name: str) -> bool:
    return not name.startswith("_")


def public_names(module: str, tree: ast.Module) -> Iterator[Name]:
    """The public names that a module defines. Keys of configurations are attributes of acsnet.config."""
    yield Name(module, module.rpartition(".")[2])
    yield from _names_in(module, tree.body)


def _names_in(where: str, body: list[ast.stmt]) -> Iterator[Name]:
    for node in body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield Name(f"{where}.{node.name}", node.name)
            yield from _names_in(f"{where}.{node.name}", node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if is_public(node.name):
                yield Name(f"{where}.{node.name}", node.name)
            if is_public(node.name) or node.name in ("__init__", "__call__"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = [argument.arg for argument in arguments if is_public(argument.arg)]
                yield from (Name(f"{where}.{node.name}({name})", name) for name in names)
            if node.name == "__init__":
                yield from (Name(f"{where}.{name}", name) for name in _attributes(node))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name) and is_public(target.id)]
            yield from (Name(f"{where}.{name}", name) for name in names)


def _attributes(constructor: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for node in ast.walk(constructor):
        is_attribute = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if is_attribute and isinstance(node.value, ast.Name) and node.value.id == "self" and is_public(node.attr):
            yield node.attr


def words(name: str) -> list[str]:
    """The words of a name in lower case: ``HTTPError`` and ``http_error`` have the same two."""
    spaced = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in spaced.lower().split("_") if word]


def retired_words(name: str) -> list[tuple[str, str]]:
    """The retired words of a name, each with what to use instead."""
    joined = f"_{'_'.join(words(name))}_"
    found = [
        (word, better)
        for word, better in RETIRED.items()
        if re.search(rf"_{word}s?_", joined.replace("_model_card", "_model"))
    ]
    return found + [(word, "American spelling") for word in words(name) if BRITISH.fullmatch(word)]


class Text(NamedTuple):
    """A docstring, a comment or a message, on one line, and where it begins."""

    line: int
    text: str
    is_docstring: bool = False


def texts(source: str) -> Iterator[Text]:
    """The docstrings, comments (consecutive lines joined) and strings of a source that have more than one word."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value): node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield Text(node.lineno, one_line("".join(map(str, values))))
        elif isinstance(node, ast.Constant) and id(node) not in inside and " " in str(node.value):
            yield Text(node.lineno, one_line(str(node.value)), id(node) in docstrings)
    yield from comments(source)


def comments(source: str) -> Iterator[Text]:
    start, joined, last = 0, "", -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("#:! ")
            if joined and token.start[0] == last + 1:
                joined = f"{joined} {text}"
            else:
                if joined:
                    yield Text(start, joined)
                start, joined = token.start[0], text
            last = token.start[0]
    if joined:
        yield Text(start, joined)


def one_line(text: str) -> str:
    return " ".join(text.split())


def bad_phrases(text: Text) -> list[tuple[str, str]]:
    """The phrases of a text that read badly, each with what to write instead."""
    # Code in a text is code: names in double or single backticks.
    prose = re.sub(r"`+[^`]*`+", "``", text.text)
    found = [
        (match.group(), better)
        for pattern, better in PHRASES.items()
        for match in re.finditer(pattern, prose, flags=re.IGNORECASE)
    ]
    found += [(match.group(), "American spelling") for match in re.finditer(rf"\b({BRITISH.pattern})\b", prose)]
    if text.is_docstring:
        starts = [(re.match(pattern, prose), better) for pattern, better in BEGINNINGS.items()]
        found += [(f"{match.group()} ... (at the beginning)", better) for match, better in starts if match]
    return found


def page_texts(page: Path) -> Iterator[Text]:
    """The paragraphs of a page, without code blocks, generated tables and the glossary, which lists retired words."""
    content = page.read_text(encoding="utf-8")

    def blank(match: re.Match[str]) -> str:
        return "\n" * match.group().count("\n")  # keeps the numbers of lines

    content = re.sub(r"<!-- (\w+):begin -->.*?<!-- \1:end -->", blank, content, flags=re.DOTALL)
    content = re.sub(r"<[a-z][^>]*>", "", content)  # names of classes in HTML
    content = re.sub(r"^```.*?^```", blank, content, flags=re.DOTALL | re.MULTILINE)
    content = re.sub(r"^## One word, one meaning\n.*?(?=^## )", blank, content, flags=re.DOTALL | re.MULTILINE)
    for match in re.finditer(r"(?:^[^\n]+\n?)+", content, flags=re.MULTILINE):
        # A row of a table or an item of a list is a text of its own.
        for offset, line in enumerate(re.split(r"\n(?=[|\-\d])", match.group())):
            yield Text(content[: match.start()].count("\n") + 1 + offset, one_line(line))


def test_public_names_have_no_retired_words() -> None:
    names = [
        name for module, path in modules() for name in public_names(module, ast.parse(path.read_text(encoding="utf-8")))
    ]
    found = [
        f"{where}: {word!r} -> {better}"
        for where, name in names
        if not any(re.fullmatch(pattern, where) for pattern in ALLOWED)
        for word, better in retired_words(name)
    ]
    assert not found, f"{len(found)} names:\n" + "\n".join(found)
    stale = [pattern for pattern in ALLOWED if not any(re.fullmatch(pattern, where) for where, _ in names)]
    assert not stale


def test_texts_are_plain_english() -> None:
    found = []
    for _, path in modules():
        for text in texts(path.read_text(encoding="utf-8")):
            place = f"{path.relative_to(REPOSITORY)}:{text.line}"
            found += [f"{place}: {phrase!r} -> {better}" for phrase, better in bad_phrases(text)]
    for page in PAGES:
        for text in page_texts(REPOSITORY / page):
            found += [f"{page}:{text.line}: {phrase!r} -> {better}" for phrase, better in bad_phrases(text)]
    assert not found, f"{len(found)} phrases:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class CheckpointCard:\n    pass", ["card"]),
        ("def model_card(figures):\n    pass", ["figure"]),
        ("class _Card:\n    card = 1\ndef _f(card):\n    pass", []),
        ("class A:\n    parts: int\n    def __init__(self, x):\n        self.pixel_size = x", ["part", "pixel_size"]),
        ("def summarise(colour, neighbours, noise):\n    pass", ["summarise", "colour", "neighbours"]),
        ("partial = department = measured = balanced_accuracy = 1", []),
    ],
)
def test_the_search_of_names_itself(source: str, found: list[str]) -> None:
    names = public_names("module", ast.parse(source))
    assert [word for _, name in names for word, _ in retired_words(name)] == found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('"""Return what is known of\n    a name."""', 1),
        ('"""What a network says."""', 1),
        ("# A transfer that broke off is gone\n# on with by the next call.", 1),
        ('raise E(f"{path} is no folder, and was not to be had")', 2),
        ("x = 1  # millimeters a pixel", 1),
        ('"""There is no file; it is no longer here. A colorful `behaviour`."""', 0),
        ("anew = 1", 0),
    ],
)
def test_the_search_of_phrases_itself(source: str, count: int) -> None:
    assert sum(len(bad_phrases(text)) for text in texts(source)) == count
