"""Who may import whom, read from the source itself: imports at the top and inside functions alike.

A reader who knows these rules knows where a line may live: what reads a file cannot depend on what trains on it.
"""
import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What each package may import besides itself and `config`, which imports nothing of the project.
MAY_IMPORT = {
    "config": set(),
    "utils.io": set(),
    "utils.device": set(),
    "utils.mesh": {"utils.io"},
    "utils.rendering": {"utils.mesh", "utils.io"},
    "utils.views": {"utils.multiview", "utils.rendering", "utils.io"},  # calibration asks what hull the silhouettes leave
    "utils.multiview": {"utils.rendering", "utils.mesh"},
    "utils.training_data": {"utils.views", "utils.multiview", "utils.rendering", "utils.mesh", "utils.io"},
    "utils.training": {"utils.io", "utils.device"},
    "utils.evaluation": {"utils.photograph_dataset", "utils.training_data", "utils.multiview", "utils.views",
                         "utils.rendering", "utils.mesh", "utils.io"},
    "utils.output": {"utils.evaluation", "utils.views", "utils.rendering", "utils.mesh", "utils.io"},
    "utils.prepare_dataset": {"utils.rendering", "utils.mesh", "utils.io"},
    "utils.compare_runs": {"utils.training", "utils.io"},
    "utils.rename_to_IDs": {"utils.prepare_dataset", "utils.views", "utils.mesh", "utils.io"},
    "utils.photograph_dataset": {"utils.prepare_dataset", "utils.training_data", "utils.rendering", "utils.mesh",
                                 "utils.io"},
    "models": {"utils.mesh", "utils.rendering", "utils.io", "utils.device"},
    "load_data": {"utils.training_data", "utils.multiview", "utils.views", "utils.rendering", "utils.mesh", "utils.io"},
}
ALL_UTILS = {name for name in MAY_IMPORT if name.startswith("utils.")}
# Scripts may use everything below them, but not each other; training meets inference in the checkpoint alone.
SCRIPTS = {"train_geometry": set(), "train_field": set(), "train_texture": set(), "inference": set(),
           "evaluate": {"inference"}, "app": {"inference"}}
MAY_IMPORT |= {name: ALL_UTILS | {"models", "load_data"} | others for name, others in SCRIPTS.items()}
MAY_IMPORT["benchmarks"] = set(MAY_IMPORT)
# Files without a test file of their own: {module: the test file that imports it, or what uses it}.
TESTED_IN = {
    "utils.io.object_files": "tests/evaluation/test_make_split.py",
    "utils.mesh.textured_mesh": "tests/test_evaluate.py",
    "utils.training_data.object_cache": "tests/models/test_encoder.py",
    "utils.training_data.loader": "tests/test_load_data.py",
    "utils.training_data.splits": "tests/test_load_data.py",
    "utils.training_data.synthetic.containers": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.figures": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.footwear": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.furniture": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.primitives": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.vehicles": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.solids": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.textures": "tests/training_data/synthetic/test_shapes.py",
    "utils.training_data.synthetic.vessels": "tests/training_data/synthetic/test_shapes.py",
    "models.loading": "tests/models/test_geometry_model.py",
    "utils.mesh.mesh": "tests/mesh/test_mesh_io.py",
    "utils.mesh.mesh_repair": "tests/multiview/test_field_cleanup.py",
    "utils.mesh.smoothing": "tests/multiview/test_field_cleanup.py",
    "utils.training.best_checkpoint": "tests/training/test_loop.py",
    "utils.training.run_log": "tests/training/test_loop.py",
    "utils.training_data.synthetic.shoe_textures": "tests/training_data/synthetic/test_shoes.py",
    "utils.evaluation.contact_sheet": "tests/test_evaluate.py",
    "utils.evaluation.near_duplicates": "tests/test_evaluate.py",
    "utils.evaluation.protocol": "tests/test_evaluate.py",
    "utils.evaluation.selection": "tests/test_evaluate.py",
    "utils.evaluation.plots": "tests/test_evaluate.py",
    "utils.evaluation.report": "tests/test_evaluate.py",
    "utils.evaluation.cross_validation": "tests/test_evaluate.py",
}
# Test files of several modules at once: {path: what of}
OF_SEVERAL = {"tests/mesh/test_mesh_fuzz.py": "damaged files of every format that read_mesh knows"}


