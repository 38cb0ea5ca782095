"""A file's definitions without its training script.

Imports, functions, classes, and assignments of literals and cheap calls are definitions. Whatever loops, trains, loads,
downloads or parses arguments is the script; it stays unrun, and single assignments of it are run when a function that
is audited turns out to need their names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

SCRIPT = re.compile(
    r"^(fit\w*|train\w*|test|evaluate|main|run|load\w*|read\w*|get_data\w*|download\w*|parse_args|parse_known_args"
    r"|DataLoader|MNIST|FashionMNIST|CIFAR\w*|CelebA|ImageFolder|ImageDataGenerator|backward|step|save\w*|show|imshow"
    r"|savefig|compile|summary|add_loss|add_argument|input|Trainer|subplots|figure|plot|urlretrieve|urlopen|open|exit_on"
    r"|next|predict|makedirs|mkdir|system|Popen|log_dir|SummaryWriter|init_process_group)$"
)
"""Calls that belong to a script: they read, train, plot or ask."""

CHEAP = re.compile(
    r"^(torch\.(device|tensor|distributions|float|manual_seed)|np\.|numpy\.|math\.|jnp\.|jax\.(jit|vmap|numpy)|eqx\.|nnx\.jit"
    r"|functools\.|partial|namedtuple|collections\.|TypeVar|NewType|NamedTuple|float|int|str|len|tuple|list|dict|set|range"
    r"|min|max|sum|abs|round|bool|Path|pathlib\.|os\.path\.|os\.environ|logging\.|logger\.|vmap|jit|typing\.|print|sys\.exit"
    r"|warnings\.|tf\.constant|register)"
)
Statement = ast.stmt


def has_script(tree: ast.Module) -> bool:
    """Whether running the whole file would do more than define."""
    return any(_is_script(statement) for statement in tree.body)


def definitions(tree: ast.Module) -> Iterator[Statement]:
    """The statements that only define, in order."""
    for statement in tree.body:
        if isinstance(statement, ast.If | ast.Try) and not _is_main(statement):
            yield from _guarded(statement)
        elif _defines(statement):
            yield statement


def makers(tree: ast.Module) -> dict[str, list[Statement]]:
    r"""Name → the top-level statements that make it, in order: assignments of it and its attributes, and its set-up.

    >>> found = makers(ast.parse("p = Parser()\np.add_argument('--n')\na = p.parse_args()\na.n = 3\np.train()"))
    >>> {name: [ast.unparse(statement) for statement in made] for name, made in found.items()}
    {'p': ['p = Parser()', "p.add_argument('--n')"], 'a': ['a = p.parse_args()', 'a.n = 3']}
    """
    found: dict[str, list[Statement]] = {}
    for statement in _flat(tree.body):
        for name in dict.fromkeys(_made(statement)):
            found.setdefault(name, []).append(statement)
    return found


def _made(statement: Statement) -> Iterator[str]:
    """The names that a statement binds or changes."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        if isinstance(owner, ast.Name) and (_called(call) == "add_argument" or not SCRIPT.match(_called(call))):
            yield owner.id


def _flat(body: list[Statement]) -> Iterator[Statement]:
    for statement in body:
        if isinstance(statement, ast.If) and _is_main(statement):
            yield from _flat(statement.body)
        yield statement


def _guarded(statement: ast.If | ast.Try) -> Iterator[Statement]:
    """A guarded import or definition is kept whole unless a script hides in it; then its parts are."""
    if not _is_script(statement):
        yield statement
        return
    for part in statement.body:
        if _defines(part):
            yield part


def _defines(statement: Statement) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
        return all(CHEAP.match(ast.unparse(call.func)) for call in _calls(statement)) and not _is_script(statement)
    return False


def _is_script(statement: Statement) -> bool:
    if isinstance(statement, ast.For | ast.While | ast.With | ast.AsyncFor | ast.AsyncWith):
        return True
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or _is_main(statement):
        return False
    return any(SCRIPT.match(_called(call)) for call in _calls(statement))


def _is_main(statement: Statement) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


def _calls(statement: Statement) -> list[ast.Call]:
    return [node for node in ast.walk(statement) if isinstance(node, ast.Call)]


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
