"""The shape of the tree: who imports whom, how large files and functions are, what files may not be called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("core", "apps", "pipelines", "shared_backbones", "datasets", "papers")
MAY_IMPORT = {
    "core": {"core"},
    "datasets": {"core", "datasets"},
    "shared_backbones": {"core", "shared_backbones"},
    "pipelines": {"core", "datasets", "shared_backbones", "pipelines"},
    "papers": {"core", "datasets", "shared_backbones", "pipelines", "papers"},
    "apps": {"core", "datasets", "shared_backbones", "pipelines", "papers", "apps"},
}
DOMAINS = {"medical", "rs", "video", "document", "face"}
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py", "util.py"}
MAX_FILE, MAX_BACKBONE_FILE, MAX_FUNCTION, MAX_ARGUMENTS = 400, 600, 60, 8
MAX_OPTIONS = 16  # of a command, whose parameters are what a user may type
# What is larger today: the figure may only shrink, and a line goes when its subject fits.
LARGER_FILES: dict[str, int] = {}
LARGER_FUNCTIONS: dict[str, int] = {}
MORE_ARGUMENTS: dict[str, int] = {}
CARD_KEYS = {"id", "name", "family", "paper", "equation", "deviations", "slots", "cost", "status"}
# attention over scores stands here and nowhere else
SOFTMAX_HOMES = (
    "shared_backbones/attention/", "shared_backbones/mixers/",
    "shared_backbones/token_reduction/vomix.py",  # shares of a token among those that stay: no attention
)  # fmt: skip


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(found) > 20, "the test looks in the wrong place"
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> str | None:
    """`vitapps.apps.console` -> apps, `vitapps.errors` -> core, `numpy` -> None."""
    parts = module.split(".")
    if parts[0] != "vitapps":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS else "core"


def wrong_layers(path: Path) -> list[str]:
    allowed = MAY_IMPORT[name_of(path).split("/")[0]]
    return [module for module in imported_modules(path) if (layer := layer_of(module)) and layer not in allowed]


def wrong_domains(path: Path) -> list[str]:
    """Imports of another domain: `pipelines/medical/x.py` and `apps/medical.py` belong to medical."""
    own = {Path(part).stem for part in path.relative_to(ROOT).parts} & DOMAINS
    if not own and (path.parent.name == "apps" or path.relative_to(ROOT).parts[0] == "papers"):
        return []  # the root, the demo and recipes name every domain
    return [module for module in imported_modules(path) if set(module.split(".")[1:3]) & DOMAINS - own]


@pytest.mark.parametrize("check", [wrong_layers, wrong_domains])
def test_imports_go_one_way(check: object) -> None:
    assert callable(check)
    wrong = {name_of(path): modules for path in sources() if (modules := check(path))}
    assert not wrong


def test_the_import_check_sees_a_wrong_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    planted = tmp_path / "shared_backbones" / "bad.py"
    planted.parent.mkdir()
    planted.write_text("from vitapps.apps import main\nimport vitapps.datasets.formats\nimport numpy\n")
    assert wrong_layers(planted) == ["vitapps.apps.main", "vitapps.datasets.formats"]
    planted = tmp_path / "pipelines" / "rs" / "bad.py"
    planted.parent.mkdir(parents=True)
    planted.write_text("from vitapps.pipelines.medical.segment import segment\nimport vitapps.pipelines.rs.boxes\n")
    assert wrong_domains(planted) == ["vitapps.pipelines.medical.segment.segment"]


def test_only_the_installed_name_is_imported() -> None:
    """`import datasets` would find Hugging Face's package, or load a module of ours twice."""
    bare = {
        name_of(path): module
        for path in [*sources(), *sorted((ROOT / "tests").rglob("*.py"))]
        for module in imported_modules(path)
        if module.split(".")[0] in FOLDERS
    }
    assert not bare


def test_no_file_is_named_for_nothing() -> None:
    assert not [name_of(path) for path in sources() if path.name in FORBIDDEN_NAMES]