parsed = functools.cache(ast.parse)  # several tests read the same files


@functools.cache
def imports_in(source):
    """The import statements of a source, wherever in it they stand."""
    return [node for node in ast.walk(parsed(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]


def bare_functions(root):
    """Public functions and methods below a folder that leave a parameter or the result unannotated: list of str."""
    found = []
    for module, path in sorted(source_files(root).items()):
        if module.startswith("benchmarks"):
            continue
        body = parsed(path.read_text(encoding="utf-8")).body
        functions = [("", node) for node in body]
        functions += [(f"{node.name}.", inner) for node in body if isinstance(node, ast.ClassDef)
                      and not node.name.startswith("_") for inner in node.body]
        for owner, node in functions:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_private(node.name):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, node.args.vararg, *node.args.kwonlyargs, node.args.kwarg]
            static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in node.decorator_list)
            arguments = list(filter(None, arguments[1:] if owner and not static else arguments))
            bare = [argument.arg for argument in arguments if argument.annotation is None]
            if bare or node.returns is None:
                found.append(f"{module}.{owner}{node.name}: {', '.join(bare) or 'its result'}")
    return found


def _is_private(name):
    """Whether a name begins with one underscore; `__init__` and its like are part of a class's interface."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def source_files(root):
    """{module name: Path} of the project's own modules below a folder, its tests left out."""
    paths = [*root.glob("*.py"), *(path for folder in ("utils", "models", "benchmarks")
                                   for path in (root / folder).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in paths}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def imported_modules(path, known):
    """The modules among `known` that a file imports, wherever in it the import stands."""
    wanted = set()
    for node in imports_in(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        else:
            assert not node.level, f"{path}: relative imports hide what is imported"
            wanted |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in wanted if name in known}


def package_of(module):
    """The name under which MAY_IMPORT knows a module: its package, or the module itself."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "utils" else parts[0]


def violations(root):
    """Imports that MAY_IMPORT does not allow: list of str."""
    files, found = source_files(root), []
    for module, path in sorted(files.items()):
        mine = package_of(module)
        for other in sorted(imported_modules(path, files) - {"utils", "models", "benchmarks"}):
            theirs = package_of(other)
            if theirs not in {mine, "config"} | MAY_IMPORT.get(mine, set()):
                found.append(f"{module} imports {other}")
    return found


def first_cycle(graph):
    """One cycle in a graph {name: set of names} as a list of names; [] if there is none."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name):] + [name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(graph.get(name, ())):
            cycle = visit(other)
            if cycle:
                return cycle
        done.add(path.pop())
        return []

    return next((cycle for name in sorted(graph) if (cycle := visit(name))), [])


def import_graph(root):
    """{module: modules it imports} of the project."""
    files = source_files(root)
    packages = {"utils", "models", "benchmarks"}
    return {module: imported_modules(path, files) - packages for module, path in files.items()}


def by_package(graph):
    """The same between packages, without a package's imports of itself."""
    packages = {}
    for module, others in graph.items():
        packages.setdefault(package_of(module), set()).update(map(package_of, others))
    return {name: others - {name} for name, others in packages.items()}


def test_every_import_follows_the_rules():
    assert violations(ROOT) == []


def test_every_package_has_a_rule():
    known = {package_of(module) for module in source_files(ROOT)} - {"utils"}
    assert known <= set(MAY_IMPORT), "say in MAY_IMPORT what a new package may import"


def test_no_file_and_no_package_imports_itself_through_others():
    graph = import_graph(ROOT)
    assert len(graph) > 50, "the files are found"
    assert first_cycle(graph) == []
    assert first_cycle(by_package(graph)) == []


def test_each_file_of_utils_and_models_has_a_test_file_of_its_name_or_is_tested_in_another():
    missing, graph = [], import_graph(ROOT)
    for module, path in source_files(ROOT).items():
        parts = module.split(".")
        if parts[0] not in ("utils", "models") or path.name == "__init__.py":
            continue
        folder = parts[1:-1] if parts[0] == "utils" else ["models"]
        if (ROOT / "tests").joinpath(*folder, f"test_{parts[-1]}.py").is_file():
            continue
        users = {module} | {other for other, wanted in graph.items() if module in wanted}
        if module not in TESTED_IN or not imported_modules(ROOT / TESTED_IN[module], users):
            missing.append(module)
    assert missing == []


def test_test_files_mirror_the_packages():
    files, strays = source_files(ROOT), []
    for path in (ROOT / "tests").glob("*/**/test_*.py"):
        subject = ".".join((*path.parent.relative_to(ROOT / "tests").parts, path.stem.removeprefix("test_")))
        if not {subject, f"utils.{subject}"} & files.keys():
            strays.append(str(path.relative_to(ROOT)))
    assert sorted(strays) == sorted(OF_SEVERAL)


def test_every_public_function_states_the_types_of_its_parameters_and_of_its_result():
    assert bare_functions(ROOT) == []


@pytest.mark.parametrize("script", ["train_geometry", "train_field", "train_texture"])
def test_a_training_loop_is_read_from_top_to_bottom_without_much_scrolling(script):
    body = ast.parse((ROOT / f"{script}.py").read_text(encoding="utf-8")).body
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in body if isinstance(node, ast.FunctionDef)}
    assert max(lengths["train"], lengths["train_on"]) <= 90


