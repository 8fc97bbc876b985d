"""Check the budgets that keep the code readable.

- a file has at most 400 lines, a function at most 50;
- a class has at most 12 attributes: more means that a part is missing its name;
- a class name is defined once in the package: one name means one thing;
- no circle of files: if A imports B, B reaches A by no chain of imports;
- the core stays small enough to be read in a day;
- no test module is a library: what tests share is in a module without tests.

Attributes are what a class assigns to `self`, its `__slots__`, and the fields of a record that can
change. A frozen record is a value, not state, and is not counted; neither are config sections,
whose fields are the config's keys.

An exemption stands in EXEMPT with its reason.
"""

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_ATTRIBUTES = 12
SUFFIXES = (".py", ".js", ".css")
FOLDERS = ("llmproxy", "tools", "bench", "tests")
PACKAGE = Path("llmproxy")
# What serves calls, and imports nothing else of the package (pyproject.toml, tests/core).
CORE = (
    *("aio", "app", "calls", "config", "errors", "events", "gateway", "operations", "pipeline"),
    *("protocols", "providers", "record", "routing", "rules", "runtime", "server", "serving"),
    *("steps", "streams", "upstream"),
)
MAX_CORE_LINES = 12_000  # without blank lines: what can be read in a day
VALUE_BASES = {"BaseModel", "Section", "Protocol", "Enum", "StrEnum", "IntEnum", "NamedTuple"}

# "path", "path::function", "path::Class" or the name of a class -> why the rule does not hold
EXEMPT: dict[str, str] = {}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements inside a node at any depth: far fewer than ast.walk's nodes."""
    for part in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, part, ()):
            yield child
            yield from statements(child)


def too_many_lines(path: Path, text: str) -> Iterator[str]:
    """Yield the file if it is too long."""
    lines = text.count("\n")
    if lines > MAX_FILE_LINES and str(path) not in EXEMPT:
        yield f"{path}: {lines} lines, the budget is {MAX_FILE_LINES}"


def too_long(path: Path, tree: ast.Module) -> Iterator[str]:
    """Yield the functions of a file that are too long."""
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES and f"{path}::{node.name}" not in EXEMPT:
                yield (
                    f"{path}:{node.lineno}: {node.name} has {length} lines, "
                    f"the budget is {MAX_FUNCTION_LINES}"
                )


def attributes_of(node: ast.ClassDef) -> set[str]:
    """Return the names of the state that a class keeps."""
    names: set[str] = set()
    bases = {
        base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
        for base in node.bases
    }
    is_struct = "Struct" in bases or any("dataclass" in ast.unparse(d) for d in node.decorator_list)
    frozen = any(
        keyword.arg == "frozen" and ast.unparse(keyword.value) == "True"
        for keyword in [
            *node.keywords,
            *(key for d in node.decorator_list if isinstance(d, ast.Call) for key in d.keywords),
        ]
    )
    if is_struct and not frozen and not bases & VALUE_BASES:
        names |= {
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
    for item in node.body:
        if isinstance(item, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__slots__" for target in item.targets
        ):
            names |= set(ast.literal_eval(item.value))
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            names |= {
                target.attr
                for target in ast.walk(item)
                if isinstance(target, ast.Attribute)
                and isinstance(target.ctx, ast.Store)
                and isinstance(target.value, ast.Name)
                and target.value.id == "self"
            }
    return names


def too_much_state(path: Path, tree: ast.Module) -> Iterator[str]:
    """Yield the classes that keep too many attributes."""
    for node in statements(tree):
        if not isinstance(node, ast.ClassDef) or f"{path}::{node.name}" in EXEMPT:
            continue
        count = len(attributes_of(node))
        if count > MAX_ATTRIBUTES:
            yield (
                f"{path}:{node.lineno}: {node.name} has {count} attributes, "
                f"the budget is {MAX_ATTRIBUTES}"
            )


def named_twice(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Yield the class names that are defined more than once."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees.items():
        for node in statements(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    for name, found in sorted(places.items()):
        if len(found) > 1 and name not in EXEMPT:
            yield f"{name} is defined more than once: {', '.join(found)}"


def imports_of(path: Path, tree: ast.Module, modules: dict[str, Path]) -> set[Path]:
    """Return the files of the package that a file imports, type-checking imports included."""
    found = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found |= {modules[alias.name] for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                target = modules.get(submodule) or modules.get(node.module)
                if target:
                    found.add(target)
    return found - {path}


def circles(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """Yield each circle of imports once, found by a depth-first walk."""
    modules = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in trees
    }
    graph = {path: sorted(imports_of(path, tree, modules)) for path, tree in trees.items()}
    done: set[Path] = set()

    def walk(path: Path, above: list[Path]) -> Iterator[str]:
        if path in above:
            circle = [*above[above.index(path) :], path]
            if str(path) not in EXEMPT:
                yield "a circle of imports: " + " -> ".join(str(file) for file in circle)
            return
        if path in done:
            return
        for target in graph[path]:
            yield from walk(target, [*above, path])
        done.add(path)

    for path in graph:
        yield from walk(path, [])


def core_lines(texts: dict[Path, str]) -> int:
    """Return the number of lines of Python in the core, without the blank ones."""
    return sum(
        bool(line.strip())
        for path, text in texts.items()
        if path.suffix == ".py"
        and path.is_relative_to(PACKAGE)
        and path.relative_to(PACKAGE).parts[0].removesuffix(".py") in CORE
        for line in text.splitlines()
    )


def core_is_another_list() -> Iterator[str]:
    """Yield a problem if the import contract names other packages than CORE."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    for contract in project["tool"]["importlinter"]["contracts"]:
        if contract["name"] == "The core imports no battery":
            named = {module.removeprefix("llmproxy.") for module in contract["source_modules"]}
            if named != set(CORE):
                yield f"pyproject.toml and CORE differ: {', '.join(sorted(named ^ set(CORE)))}"
            return
    yield "pyproject.toml has no contract for the core"


def imported_tests(path: Path, tree: ast.Module) -> Iterator[str]:
    """Yield the imports of test modules. What tests share belongs in tests/support."""
    for node in statements(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            names = [prefix + alias.name for alias in node.names]
            for name in names:
                if any(part.startswith("test_") for part in name.split(".")):
                    yield f"{path}:{node.lineno}: imports {name}; a test module is no library"


def main() -> int:
    texts = {
        path: path.read_text(encoding="utf-8")
        for folder in FOLDERS
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in SUFFIXES and "work" not in path.parts
    }
    trees = {path: ast.parse(text) for path, text in texts.items() if path.suffix == ".py"}
    package = {path: tree for path, tree in trees.items() if path.is_relative_to(PACKAGE)}
    problems = [problem for path, text in texts.items() for problem in too_many_lines(path, text)]
    for path, tree in trees.items():
        problems += too_long(path, tree)
    for path, tree in package.items():
        problems += too_much_state(path, tree)
    problems += named_twice(package)
    problems += circles(package)
    problems += core_is_another_list()
    for path, tree in trees.items():
        problems += imported_tests(path, tree)
    lines = core_lines(texts)
    if lines > MAX_CORE_LINES:
        problems.append(f"the core has {lines:,} lines, the budget is {MAX_CORE_LINES:,}")
    print("\n".join(problems) or f"Budgets kept: {len(texts)} files.")
    print(f"The core has {lines:,} lines of Python, of {MAX_CORE_LINES:,}.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
