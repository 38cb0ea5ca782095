"""What is compiled and what is imported: neither may grow unseen, for on small tables a user waits for nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import monitoring
from sklearn.model_selection import GridSearchCV

import reparam
from reparam.estimator.configuration import Configuration, root_key
from reparam.networks import HIDDEN, NARROW

ROWS = np.random.default_rng(0).normal(size=(60, 4))
OF_A_FIT = {
    "beta of the objective": 1,
    "noise of the likelihood": 2,
    "keys": 3,  # of a purpose, of an epoch, of judging
    "the first state": 1,
    "an epoch": 1,
    "judging": 1,
    "one copy": 1,
}


@pytest.fixture
def compiled() -> Iterator[Callable[[], int]]:
    """How many programs were built or fetched since the last call."""
    counted = [0]

    def count(event: str, _: float, **__: object) -> None:
        counted[0] += event == "/jax/core/compile/backend_compile_duration"

    def since() -> int:
        found, counted[0] = counted[0], 0
        return found

    monitoring.register_event_duration_secs_listener(count)
    yield since
    monitoring.unregister_event_duration_listener(count)


def small(**settings) -> reparam.VAE:
    return reparam.VAE(**{"latent_dim": 2, "hidden": (3,), "patience": 1, **settings})


def test_a_default_fit_compiles_few_programs_and_the_next_one_none(compiled):
    jax.clear_caches()
    kept = [line["kept"] for line in small().fit(ROWS).history_]
    assert compiled() == sum(OF_A_FIT.values()) - (not any(kept))  # one copy is taken of weights that gained
    for settings in ({"random_state": 7}, {"learning_rate": 1e-3}, {"patience": 2}, {"warmup": "none", "beta": 1.0}):
        small(**settings).fit(1.0 - 2.0 * ROWS)
    assert compiled() == 0


def test_a_search_over_beta_rate_seed_and_epochs_compiles_once(compiled):
    def search(**grid: list[float]) -> None:
        GridSearchCV(small(epochs=1), grid, cv=2, error_score="raise").fit(ROWS)

    search(beta=[1.0])
    assert 0 < compiled() < 40
    search(beta=[0.5, 2.0], learning_rate=[1e-3, 1e-2], random_state=[1, 2], epochs=[1, 2])
    assert compiled() == 0


def test_a_sample_compiles_few_programs(compiled):
    vae = small(epochs=1).fit(ROWS)
    compiled()
    vae.sample(5)
    assert compiled() <= 4  # two to split a key, the draws, their centres
    vae.sample(5, temperature=0.5, random_state=3)
    assert compiled() == 0


def test_a_key_is_the_same_made_in_one_program_or_step_by_step():
    for words in ((0,), (7,), (2**32 - 1,), (5, 6), (1, 0, 2**31)):
        seed = sum(word << 32 * place for place, word in enumerate(words))
        steps = reduce(jax.random.fold_in, words[1:], jax.random.key(words[0]))
        assert root_key(seed) == steps
        assert Configuration(random_state=seed).key("training") == jax.random.fold_in(steps, 1)


def test_widths_go_by_the_rows_unless_they_are_said():
    begun = reparam.VAE(epochs=1).fit
    assert begun(ROWS).fitted_.configuration.hidden == NARROW
    assert reparam.VAE(epochs=1, hidden=(5,)).fit(ROWS).fitted_.configuration.hidden == (5,)
    many = np.random.default_rng(1).normal(size=(1001, 2))
    assert reparam.VAE(epochs=1, latent_dim=1).fit(many).fitted_.configuration.hidden == HIDDEN


def imported(code: str) -> set[str]:
    """Of what takes long to import, what a process has imported."""
    asked = "numpy jax sklearn scipy.stats scipy.optimize pandas flowjax matplotlib"
    told = f"import sys\n{code}\nprint(*[name for name in {asked.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_file_that_is_not_there_is_told_before_anything_is_imported(tmp_path: Path):
    main = "import contextlib\nfrom reparam.cli import main\nwith contextlib.suppress(SystemExit):\n    main({})"
    run = str(tmp_path / "run")
    for arguments in (["train", "none.csv", "--out", run], ["sample", run, "-o", "rows.csv"], ["evaluate", run]):
        assert imported(main.format(arguments)) == set()


def test_a_run_is_opened_without_scikit_learn_and_flows():
    assert imported("import reparam.estimator.keeping") == {"numpy", "jax"}
