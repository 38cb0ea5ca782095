"""The audit as a library: frameworks, exceptions, chance, the report."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reparam.errors import DataError, VerificationError
from reparam.verification import verify
from reparam.verification.checks import CHECKS
from reparam.verification.randomness import FALSE_ALARM_RATE, LEVEL, MAXIMUM_COMPARISONS, fixed_noise


def kl(mean, raw):
    return 0.5 * np.sum(mean**2 + np.exp(raw) - 1 - raw, axis=1)


def statuses(report):
    return {finding.check: finding.status for finding in report.findings}


def test_checks_whose_callables_are_missing_are_skipped_with_the_reason():
    report = verify(SimpleNamespace(kl=kl))
    assert report["bound-log-mean-exp"].status == "skipped"
    assert report["bound-log-mean-exp"].measured == "the file defines no bound"
    assert report["kl-matches-sampler"].status == "pass"


def test_nothing_to_audit_is_a_data_error():
    with pytest.raises(DataError, match="defines none of sample, kl"):
        verify(SimpleNamespace(encode=kl))


def test_raise_if_failed_tells_every_failure():
    report = verify(SimpleNamespace(kl=lambda mean, raw: 2 * kl(mean, raw)))
    with pytest.raises(VerificationError, match="kl-matches-sampler: kl returns 2 times the KL: effective β 2"):
        report.raise_if_failed()
    verify(SimpleNamespace(kl=kl)).raise_if_failed()


def test_an_exception_is_told_once_with_its_line_and_then_referred_to():
    def broken(mean, raw):
        raise KeyError("log_var")

    report = verify(SimpleNamespace(kl=broken))
    (failure,) = [finding for finding in report.findings if finding.status == "unusable"]
    line = broken.__code__.co_firstlineno + 1
    assert failure.check == "kl-sums-over-latents"
    assert failure.measured == f"kl raised KeyError: 'log_var' (line {line})"
    assert report["kl-matches-sampler"].measured == "kl could not be used: see kl-sums-over-latents"


@pytest.mark.parametrize("value", [None, "0.5", np.array(["a"])])
def test_values_that_are_no_arrays_are_told(value):
    report = verify(SimpleNamespace(kl=lambda mean, raw: value))
    (finding,) = [finding for finding in report.findings if finding.status == "unusable"]
    assert "kl returned a" in finding.measured
    with pytest.raises(VerificationError, match="kl returned a"):
        report.raise_if_failed()


def test_infinite_numbers_are_answered_not_raised():
    report = verify(SimpleNamespace(kl=lambda mean, raw: np.full(len(mean), np.nan), loss=lambda *_: np.inf))
    assert "finite-at-extremes" in {finding.check for finding in report.failures}
    assert report.exit_code == 1


def test_random_comparisons_are_counted_and_within_the_rate():
    def sample(mean, raw):
        return mean + np.exp(0.5 * raw) * np.random.default_rng().standard_normal(mean.shape)

    report = verify(SimpleNamespace(sample=sample, kl=kl))
    assert report.passed
    assert 0 < report.comparisons <= MAXIMUM_COMPARISONS
    assert report.false_alarm_rate == report.comparisons * LEVEL <= FALSE_ALARM_RATE


def test_noise_handed_over_leaves_nothing_to_chance():
    report = verify(SimpleNamespace(sample=lambda mean, raw, eps: mean + np.exp(0.5 * raw) * eps, kl=kl))
    assert (report.comparisons, report.false_alarm_rate) == (0, 0.0)


def test_the_same_audit_gives_the_same_report():
    namespace = SimpleNamespace(sample=lambda mean, raw: mean + np.exp(raw) * np.random.randn(*mean.shape), kl=kl)
    assert verify(namespace) == verify(namespace)


def test_generators_are_left_as_they_were():
    generator = np.random.default_rng(1)
    namespace = {"generator": generator}
    before, numpy_state = generator.bit_generator.state, np.random.get_state()[1].copy()
    with fixed_noise([namespace]):
        first = generator.standard_normal(), np.random.randn()
    with fixed_noise([namespace]):
        second = generator.standard_normal(), np.random.randn()
    assert first == second
    assert generator.bit_generator.state == before
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_random_states_that_objects_hold_are_left_as_they_were():
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    streams = nnx.Rngs(0)
    streams.default()
    with fixed_noise([{"streams": streams}]):
        first = streams.default()
    with fixed_noise([{"streams": streams}]):
        assert streams.default() == first
    assert int(streams.default.count.value) == 1


def test_tensorflow_s_seed_is_left_as_it_was():
    tensorflow = pytest.importorskip("tensorflow", reason="tensorflow is not installed")
    tensorflow.random.set_seed(3)
    _, expected = float(tensorflow.random.normal(())), float(tensorflow.random.normal(()))
    tensorflow.random.set_seed(3)
    tensorflow.random.normal(())
    with fixed_noise([]):
        tensorflow.random.normal(())
    assert float(tensorflow.random.normal(())) == expected


def test_a_module_level_generator_can_be_repeated():
    module = types.ModuleType("vae")
    exec(
        "import numpy as np\nrng = np.random.default_rng()\n"
        "def sample(mean, raw): return mean + np.exp(0.5 * raw) * rng.standard_normal(mean.shape)\n",
        module.__dict__,
    )
    report = verify(module)
    assert report["gradient-reaches-encoder"].measured.startswith("dz/dmean = 1, dz/draw = σ′(raw)·ε by differences")


def test_arrays_of_a_framework_are_tried_in_turn(monkeypatch):
    class Tensor:
        """Just enough of TensorFlow's eager tensor."""

        def __init__(self, values):
            self.values = np.asarray(values)

        def numpy(self):
            return self.values

        def apply(self, function):
            return Tensor(function(self.values))

    tensorflow = types.ModuleType("tensorflow")
    tensorflow.convert_to_tensor = Tensor
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)

    def tensor_kl(mean, raw):
        return Tensor(kl(mean.numpy(), raw.apply(np.copy).numpy()))

    report = verify(SimpleNamespace(kl=tensor_kl))
    assert report.passed
    assert report.notes == ("kl refused numpy arrays and was given tensorflow ones",)
    declared = verify(SimpleNamespace(kl=tensor_kl, FRAMEWORK="tensorflow"))
    assert declared.passed
    assert declared.notes == ()


def test_single_precision_is_used_where_double_is_refused():
    def picky(mean, raw):
        if mean.dtype != np.float32:
            raise TypeError("single precision only")
        return kl(mean, raw)

    assert statuses(verify(SimpleNamespace(kl=picky)))["kl-matches-sampler"] == "pass"


def test_sizes_follow_the_declarations():
    seen = set()

    def reconstruction_loss(x, decoded):
        seen.add(x.shape[1])
        return np.sum((x - decoded) ** 2, axis=1)

    def wide_kl(mean, raw):
        seen.add(mean.shape[1])
        return kl(mean, raw)

    data = lambda: np.zeros((3, 4, 5))  # noqa: E731
    verify(SimpleNamespace(kl=wide_kl, reconstruction_loss=reconstruction_loss, LATENT_DIM=7, DATA=data))
    assert seen == {7, 14, 20, 40}


def test_data_that_cannot_be_had_is_a_failure_of_its_own():
    def data():
        raise FileNotFoundError("mnist.npz")

    report = verify(SimpleNamespace(kl=kl, DATA=data, LIKELIHOOD="bernoulli"))
    (failure,) = [finding for finding in report.findings if finding.status == "unusable"]
    assert failure.check == "likelihood-support"
    assert "FileNotFoundError: mnist.npz" in failure.measured


def test_implied_noise_and_effective_beta_are_told_in_numbers():
    report = verify(
        SimpleNamespace(
            kl=lambda mean, raw: kl(mean, raw).mean() / mean.shape[1],
            reconstruction_loss=lambda x, decoded: 2.0 * ((x - decoded) ** 2).sum(axis=1).mean(),
        )
    )
    assert "with D = 4 an effective β of 0.25" in report["kl-sums-over-latents"].measured
    assert "implied σ_x 0.5" in report["reconstruction-sums-over-features"].measured


BETA_TERMS = """
import numpy as np
BETA = 1.0
def kl(mean, raw): return 0.5 * np.sum(mean**2 + np.exp(raw) - 1 - raw, axis=1)
def reconstruction_loss(x, decoded): return np.sum((x - decoded) ** 2, axis=1)
"""


@pytest.mark.parametrize(
    ("signature", "loss", "failures"),
    [
        ("", "reconstruction_loss(x, decoded) + BETA * kl(mean, raw)", []),
        (", beta=1.0", "reconstruction_loss(x, decoded) + beta * kl(mean, raw)", []),
        ("", "reconstruction_loss(x, decoded) + kl(mean, raw)", []),
        ("", "BETA * (reconstruction_loss(x, decoded) + kl(mean, raw))", ["beta-effective"]),
        (", beta=1.0", "beta * reconstruction_loss(x, decoded) + kl(mean, raw)", ["beta-effective"]),
    ],
)
def test_the_slope_in_beta_shows_a_beta_in_the_wrong_place(signature, loss, failures):
    module = types.ModuleType("vae")
    exec(f"{BETA_TERMS}\ndef loss(x, mean, raw, decoded{signature}): return np.mean({loss})\n", module.__dict__)
    assert [finding.check for finding in verify(module).failures] == failures
    assert module.BETA == 1.0


def test_a_class_of_plain_functions_is_a_namespace():
    class VAE:
        def kl(mean, raw):  # noqa: N805
            return kl(mean, raw)

    assert verify(VAE).passed


def test_a_wrapper_that_hides_the_parameters_is_seen_through():
    def wrapped(function):
        def wrapper(*arguments):
            return function(*arguments)

        return wrapper

    given = SimpleNamespace(sample=wrapped(lambda mean, raw, eps: mean + np.exp(0.5 * raw) * eps), kl=kl)
    own = SimpleNamespace(
        sample=wrapped(lambda mean, raw: mean + np.exp(0.5 * raw) * np.random.randn(*mean.shape)), kl=kl
    )
    assert (verify(given).passed, verify(given).comparisons) == (True, 0)
    assert verify(own).passed
    assert verify(own).comparisons > 0


def test_every_check_is_told_in_the_docs_and_shown_by_the_gallery():
    here = Path(__file__).parent
    docs = (here.parents[1] / "docs" / "verify.md").read_text(encoding="utf-8")
    broken = "".join(path.read_text(encoding="utf-8") for path in (here / "gallery").glob("broken_*.py"))
    assert [check.name for check in CHECKS if f"| `{check.name}` |" not in docs] == []
    assert [check.name for check in CHECKS if f'"{check.name}"' not in broken] == []
