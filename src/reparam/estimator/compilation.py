"""Compiled programs, kept in the user's cache folder: a second process with the same shapes compiles nothing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
from jax.experimental.compilation_cache import compilation_cache

QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
SETTINGS = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")

P = ParamSpec("P")
T = TypeVar("T")


def keep_compiled() -> Path | None:
    """Let JAX keep the programs that it compiles, and give the folder; it may be deleted at any time.

    Whoever has told JAX of a folder, or that there is to be none, is left alone; ``JAX_ENABLE_COMPILATION_CACHE=0``
    tells it so. Where no folder can be written, nothing is kept.
    """
    told = any(name in os.environ for name in SETTINGS)
    if told or jax.config.values["jax_compilation_cache_dir"] or not jax.config.values["jax_enable_compilation_cache"]:
        return None
    folder = cache_folder(os.environ, sys.platform) / f"compiled-{_machine()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    compilation_cache.reset_cache()  # JAX looks for a folder at its first program, and never again
    return folder


def once(function: Callable[P, T]) -> Callable[P, T]:
    """Compiled to be run once: on a CPU that takes a sixth of the time, and the program is slower.

    >>> once(lambda x: 2 * x)(jax.numpy.ones(()))
    Array(2., dtype=float32)
    """
    jit: Any = eqx.filter_jit  # whose types leave out what it hands on to jax.jit

    @cache
    def compiled(platform: str) -> Callable[P, T]:
        made: Callable[P, T] = jit(function, compiler_options=QUICKLY if platform == "cpu" else None)
        return made

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return compiled(jax.default_backend())(*args, **kwargs)

    return run


def cache_folder(environment: Mapping[str, str], system: str) -> Path:
    """Where a user's caches are, by the custom of the system.

    >>> cache_folder({"XDG_CACHE_HOME": "/caches"}, "linux").as_posix()
    '/caches/reparam'
    """
    home = Path(os.path.expanduser("~"))
    if system == "darwin":
        base = home / "Library" / "Caches"
    elif system == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "reparam"


def _machine() -> str:
    """What programs are compiled for: a home folder may be shared by machines that differ."""
    processor = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass
    known = (jax.__version__, platform.machine(), processor, os.environ.get("XLA_FLAGS", ""))
    return sha256("\n".join(known).encode()).hexdigest()[:16]
