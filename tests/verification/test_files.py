"""Files as they are: a training script, a notebook, a module of each framework, with nothing written for the audit."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from reparam.verification.audit import verify_loaded
from reparam.verification.loading import load

FILES = Path(__file__).parent / "gallery" / "files"
NEEDS = {
    "torch_script": "torch",
    "numpy_functions": "numpy",
    "equinox_module": "equinox",
    "equinox_batch": "equinox",
    "equinox_images": "equinox",
    "linen_module": "flax",
    "nnx_module": "flax",
    "haiku_module": "haiku",
    "tensorflow_step": "tensorflow",
    "numpy_script": "numpy",
    "numpy_densities": "numpy",
    "torch_distributions": "torch",
    "linen_compact": "flax",
    "keras_layers": "keras",
    "keras_backend": "keras",
}
LOG_VARIANCE = ("0.5 * logvar", "logvar")
PLANTED = {
    "torch_script": [
        (*LOG_VARIANCE, "kl-matches-sampler"),
        ("kl = -0.5", "kl = 0.5", "kl-nonnegative-zero-at-prior"),
        ("kl = -0.5 * torch.sum", "kl = -0.5 * torch.mean", "kl-sums-over-latents"),
        ("return reconstruction + kl", "return reconstruction", "loss-is-their-sum"),
        ('reduction="sum"', 'reduction="mean"', "reconstruction-sums-over-features"),
        (
            "F.binary_cross_entropy(recon_x",
            "F.binary_cross_entropy_with_logits(recon_x.sigmoid()",
            "likelihood-support",
        ),
        ("(1 + logvar", "(logvar", "kl-nonnegative-zero-at-prior"),
        ("+ kl", "+ 0.001 * kl", "beta-effective"),
        ("torch.randn_like(std)", "torch.rand_like(std)", "sampler-location-scale"),
        ("return mu + eps * std", "return mu + eps * std.detach()", "gradient-reaches-encoder"),
    ],
    "numpy_functions": [
        ("0.5 * log_var)", "log_var)", "kl-matches-sampler"),
        ("divergence = -0.5", "divergence = 0.5", "kl-nonnegative-zero-at-prior"),
        ("cross_entropy + divergence", "cross_entropy", "loss-is-their-sum"),
        ("divergence = -0.5 * np.sum(", "divergence = -0.5 * np.mean(", "kl-sums-over-latents"),
        ("+ divergence)", "+ 0.01 * divergence)", "beta-effective"),
    ],
    "equinox_module": [
        (*LOG_VARIANCE, "kl-matches-sampler"),
        ("kl = -0.5", "kl = 0.5", "kl-nonnegative-zero-at-prior"),
    ],
    "equinox_batch": [
        ("jnp.mean(reconstruction)", "jnp.sum(reconstruction)", "batch-reduction-consistent"),
        ("jnp.mean(kl)", "jnp.sum(kl)", "batch-reduction-consistent"),
    ],
    "equinox_images": [("jnp.sum(pixels)", "jnp.mean(pixels)", "reconstruction-sums-over-features")],
    "linen_module": [
        (*LOG_VARIANCE, "kl-matches-sampler"),
        ("return -0.5", "return 0.5", "kl-nonnegative-zero-at-prior"),
    ],
    "nnx_module": [("z = mean + std *", "z = mean + std**2 *", "kl-matches-sampler")],
    "haiku_module": [("var + mean**2", "var**2 + mean**2", "kl-nonnegative-zero-at-prior")],
    "tensorflow_step": [("logvar * 0.5", "logvar", "kl-matches-sampler")],
    "numpy_script": [
        ("mean + np.exp(self.half * std) * noise", "mean + 0.5 * std * noise", "sampler-location-scale"),
        ("args.scale = 0.5", "args.scale = 1.0", "kl-matches-sampler"),
    ],
    "numpy_densities": [("np.exp(log_std)) ** 2", "np.exp(0.5 * log_std)) ** 2", "kl-nonnegative-zero-at-prior")],
    "torch_distributions": [
        ("log_likelihood - kl)", "log_likelihood + kl)", "kl-nonnegative-zero-at-prior"),
        ("q_z.rsample()", "q_z.sample()", "gradient-reaches-encoder"),
    ],
    "linen_compact": [("minus_kl(mu, logvar))", "0.01 * minus_kl(mu, logvar))", "beta-effective")],
    "keras_layers": [("0.5 * z_log_var", "z_log_var", "kl-matches-sampler")],
    "keras_backend": [("kl_loss = -0.5", "kl_loss = 0.5", "kl-nonnegative-zero-at-prior")],
}


def audited(path):
    return verify_loaded(load(str(path)))


def copy_of(name, tmp_path, change=("", "")):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    source = (FILES / f"{name}.py").read_text(encoding="utf-8")
    assert change[0] in source
    path = tmp_path / f"{name}.py"
    path.write_text(source.replace(*change), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NEEDS)
def test_a_file_as_it_is_passes(name, tmp_path):
    report = audited(copy_of(name, tmp_path))
    assert report.failures == ()
    assert report.exit_code == 0, report.missing


@pytest.mark.parametrize(
    ("name", "bug"), [pytest.param(name, bug, id=f"{name}: {bug[1]}") for name, bugs in PLANTED.items() for bug in bugs]
)
def test_a_planted_mistake_is_found_with_its_own_reason(name, bug, tmp_path):
    before, after, check = bug
    report = audited(copy_of(name, tmp_path, (before, after)))
    assert [finding.check for finding in report.failures] == [check], report.failures
    assert report.exit_code == 1


def test_the_account_says_what_was_found_and_what_was_left_out(tmp_path):
    report = audited(copy_of("torch_script", tmp_path))
    assert any("reads mu as the mean, logvar as the raw scale" in line for line in report.account)
    assert any(
        line.startswith("VAE.sample: nothing is known of its num_samples") or "prior" in line
        for line in report.left_out
    )
    assert any("torchvision" in line for line in report.left_out)


def test_a_notebook_is_read_without_its_magics(tmp_path):
    source = copy_of("numpy_functions", tmp_path).read_text(encoding="utf-8")
    cells = [
        "%matplotlib inline\n!pip install nothing\n",
        source,
        "%%time\nnot python at all",
        "for _ in range(9**9):\n    pass",
    ]
    notebook = {"cells": [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]}
    path = tmp_path / "vae.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert audited(path).exit_code == 0


def test_a_dotted_module_and_a_call_name_what_is_audited(tmp_path, monkeypatch):
    copy_of("numpy_functions", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert verify_loaded(load("numpy_functions")).exit_code == 0
    path = tmp_path / "made.py"
    path.write_text(
        "# reparam: PARTS = sample, kl\n"
        "import numpy as np\nclass VAE:\n    def __init__(self, power): self.power = power\n"
        "    def sample(self, mu, logvar): return mu + np.exp(self.power * logvar) * np.random.randn(*mu.shape)\n"
        "    def kl(self, mu, logvar): return 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1)\n"
    )
    assert verify_loaded(load(str(path), call="VAE(0.5)")).exit_code == 0
    assert verify_loaded(load(str(path), call="VAE(1)"))["kl-matches-sampler"].status == "fail"


def test_a_sibling_is_imported_and_a_missing_package_stood_in_for(tmp_path):
    (tmp_path / "my_reparam_layers.py").write_text(
        "import no_such_package_at_all\nimport numpy as np\n"
        "def reparameterize(mu, logvar): return mu + np.exp(0.5 * logvar) * np.random.randn(*mu.shape)\n"
    )
    (tmp_path / "main_vae.py").write_text(
        "import numpy as np\nfrom no_such_package_at_all import Trainer\nfrom my_reparam_layers import reparameterize\n"
        "class Mine(Trainer): pass\n"
        "def kl_loss(mu, logvar): return 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1)\n"
    )
    report = audited(tmp_path / "main_vae.py")
    assert report["kl-matches-sampler"].status == "pass"
    assert any("no_such_package_at_all" in line for line in report.left_out)


ENCODER = (
    "import numpy as np\ndef sampling(mean, sigma): return mean + sigma * np.random.randn(*mean.shape)\n"
    "class Encoder:\n    def call(self, x):\n        mean, sigma = self.net(x), self.other_net(x)\n"
    "        z = sampling(mean, sigma)\n        return mean, {returned}, z\n"
    "class Model:\n    def call(self, x):\n        z_mean, z_log_var, z = self.encoder(x)\n"
    "        kl_loss = -0.5 * np.sum(1 + z_log_var - z_mean**2 - np.exp(z_log_var))\n        return kl_loss\n"
)


def test_a_number_that_is_drawn_with_as_std_and_handed_on_as_log_variance_is_one_number(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text(ENCODER.format(returned="sigma"))
    report = audited(path)
    assert [finding.check for finding in report.failures] == ["sampler-location-scale"]
    assert "a standard deviation is positive" in report["sampler-location-scale"].measured
    source = ENCODER.format(returned="2 * np.log(sigma)")
    path.write_text(source.replace("mean + sigma * np.random.randn(*mean.shape)", "np.random.normal(mean, sigma)"))
    report = audited(path)
    assert report.failures == ()
    assert report["sampler-location-scale"].status == "pass"


def test_a_loss_that_hands_its_kl_the_data_is_found(tmp_path):
    path = tmp_path / "vae.py"
    source = (
        "import numpy as np\ndef sampling(mu, logvar): return mu + np.exp(0.5 * logvar) * np.random.randn(*mu.shape)\n"
        "def losses(mu, logvar):\n    def kl_term(mu, logvar):\n"
        "        return 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1)\n"
        "    def vae_loss(y_true, y_predict):\n        error = np.sum((y_true - y_predict) ** 2, axis=1)\n"
        "        return error + kl_term({arguments})\n    return vae_loss\n"
    )
    path.write_text(source.format(arguments="y_true, y_predict"))
    (failure,) = audited(path).failures
    assert failure.check == "loss-is-their-sum"
    assert "hands its KL the data" in failure.measured
    path.write_text(source.format(arguments="mu, logvar"))
    assert audited(path).exit_code == 0


@pytest.mark.parametrize("field", ["batch.image", 'batch["image"]'])
def test_the_data_may_be_a_field_of_a_batch(field, tmp_path):
    path = tmp_path / "vae.py"
    path.write_text(
        "import numpy as np\ndef sampling(mu, logvar): return mu + np.exp(0.5 * logvar) * np.random.randn(*mu.shape)\n"
        f"def loss_fn(model, batch):\n    x = {field}\n    logits, mu, logvar = model(x)\n"
        "    log_likelihood = np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)\n"
        "    kl = 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1)\n"
        "    return -np.mean(log_likelihood - kl)\n"
    )
    report = audited(path)
    assert report["loss-is-their-sum"].status == "pass"
    assert report.exit_code == 0


def test_code_that_names_its_batch_size_is_asked_in_such_batches(tmp_path):
    path = tmp_path / "vae.py"
    source = (
        "import numpy as np\nmb_size = 16\n"
        "def sample_z(mu, log_var): return mu + np.exp(log_var / 2) * np.random.randn(*mu.shape)\n"
        "def vae_loss(x_sample, x, mu, log_var):\n    recon = np.sum((x_sample - x) ** 2) / mb_size\n"
        "    return recon + np.mean(0.5 * np.sum(np.exp(log_var) + mu**2 - 1 - log_var, axis=1))\n"
    )
    path.write_text(source)
    report = audited(path)
    assert report.exit_code == 0, report.failures
    assert any(line.endswith("asked in batches of 16") for line in report.account)
    path.write_text(source.replace(" / mb_size", " + 0 * mb_size"))
    assert [finding.check for finding in audited(path).failures] == ["batch-reduction-consistent"]


def test_what_a_file_uses_by_its_usual_name_and_never_imports_is_supplied(tmp_path):
    path = copy_of("numpy_functions", tmp_path, ("import numpy as np\n", ""))
    report = audited(path)
    assert report.exit_code == 0
    assert "never imported by the file, and supplied: np as numpy" in report.left_out


def test_a_capacity_that_rises_with_every_call_is_one(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text(
        "import numpy as np\ndef sampling(mu, logvar): return mu + np.exp(0.5 * logvar) * np.random.randn(*mu.shape)\n"
        "class VAE:\n    def __init__(self, latents=4):\n        self.C, self.gamma = 0, 100\n"
        "        mu, logvar = self.encode(latents)\n        def kl_divergence(x, x_pred):\n"
        "            self.C += 1 / 144\n            self.C = min(self.C, 35)\n"
        "            kl = 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar)\n"
        "            return self.gamma * np.abs(kl - self.C)\n    def encode(self, x): return x, x\n"
    )
    report = audited(path)
    assert report.failures == ()
    assert report["kl-matches-sampler"].measured.startswith("the KL enters as γ·|KL − C|, a capacity")


def test_a_mean_beside_a_mean_is_warned_of_once(tmp_path):
    path = copy_of("torch_script", tmp_path, ("kl = -0.5 * torch.sum", "kl = -0.5 * torch.mean"))
    path.write_text(path.read_text().replace('reduction="sum"', 'reduction="mean"'))
    report = audited(path)
    warnings = [finding.check for finding in report.findings if finding.status == "warn"]
    assert (report.failures, warnings) == ((), ["kl-sums-over-latents"])
    assert "effective β P/D times 1" in report["kl-sums-over-latents"].measured


def test_a_stand_in_that_is_used_is_told_where(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text("import no_such_package_at_all as missing\ndef kl(mean, raw): return missing.kl(mean, raw, 3)\n")
    report = audited(path)
    assert "no_such_package_at_all is not installed" in report["kl-sums-over-latents"].measured


def test_the_z_of_a_forward_that_makes_its_own_std_is_preferred(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text(
        "import numpy as np\ndef reparameterization(mean, var): return mean + var * np.random.randn(*mean.shape)\n"
        "def forward(net, x):\n    mean, log_var = net(x)\n"
        "    z = reparameterization(mean, np.exp(log_var))\n    return z, mean, log_var\n"
        "def kl_loss(mean, log_var): return 0.5 * np.sum(mean**2 + np.exp(log_var) - 1 - log_var, axis=1)\n"
    )
    (failure,) = audited(path).failures
    assert failure.check == "kl-matches-sampler"


def test_a_loss_of_x_and_y_tells_by_its_curve_which_of_them_is_the_data(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text(
        "import numpy as np\n"
        "def bce_loss(x, y): return np.sum(-y * np.log(x + 1e-7) - (1 - y) * np.log(1 - x + 1e-7))\n"
        "def reparameterize(mu, logvar): return mu + np.exp(0.5 * logvar) * np.random.randn(*mu.shape)\n"
        "def kl_loss(mu, logvar): return 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar)\n"
    )
    report = audited(path)
    assert report["likelihood-support"].measured.startswith("cross-entropy of probabilities")
    assert any("reads y as the data, x as the decoder's output" in line for line in report.account)
    path.write_text(path.read_text().replace("-y * np.log(x + 1e-7) - (1 - y) * np.log(1 - x + 1e-7)", "(x - y) ** 2"))
    assert any("y as the decoder's output" in line for line in audited(path).account)


def test_a_loss_inside_of_a_constructor_is_the_object_s(tmp_path):
    path = tmp_path / "vae.py"
    path.write_text(
        "import numpy as np\ndef sampling(mu, logvar): return mu + np.exp(0.5 * logvar) * np.random.randn(*mu.shape)\n"
        "class VAE:\n    def __init__(self, latents, power=2):\n        self.power = power\n"
        "        mu, logvar = self.encoder(latents)\n        def kl_loss(x, x_pred):\n"
        "            kl = 0.5 * np.sum(mu**self.power + np.exp(logvar) - 1 - logvar, axis=-1)\n            return kl\n"
    )
    report = audited(path)
    assert report.failures == ()
    assert report["kl-matches-sampler"].status == "pass"
    assert any("VAE.__init__.kl_loss" in line for line in report.account)
