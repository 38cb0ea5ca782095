r"""Several stochastic layers: what stands between them, in the posterior and in the prior.

The model is :math:`p(z_L) \prod_l p(z_l|z_{l+1})\, p(x|z_1)`, every factor but the likelihood a diagonal Gaussian. Two
posteriors go with it: upward (Burda, Grosse & Salakhutdinov 2016), and the ladder (Sønderby et al. 2016), which comes
down as the model does. z is all layers side by side, z₁ first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PRNGKeyArray
from numpyro.distributions import Distribution

from reparam.errors import ParameterError
from reparam.networks import HIDDEN, MLP, Architecture, Ends, NamedNetwork, Rungs
from reparam.probability.distributions.chain import Chain, split_layers
from reparam.probability.distributions.flow import Key
from reparam.probability.distributions.location_scale import LocationScale
from reparam.probability.numerics import at_least_single, softplus
from reparam.probability.posteriors import POSTERIORS, Diagonal, Posterior
from reparam.probability.priors import PRIORS, Encode, Prior, StandardNormal
from reparam.probability.scales import Scale
from reparam.specification import build, parse, positive_int, requirement

MOST_LAYERS = 64
Layers = int | Sequence[int]


class Conditional(eqx.Module):
    r"""One layer given another, :math:`N(\mu(z), \mathrm{diag}\,\sigma(z)^2)`; at first about N(0, I).

    Args:
        in_size: latents that are given.
        out_size: latents that are drawn.
        hidden: widths between them.
        activation: a name in ``ACTIVATIONS``.
        scale: coordinates of σ.
        key: the initial weights.

    >>> Conditional(3, 2, (8,), "tanh", "log_std", jax.random.key(0))(jnp.zeros((5, 3))).shape()
    (5, 2)
    """

    network: MLP
    family: Diagonal

    def __init__(  # noqa: PLR0917
        self, in_size: int, out_size: int, hidden: tuple[int, ...], activation: str, scale: str | Scale, key: Key
    ):
        self.family = Diagonal(out_size, scale=scale)  # type: ignore[arg-type]  # a scale by name or as an object
        sizes = (in_size, *hidden, self.family.raw_size)
        key = jax.random.key(0) if key is None else key
        self.network = MLP(sizes, activation, key, output_bias=self.family.initial_raw())

    def __call__(self, z: Array) -> LocationScale:
        """Of z (..., in) the law of the other layer, event shape (out,)."""
        return self.family.distribution(self.network(z))


class Merged(eqx.Module):
    r"""What the data say of a layer and what the layer above says, each with the weight of its precision.

    .. math:: \sigma^{-2} = \hat\sigma^{-2} + \sigma_p^{-2}, \qquad
        \mu = \sigma^2 (\hat\sigma^{-2} \hat\mu + \sigma_p^{-2} \mu_p)

    Source: Sønderby et al. (2016), Section 2.

    >>> merged = Merged(LocationScale(2.0 * jnp.ones(1)), lambda z: LocationScale(z))
    >>> merged(jnp.zeros(1)).loc.tolist(), round(merged(jnp.zeros(1)).variance.item(), 3)
    ([1.0], 0.5)
    """

    evidence: LocationScale
    generative: Any

    def __call__(self, z: Array) -> LocationScale:
        """Of the layer above (..., K') the law of this one."""
        p = self.generative(z)
        log_odds = 2.0 * (p.log_scale - self.evidence.log_scale)  # of the precisions
        loc = p.loc + jax.nn.sigmoid(log_odds) * (self.evidence.loc - p.loc)
        return LocationScale(loc, log_scale=p.log_scale - 0.5 * softplus(log_odds))


class BottomUp(Posterior):
    r"""Each layer given the one below it, :math:`q(z_1|x) \prod_l q(z_{l+1}|z_l)`; the encoder gives z₁'s μ and σ.

    The networks between the layers are part of the module, of half the widths at each layer. Of one layer it is
    ``diagonal``. Source: Burda, Grosse & Salakhutdinov (2016), Section 2.

    >>> family = BottomUp((3, 2), hidden=(8,))
    >>> family.raw_size, family.distribution(jnp.zeros((5, 6))).event_shape
    (6, (5,))
    """

    layers: tuple[int, ...] = eqx.field(static=True)
    first: Diagonal
    links: tuple[Conditional, ...]

    def __init__(
        self,
        latent_dim: Layers,
        *,
        hidden: Sequence[int] = HIDDEN,
        activation: str = "gelu",
        scale: str = "log_variance",
        key: Key = None,
    ):
        self.layers = checked_layers(latent_dim)
        self.latent_dim, self.first = sum(self.layers), Diagonal(self.layers[0], scale=scale)
        self.raw_size = self.first.raw_size
        self.links = _links(self.layers, hidden, activation, scale, key, upward=True)

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return q of z₁'s μ and σ, raw (..., 2 K_1)."""
        first = self.first.distribution(raw)
        return Chain(first, self.links, self.layers, upward=True) if self.links else first

    @property
    def scale(self) -> Scale:
        """Coordinates of every σ."""
        return self.first.scale

    def initial_raw(self) -> Array:
        """Z₁'s of N(0, I)."""
        return self.first.initial_raw()


class Ladder(Posterior):
    r"""From the top down, as the model: :math:`q(z_L|x) \prod_l q(z_l|z_{l+1}, x)`.

    The encoder gives μ̂ and σ̂ for every layer. At the top they are q(z_L|x); below, q(z_l|z_{l+1}, x) is their product
    with the prior's own p(z_l|z_{l+1}), so that a layer of which the data say nothing follows the prior. Of one layer
    it is ``diagonal``. Source: Sønderby et al. (2016), Section 2.

    Raises:
        ParameterError: q is asked for without the prior whose factors it takes: ``model.family`` knows them.

    >>> prior = Hierarchy((3, 2), hidden=(8,))
    >>> family = Ladder((3, 2)).beside(prior)
    >>> family.raw_size, family.distribution(jnp.zeros((5, 10))).event_shape
    (10, (5,))
    """

    layers: tuple[int, ...] = eqx.field(static=True)
    evidence: tuple[Diagonal, ...]
    generative: tuple[Conditional, ...]

    def __init__(self, latent_dim: Layers, *, scale: str = "log_variance", key: Key = None, **_: Any):
        self.layers, self.generative = checked_layers(latent_dim), ()
        self.evidence = tuple(Diagonal(size, scale=scale) for size in self.layers)
        self.latent_dim, self.raw_size = sum(self.layers), sum(layer.raw_size for layer in self.evidence)

    def beside(self, prior: Prior) -> Posterior:
        """The ladder with the prior's p(z_l|z_{l+1})."""
        links = prior.links if isinstance(prior, Hierarchy) else ()
        joined: Posterior = eqx.tree_at(lambda tree: tree.generative, self, links)
        return joined

    def distribution(self, raw: ArrayLike) -> Distribution:
        """Return q of μ̂ and σ̂ of z₁, then of z₂ and so on, raw (..., 2K)."""
        if len(self.generative) != len(self.layers) - 1:
            raise ParameterError(
                "posterior 'ladder' is made of the prior's p(z_l|z_{l+1}): ask model.family.distribution(raw), or "
                "Ladder.beside(prior) with a Hierarchy of the same layers."
            )
        parts = split_layers(at_least_single(raw), [layer.raw_size for layer in self.evidence])
        *below, top = (layer.distribution(part) for layer, part in zip(self.evidence, parts, strict=True))
        links = [Merged(said, link) for said, link in zip(below[::-1], self.generative, strict=True)]
        return Chain(top, links, self.layers, upward=False) if links else top

    @property
    def scale(self) -> Scale:
        """Coordinates of every σ."""
        return self.evidence[0].scale

    def initial_raw(self) -> Array:
        """N(0, I) of every layer."""
        return jnp.concatenate([layer.initial_raw() for layer in self.evidence])


class Hierarchy(Prior):
    r"""N(0, I) at the top, and each layer given the one above it: :math:`p(z_L) \prod_l p(z_l|z_{l+1})`.

    >>> Hierarchy((3, 2), hidden=(8,)).distribution().event_shape
    (5,)
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    top: StandardNormal
    links: tuple[Conditional, ...]

    def __init__(
        self,
        latent_dim: Layers,
        *,
        hidden: Sequence[int] = HIDDEN,
        activation: str = "gelu",
        scale: str = "log_variance",
        pseudo_inputs: Array | None = None,
        key: Key = None,
    ):
        self.sizes = checked_layers(latent_dim)
        self.latent_dim, self.top = sum(self.sizes), StandardNormal(self.sizes[-1])
        self.links = _links(self.sizes, hidden, activation, scale, key, upward=False)

    @property
    def layers(self) -> tuple[int, ...]:
        """As they were given."""
        return self.sizes

    def distribution(self, encode: Encode | None = None) -> Distribution:
        """Return p(z)."""
        return self.under(self.top.distribution())

    def under(self, top: LocationScale) -> Distribution:
        """The layers under another law of the top one."""
        return Chain(top, self.links, self.layers, upward=False) if self.links else top

    def settled(self, z: Array, layer: int) -> Array:
        """z (..., K) with every layer below ``layer``, counted from 1, at its mean given the one above."""
        parts = split_layers(z, self.layers)
        for below in reversed(range(layer - 1)):
            link = self.links[len(self.layers) - 2 - below]
            parts[below] = link(parts[below + 1]).mean
        return jnp.concatenate(parts, axis=-1)


HIERARCHIES: dict[str, type[BottomUp] | type[Ladder]] = {"bottom_up": BottomUp, "ladder": Ladder}


def checked_layers(latent_dim: Layers | str) -> tuple[int, ...]:
    """The latents of each layer, z₁'s first; a number is one layer.

    Raises:
        ParameterError: it is no int of at least 1, nor a sequence of such.

    >>> checked_layers(3), checked_layers([32, 16])
    ((3,), (32, 16))
    """
    layers: Any = (latent_dim,) if isinstance(latent_dim, Integral) else latent_dim
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not 1 <= len(layers) <= MOST_LAYERS:
        required = f"an int, or a sequence of 1 to {MOST_LAYERS} ints, one for each layer"
        raise ParameterError(requirement("latent_dim", "VAE", required, latent_dim))
    return tuple(positive_int("latent_dim", size, "VAE") for size in layers)


def build_posterior(layers: tuple[int, ...], part: str | Posterior, **named: Any) -> Posterior:
    """The family of a name for these layers, or one's own; ``diagonal`` of several layers is ``bottom_up``.

    Of one layer ``bottom_up`` and ``ladder`` are ``diagonal``.

    Args:
        layers: latents of each.
        part: a name in ``POSTERIORS``, for several layers in ``HIERARCHIES``, or one's own.
        named: ``scale`` and ``key``, and the widths and activation of networks between layers.

    Raises:
        ParameterError: the name is none of a family of so many layers.
    """
    name = parse(part)[0] if isinstance(part, str) else ""
    if len(layers) > 1 and part == "diagonal":
        part = name = "bottom_up"
    if len(layers) == 1 and name in HIERARCHIES:
        part = name = "diagonal"
    if len(layers) > 1 and isinstance(part, str) and name not in HIERARCHIES:
        raise ParameterError(
            f"posterior {part!r} is of one layer of latents. Of several choose 'diagonal', each layer given the one "
            "below ('bottom_up'), or 'ladder', each given the one above."
        )
    if name in HIERARCHIES:
        built: Posterior = build("posterior", HIERARCHIES, part, layers, **named)
    else:
        alone = {name: named[name] for name in ("scale", "key")}
        built = build("posterior", POSTERIORS, part, sum(layers), **alone)
    return built


def build_prior(layers: tuple[int, ...], part: str | Prior, *, pseudo_inputs: Array, key: Key, **named: Any) -> Prior:
    """The prior of a name for these layers, or one's own; of several, N(0, I) stands at the top.

    Raises:
        ParameterError: another than ``standard_normal`` is named for several layers.
    """
    if len(layers) == 1 or not isinstance(part, str):
        built: Prior = build("prior", PRIORS, part, sum(layers), pseudo_inputs=pseudo_inputs, key=key)
    elif part == "standard_normal":
        built = Hierarchy(layers, key=key, **named)
    else:
        raise ParameterError(
            f"several layers of latents learn their own prior below the top, which is N(0, I): leave "
            f"prior='standard_normal'. Got {part!r} instead."
        )
    if built.layers != layers:
        raise ParameterError(f"the prior has layers of {built.layers} latents, the model of {layers}.")
    return built


def build_encoder(  # noqa: PLR0917
    q: Posterior, architecture: Architecture, ends: Ends, activation: str, hidden: tuple[int, ...], key: PRNGKeyArray
) -> NamedNetwork:
    """The encoder of a named architecture; a ladder's says of each layer what it finds at that depth."""
    if not isinstance(q, Ladder) or len(q.layers) == 1 or not hidden:
        return architecture.encoder(ends, activation, hidden, key)
    trunk_key, key = jax.random.split(key)
    widths = [max(1, hidden[-1] >> layer) for layer in range(len(q.layers))]
    to_features = ends._replace(out_size=widths[0], bias=jnp.zeros(widths[0]), gain=None)
    trunk = architecture.encoder(to_features, activation, hidden[:-1], trunk_key)
    sizes = [layer.raw_size for layer in q.evidence]
    return Rungs(trunk, widths, sizes, len(hidden), activation, key, ends.bias)


def _links(
    layers: tuple[int, ...], hidden: Sequence[int], activation: str, scale: str | Scale, key: Key, *, upward: bool
) -> tuple[Conditional, ...]:
    """What stands between each layer and the next, in the order of drawing; widths halve at each layer."""
    keys = jax.random.split(jax.random.key(0) if key is None else key, len(layers))
    links = []
    for lower, (below, above) in enumerate(itertools.pairwise(layers)):
        widths = tuple(max(1, width >> (lower + 1)) for width in hidden)
        ends = (below, above, widths) if upward else (above, below, widths[::-1])
        links.append(Conditional(*ends, activation, scale, keys[lower]))
    return tuple(links if upward else links[::-1])
