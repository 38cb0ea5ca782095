"""The scikit-learn face: one estimator, every part by name or as an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from reparam.data import Dataset, is_frame
from reparam.estimator import keeping
from reparam.estimator.configuration import Configuration
from reparam.estimator.learning import Learning
from reparam.estimator.use import FittedUse
from reparam.inference import Inference
from reparam.markup import display_vae
from reparam.model import Network
from reparam.networks import Architecture
from reparam.objectives import Objective
from reparam.probability.likelihoods import Likelihood
from reparam.probability.posteriors import Posterior
from reparam.probability.priors import Prior
from reparam.probability.scales import Scale
from reparam.training.pace import Averaging, Schedule


class VAE(Learning, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A variational autoencoder as a scikit-learn transformer: rows in, latent codes out.

    A part is a name, with arguments behind a colon, or an object: ``posterior="low_rank:2"`` is
    ``posterior=reparam.LowRank(8, 2)``. What has no name is not saved, and is handed over again at ``reparam.load``.

    Args:
        latent_dim: K, the number of latents; ``auto`` tries several and keeps the fewest that are within one standard
            error of the best, which ``latent_path_`` tells. Several numbers are as many layers, ``(32, 16)``: z₁, which
            explains x, has 32 latents, and z₂, which explains z₁, has 16; codes hold all of them, z₁'s first.
        posterior: family of q(z|x): ``diagonal``, ``full``, ``cholesky``, ``low_rank:2``, ``flow``; of several layers
            ``diagonal``, each layer given the one below it, or ``ladder``, each given the one above and the data.
        scale: coordinates of its standard deviation: ``log_variance``, ``log_std``, ``softplus``, …
        prior: p(z): ``standard_normal``, ``gaussian_mixture:10``, ``vamp:50``, ``flow``.
        likelihood: p(x|z): ``bernoulli``, ``gaussian``, …; ``auto`` looks at the data and says in ``likelihood_`` and
            ``likelihood_reason_`` what it chose and why.
        objective: what is maximised: ``elbo``, or ``elbo:5`` for five draws; ``iwae:50``, ``free_bits:0.5``, ``mmd``, …
        estimator: of its gradient: ``pathwise``, ``stl``, ``dreg``, ``score_function``, ``vimco``.
        beta: coefficient of the divergence in the surrogate, by default the objective's own, which is 1 for all but
            ``beta_tcvae``; the reported bound is the ELBO all the same.
        warmup: of that weight: ``none``, ``linear:10`` over ten epochs, ``cyclic:10``, ``linear:500,steps``.
        inference: how q is found: ``amortized``, by an encoder; ``mean_field:5``, a free q for each row, five steps of
            it at each visit and no encoder; ``semi_amortized:5``, an encoder and five steps from where it points.
        network: how encoder and decoder are built: ``mlp``; ``conv``, residual stages of convolutions for images, or
            ``conv:32`` for another number of channels; ``resnet``, the same and deeper; or ``auto``, ``conv`` for
            images of sides from 16 and ``mlp`` for other rows, which ``network_`` and ``network_reason_`` tell.
        hidden: widths of the hidden layers of an MLP's encoder, reversed in the decoder; ``()`` is a linear model, and
            ``auto`` is ``(64, 64)`` for at most 1,000 rows and ``(128, 128)`` for more.
        activation: ``relu``, ``tanh``, …
        encoder: an Equinox module of one's own, (..., P) → (..., raw size of the posterior).
        decoder: likewise, (..., K) → (..., raw size of the likelihood).
        condition: names of columns that are given and not explained: encoder, decoder and prior are told what they
            hold, and ``sample`` asks for it.
        start: ``linear``, the answer in closed form of probabilistic PCA (one noise), of factor analysis (a noise for
            each feature) or of its like for bits and counts, to which the networks are corrections that are zero at
            first; ``random`` weights; or ``auto``, linear where such an answer is known and can be carried.
        standardize: ``auto`` shows the model columns of a learned noise shifted and scaled, by one scale where they
            have one noise; what is reported stays in the data's own units. ``none`` shows it the units themselves.
        binarize: grey values in [0, 1] as zeros and ones: ``fixed``, ``dynamic`` (drawn anew at every visit),
            ``threshold``, or ``none``.
        epochs: passes over the data, at most; with ``auto`` an epoch is as many passes as make about fifty steps, folds
            of the rows tell when to stop, and all rows are trained on (of more than 5,000 all but at most 2,000). Where
            the objective is no bound, or each row owns its q, nothing can tell, and sixty such epochs are trained.
        batch_size: rows per step.
        learning_rate: step size of the optimiser.
        optimizer: ``adam``, ``adam:1e-4`` for another ε, ``adamw:0.01`` (weight decay), ``sgd:0.9``, …, or an
            ``optax.GradientTransformation`` at learning rate 1.
        schedule: of the learning rate: ``constant``, ``linear`` and ``cosine`` (to zero), each with steps of warm-up
            behind a colon; ``stages:600,1,300,0.1`` for factors by epochs.
        clip_norm: what longer gradients are shortened to; 0 leaves them.
        average: of the weights: ``none``, ``ema:0.999``, ``last:10`` (mean over the last ten epochs), or ``auto``,
            ``ema:0.98`` (about fifty steps) where folds tell when to stop and ``none`` elsewhere.
        on_nonfinite: what is done about a step that leads out of the finite numbers: ``stop`` before it, and say which
            term, rows, column or layer it was; or ``skip`` it, and count it in ``history_``.
        precision: of the networks' matrix products in training: ``float32``, or ``bfloat16``, which rounds the factors
            and is quicker where a device has units for it. Weights, their optimiser, the terms of the bound and all use
            of the model stay in single precision, and so do networks of one's own.
        early_stopping: hold out ``validation_fraction`` of the rows, stop when their bound has not risen for
            ``patience`` epochs, and keep the best weights. Otherwise every row is trained on. Where folds tell when to
            stop, rows that are held out decide nothing.
        validation_fraction: in (0, 1).
        patience: epochs.
        bound_samples: K of the K-sample bound in ``score_samples``.
        random_state: the one seed of everything.
        warm_start: let ``fit`` go on from where the last one stopped, on the same rows, up to ``epochs``.
        devices: that share each batch: ``all``, or how many; None is one, and all where several processes met by
            ``jax.distributed``. Results are those of one device but for the order of sums in single precision.
        shard_model: how many devices share the weights of each wide layer, for models that one has no room for.
        verbose: print a line for every so many epochs, or in a notebook draw a bar so often; 0 shows nothing.

    uint8 values are read as pixels, x/255; the densities are those of these units.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(64, 5))
    >>> vae = VAE(latent_dim=2, hidden=(8,), epochs=2).fit(X)
    >>> vae.transform(X).shape, vae.sample(3).shape, vae.score_samples(X).shape
    ((64, 2), (3, 5), (64,))
    """

    def __init__(
        self,
        latent_dim: int | str | Sequence[int] = Configuration.latent_dim,
        *,
        posterior: str | Posterior = Configuration.posterior,
        scale: str | Scale = Configuration.scale,
        prior: str | Prior = Configuration.prior,
        likelihood: str | Likelihood = Configuration.likelihood,
        objective: str | Objective = Configuration.objective,
        estimator: str = Configuration.estimator,
        beta: float | None = Configuration.beta,
        warmup: str = Configuration.warmup,
        inference: str | Inference = Configuration.inference,
        network: str | Architecture = Configuration.network,
        hidden: Sequence[int] | str = Configuration.hidden,
        activation: str = Configuration.activation,
        encoder: Network | None = Configuration.encoder,
        decoder: Network | None = Configuration.decoder,
        condition: Sequence[str] = Configuration.condition,
        start: str = Configuration.start,
        standardize: str = Configuration.standardize,
        binarize: str = Configuration.binarize,
        epochs: int | str = Configuration.epochs,
        batch_size: int = Configuration.batch_size,
        learning_rate: float = Configuration.learning_rate,
        optimizer: Any = Configuration.optimizer,
        schedule: str | Schedule = Configuration.schedule,
        clip_norm: float = Configuration.clip_norm,
        average: str | Averaging = Configuration.average,
        on_nonfinite: str = Configuration.on_nonfinite,
        precision: str = Configuration.precision,
        early_stopping: bool = Configuration.early_stopping,
        validation_fraction: float = Configuration.validation_fraction,
        patience: int = Configuration.patience,
        bound_samples: int = Configuration.bound_samples,
        random_state: int | np.random.RandomState | None = Configuration.random_state,
        warm_start: bool = False,
        devices: int | str | None = None,
        shard_model: int = 1,
        verbose: int = 0,
    ):
        self.latent_dim = latent_dim
        self.posterior = posterior
        self.scale = scale
        self.prior = prior
        self.likelihood = likelihood
        self.objective = objective
        self.estimator = estimator
        self.beta = beta
        self.warmup = warmup
        self.inference = inference
        self.network = network
        self.hidden = hidden
        self.activation = activation
        self.encoder = encoder
        self.decoder = decoder
        self.condition = condition
        self.start = start
        self.standardize = standardize
        self.binarize = binarize
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.average = average
        self.on_nonfinite = on_nonfinite
        self.precision = precision
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.bound_samples = bound_samples
        self.random_state = random_state
        self.warm_start = warm_start
        self.devices = devices
        self.shard_model = shard_model
        self.verbose = verbose

    transform = FittedUse.transform  # scikit-learn's set_output wraps what a class itself defines

    def explore(self, X: Any, y: Any = None) -> Any:
        """Open a page in the browser that shows the model on rows X, coloured by y; in a notebook it stands there.

        Returns:
            The running page: ``url`` opens it, ``close()`` ends it.
        """
        from reparam.explorer import explore_fitted

        rows = Dataset(self._given(X), self.schema_) if is_frame(X) else X
        return explore_fitted(VAE(**self.get_params(deep=False)).adopt(self._fitted()), rows, y)

    def save(self, path: str | Path, *, overwrite: bool = False, data: dict[str, Any] | None = None) -> Path:
        """Write a run folder; :func:`reparam.load` opens it again, and executes no code.

        Args:
            path: the folder; one that holds something else is refused.
            overwrite: replace a run that is there.
            data: what else ``data.json`` should say of the source.

        Raises:
            RunError: the place is taken or cannot be written.
        """
        return keeping.save(self._fitted(), path, overwrite=overwrite, source=data or {})

    def _repr_html_(self) -> str:
        """What a notebook shows: the settings, the bound, and its curve."""
        defaults, history = VAE().get_params(deep=False), self.history_ if self.__sklearn_is_fitted__() else []
        told = f"{self.likelihood_}: {self.likelihood_reason_}" if history else ""
        return display_vae(self.get_params(deep=False), defaults, history, told)

    def _repr_mimebundle_(self, **wanted: Any) -> dict[str, str]:
        """The same beside the text: scikit-learn's own diagram of an estimator would go before it."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def __sklearn_is_fitted__(self) -> bool:
        """Fitted once a whole fit is done."""
        return "fitted_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        """Codes are single precision whatever the input, which may miss cells."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags
