"""The runtime stands alone: NumPy, and no compiler."""

import ast
import subprocess
import sys
from pathlib import Path

import dmc_runtime

OPTIONAL = {"safetensors", "tqdm", "matplotlib"}


def test_only_numpy_is_imported_and_extras_only_inside_functions():
    for path in Path(dmc_runtime.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for nodes, allowed in ((top, set()), (list(ast.walk(tree)), OPTIONAL)):
            for node in nodes:
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                for name in names:
                    package = name.partition(".")[0]
                    known = {"numpy", "dmc_runtime", *allowed, *sys.stdlib_module_names}
                    assert package in known, f"{path.name} imports {name}"


def test_extras_load_late():
    program = (
        "import sys, dmc_runtime.train, dmc_runtime.buffers; "
        "print(sorted({'safetensors', 'tqdm', 'matplotlib', 'dmc'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout == "[]\n"
