"""Check the size budget: no file over 400 lines, no function over 50 (counted in
Python only).

It serves readability. An exemption stands in EXEMPT with its reason.
"""

import ast
import sys
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
SUFFIXES = (".py", ".js", ".css")
FOLDERS = ("llmproxy", "tools", "bench", "tests")

# "path" or "path::function" -> why it may be longer
EXEMPT: dict[str, str] = {}


def too_long(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    found = []
    lines = text.count("\n")
    if lines > MAX_FILE_LINES and str(path) not in EXEMPT:
        found.append(f"{path}: {lines} lines, the budget is {MAX_FILE_LINES}")
    if path.suffix != ".py":
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES and f"{path}::{node.name}" not in EXEMPT:
                found.append(
                    f"{path}:{node.lineno}: {node.name} has {length} lines, "
                    f"the budget is {MAX_FUNCTION_LINES}"
                )
    return found


def main() -> int:
    files = [
        path
        for folder in FOLDERS
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in SUFFIXES
    ]
    problems = [problem for path in files for problem in too_long(path)]
    print("\n".join(problems) or f"Size budget kept: {len(files)} files.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