# ---- The rules themselves notice what breaks them


@pytest.mark.parametrize("path, line", [
    ("utils/io/files.py", "from utils.mesh.mesh import Mesh"),
    ("utils/mesh/mesh.py", "def late():\n    import models.losses"),
    ("utils/evaluation/report.py", "def late():\n    from load_data import find_objects"),
    ("models/losses.py", "from utils.multiview.visual_hull import hull_box"),
    ("inference.py", "import train_geometry"),
    ("train_texture.py", "from train_geometry import train"),
    ("config.py", "from utils import device"),
])
def test_an_import_against_the_rules_is_found(tmp_path, path, line):
    for name in ("config", "load_data", "train_geometry", "train_texture", "inference", "models/losses",
                 "utils/device", "utils/io/files", "utils/mesh/mesh", "utils/evaluation/report",
                 "utils/multiview/visual_hull"):
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("import config\n" if name != "config" else "")
    assert violations(tmp_path) == []
    (tmp_path / path).write_text(line + "\n")
    assert len(violations(tmp_path)) == 1


@pytest.mark.parametrize("source, found", [
    ("def f(x: int) -> int: ...", []), ("def f(x: int): ...", ["its result"]), ("def f(x) -> int: ...", ["x"]),
    ("def f(*, y=1) -> int: ...", ["y"]), ("def f(*a, **b) -> int: ...", ["a, b"]), ("def _f(x): ...", []),
    ("class A:\n def f(self) -> int: ...", []), ("class A:\n def f(self, x) -> int: ...", ["x"]),
    ("class A:\n def __init__(self, x: int): ...", ["its result"]), ("class _A:\n def f(self, x): ...", []),
    ("class A:\n @staticmethod\n def f(x) -> int: ...", ["x"]), ("def f() -> int:\n def inner(x): ...", []),
])
def test_a_missing_type_hint_is_found(source, found, tmp_path):
    (tmp_path / "config.py").write_text(source)
    assert [line.split(": ")[1] for line in bare_functions(tmp_path)] == found


def test_a_cycle_is_found_and_named():
    assert first_cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert first_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
