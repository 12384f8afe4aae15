"""The structure of the tree: what ships, who imports whom, how long files and functions are."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAPPED = {"reference": "stabkit.reference", "suites": "stabkit.suites", "reports": "stabkit.reports"}

# Lower floors first; a module may import its own floor and those above it in this list, never below.
FLOORS = (
    ("errors", "floats"),
    ("arithmetic",),
    ("domain", "notation", "dependence", "facts.properties", "spec", "finding", "anatomy", "certificates.certificate"),
    ("widening", "closed_gradient", "exponentials"),
    ("reference",),
    ("parameterizations", "losses"),
    ("zoo", "catalog"),
    ("distribution", "target", "recording"),
    ("program",),
    ("exact", "search", "oracle", "judge"),
    ("strategies",),
    ("conditioning",),
    ("proof", "foresight", "certificates.verdicts", "facts.arrangements"),
    ("verification",),
    ("certificates.space", "certificates.tallies", "certificates.closeup", "certificates.exhaustion"),
    ("fuzzing",),
    ("sweep",),
    ("meaning", "headroom", "continuity.jumps", "continuity.crossover", "numbness", "facts.counterexamples"),
    ("checks", "continuity.jump_search"),
    ("diagnosis", "dissection", "safe_range", "events", "audit_job", "certificates.certify_job"),
    ("auditor",),
    ("worker", "collect"),
    ("certificates.cross_check", "certificates.certifier"),
    ("auditing",),
    ("run", "certificates.certifying"),
    ("suites",),
    ("reports",),
    ("ghostwriter",),
    ("cli_options", "cli_request", "cli_range", "cli_table", "cli_diagnose", "cli_certify", "cli_ghostwrite", "cli"),
    ("pytest_plugin",),
    ("__main__",),
)
FLOOR_OF = {name: level for level, names in enumerate(FLOORS) for name in names}


def sources() -> Iterator[tuple[str, Path]]:
    """(dotted name below stabkit, file) of every module that ships."""
    for top, prefix in (("stabkit", ""), ("reference", "reference"), ("suites", "suites"), ("reports", "reports")):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = [p for p in (prefix, *file.relative_to(ROOT / top).with_suffix("").parts) if p]
            yield ".".join(p for p in parts if p != "__init__"), file


def floor(module: str) -> int:
    """The floor of a dotted name below stabkit, by its longest listed prefix; the package itself is lowest."""
    parts = module.split(".") if module else []
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in FLOOR_OF:
            return FLOOR_OF[".".join(parts[:length])]
    return 0


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names below stabkit that a module imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "stabkit":
            base = node.module.removeprefix("stabkit").lstrip(".")
            for alias in node.names:
                yield f"{base}.{alias.name}".lstrip(".")
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("stabkit").lstrip(".") for a in node.names if a.name.startswith("stabkit"))


@pytest.mark.parametrize(("module", "file"), list(sources()), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_go_down_only(module: str, file: Path) -> None:
    for imported in imports(ast.parse(file.read_text())):
        assert floor(imported) <= floor(module), f"{module} imports {imported} from a higher floor"


def test_every_module_stands_on_a_floor() -> None:
    for module, _ in sources():
        assert not module or module.split(".")[0] in {n.split(".")[0] for n in FLOOR_OF}, module


def test_reports_never_reach_the_engine() -> None:
    allowed = ("finding.", "anatomy.", "certificates.certificate.", "reports.")  # plain data
    for module, file in sources():
        if module.startswith("reports"):
            assert all(f"{i}.".startswith(allowed) for i in imports(ast.parse(file.read_text()))), module


def test_every_package_is_listed_and_every_listed_one_exists() -> None:
    folders = {f"stabkit.{m}" if m else "stabkit" for m, f in sources() if f.name == "__init__.py"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders
    assert {v: k for k, v in PROJECT["tool"]["setuptools"]["package-dir"].items() if k != "stabkit"} == MAPPED


def test_files_and_functions_stay_below_their_ceilings() -> None:
    for _, file in sources():
        text = file.read_text()
        assert text.count("\n") <= 400, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                doc = ast.get_docstring(node, clean=False)
                body = (node.end_lineno or node.lineno) - node.lineno + 1 - (doc.count("\n") + 1 if doc else 0)
                assert body <= 50, f"{file}:{node.lineno} {node.name} has {body} lines"


def test_no_module_is_named_like_a_standard_one_or_like_nothing() -> None:
    vague = {"utils", "helpers", "common", "core", "misc"}
    for module, _ in sources():
        last = module.rpartition(".")[2]
        assert last not in vague
        assert last not in sys.stdlib_module_names or last == "__main__", module


def test_public_functions_and_classes_say_what_they_are() -> None:
    for _, file in sources():
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree), file
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{file}:{node.lineno} {node.name}"


def test_help_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom stabkit.cli import main\n"
        "for words in (['--help'], ['audit', '--help'], ['table', '--help']):\n"
        "    assert CliRunner().invoke(main, words).exit_code == 0\n"
        "print([m for m in ('torch', 'matplotlib', 'pandas', 'pytest', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