def test_files_stay_small() -> None:
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    limits = {
        name: LARGER_FILES.get(name, MAX_BACKBONE_FILE if name.startswith("shared_backbones/models/") else MAX_FILE)
        for name in sizes
    }
    assert not {name: size for name, size in sizes.items() if size > limits[name]}
    assert_ratchet(LARGER_FILES, sizes)


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sources():
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{name_of(path)}:{node.name}", node


def test_functions_stay_short() -> None:
    lengths = {name: (node.end_lineno or node.lineno) - node.lineno + 1 for name, node in functions()}
    assert not {name: size for name, size in lengths.items() if size > LARGER_FUNCTIONS.get(name, MAX_FUNCTION)}
    assert_ratchet(LARGER_FUNCTIONS, lengths)


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = [item.func for item in node.decorator_list if isinstance(item, ast.Call)]
    return any(isinstance(call, ast.Name) and call.id == "command" for call in calls)


def test_functions_take_few_arguments() -> None:
    counts: dict[str, int] = {}
    excess: dict[str, int] = {}
    for name, node in functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        counts[name] = sum(argument.arg not in ("self", "cls") for argument in arguments)
        limit = MORE_ARGUMENTS.get(name, MAX_OPTIONS if is_command(node) else MAX_ARGUMENTS)
        excess |= {name: counts[name]} if counts[name] > limit else {}
    assert not excess
    assert_ratchet(MORE_ARGUMENTS, counts)


def assert_ratchet(exceptions: dict[str, int], measured: dict[str, int]) -> None:
    """An exception must name something that exists and state its size exactly, so that it can only go down."""
    assert exceptions == {name: measured.get(name) for name in exceptions}


def test_softmax_over_scores_is_written_once() -> None:
    elsewhere = [
        name_of(path)
        for path in sources()
        if name_of(path).startswith("shared_backbones/") and not name_of(path).startswith(SOFTMAX_HOMES)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and node.attr in ("softmax", "scaled_dot_product_attention")
    ]
    assert not elsewhere


def test_every_package_has_an_init() -> None:
    folders = {path.parent for path in sources()}
    assert not [name_of(folder) for folder in folders if not (folder / "__init__.py").exists()]
    assert not (ROOT / "__init__.py").exists()
    assert not (ROOT / "conftest.py").exists()


def test_type_checker_links_name_every_module_of_core() -> None:
    """mypy does not follow the editable import hook: `.typing/vitapps` shows it the installed layout."""
    links = ROOT / ".typing" / "vitapps"
    expected = {path.name for path in (ROOT / "core").iterdir() if path.suffix in (".py", ".typed")}
    assert {path.name for path in links.iterdir()} == expected | (set(FOLDERS) - {"core"})
    assert all(path.exists() for path in links.iterdir())


def test_no_private_name_of_a_dependency() -> None:
    """A private module of another package can go in any release."""
    private = {
        name_of(path): module
        for path in sources()
        for module in imported_modules(path)
        if module.split(".")[0] not in ("vitapps", "__future__")
        and any(part.startswith("_") for part in module.split("."))
    }
    assert not private


def cards_of_techniques() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for path in sources():
        for node in parsed(path).body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == "CARD" for target in targets):
                    found[name_of(path)] = ast.literal_eval(node.value)
    return found


def test_catalogue_cards_are_literal_and_complete() -> None:
    """A CARD is read without importing its module, and says where the technique comes from and how far it deviates."""
    cards = cards_of_techniques()
    for name, card in cards.items():
        assert set(card) == CARD_KEYS, name
        assert card["status"] in ("paper", "verified", "core"), name
        assert card["family"] == name.split("/")[1], name
        assert all(card[key] for key in CARD_KEYS - {"slots", "deviations"}), name
    names = [f"{card['family']}/{card['name']}" for card in cards.values()]
    assert len(names) == len(set(names))
