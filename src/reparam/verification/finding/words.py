"""The words of the field: which names mean the mean, which log σ², which the sampler, and so on.

A role is what an argument is: ``mean``, ``raw`` (whatever sets σ), ``eps``, ``key``, ``x``, ``decoded``, ``z``,
``log_w``, ``weight``, ``kl`` or ``reconstruction``. A job is what a function is for: ``sample``, ``kl``,
``reconstruction_loss``, ``loss``, ``bound`` or ``log_q``.
"""

from __future__ import annotations

import re

PREFIX = r"^(z|q|qz|q_z|latent|enc|encoder|encoded|posterior|code|s|e)?_?"
SUFFIX = r"_?(z|q|qz|zx|z_x|vec|vector|enc|encoded|latent|batch|params?|out|list|0|1|2|_)?$"
SPREAD = r"(std(dev|s)?|sigmas?|sd|scales?|vars?|variances?)(_?(sq|squared|2))?"

ROLES: dict[str, re.Pattern[str]] = {
    "mean": re.compile(PREFIX + r"(mu|mus|means?|locs?|avg)" + SUFFIX),
    "raw": re.compile(
        PREFIX
        + rf"((log|ln|raw|pre|half_log)_?{SPREAD}|{SPREAD}|log_?s(ig|2|_sq)?|raw|rho|lv|lvs|logits_var|{SPREAD}_arg"
        rf"|{SPREAD}_raw|logprec|log_precision)" + SUFFIX
    ),
    "eps": re.compile(r"^(eps|epsilon|epsilons|noise|e|u|esp|rand_sample|randoms?)(_?z|_?sample)?$"),
    "key": re.compile(r"^(\w+_)?(keys?|rngs?|prng|rs|random_state|generator|gen)$"),
    "log_w": re.compile(r"^(log_?w(eights?)?s?|log_?iw|log_importance_weights|w|iw)$"),
    "decoded": re.compile(
        r"^(?!\w*_(loss\w*|error|term|cost|err|nll)$)(recons?|rec|reconstruct(ed|ions?)?|decoded|decodes?|generated|pred(s|ict(ed|ions?))?|outputs?|out|dec|recon_\w+|rec_\w+"
        r"|reconstruct\w*_\w+|\w+_(recon\w*|rec|reconst\w*|hat|pred(ict(ed|ions?)?)?|tilde|decoded\w*|prime|out|rebuild|gen|generated|logits?)|xhat|x_"
        r"|logits?|x_mean|x_samples?|x_mu|mu_x|mean_x|x_prob|y|y_hat|y_pred|probs?|p|p_x|px|img_out|d|decoder_output\w*|generation)$"
    ),
    "x": re.compile(
        r"^(x|xs|x_?\d?|inputs?|data|target\w*|images?|ims?|imgs?|batch|original\w*|orig|origin|observed|x_in|x_true|y_true|true_x"
        r"|labels?|input_\w+|x_(batch|flat|input|target|train|data|img)|real|sample_x|batch_x|bx|img_in|gt|\w+_images?|obs)$"
    ),
    "z": re.compile(
        r"^(zs?|z_?\d?|z_?samples?|latents?|latent_(z|samples?|codes?)|samples?|sampled_z|sample_z|codes?)$"
    ),
    "kl": re.compile(
        r"^(?!\w*_(coeff?\w*|weight\w*|anneal\w*|lambda|factor|rate|scale|w|max|min|target|start|tolerance)$)"
        r"(\w+_)?(kl|kld|klds|dkl|kl_?div\w*|kullback\w*)(_\w+)?$|^latent_loss$|^regulari[sz]ation_loss$"
    ),
    "reconstruction": re.compile(
        r"^(\w+_)?(bce|mse|nll|xent|marginal_likelihood|likelihood|cross_?ent\w*)(_\w+)?$"
        r"|^(vae_)?(re(con|c|const|cons|construct|construction|constr|production|produce|generation)\w*|generation|decoder|image|img|pixel)"
        r"_?(loss\w*|error|term|cost|err)$|^log_?p_?x(_?given)?(_?z)?$|^logpx(_z)?$|^log_likelihood$"
    ),
    "weight": re.compile(
        r"^(\w+_)?(beta|weights?|coeff?|coefficient|lambda\w*|lam|anneal\w*|m_n|kl_?w\w*|w_kl|c_kl|beta_\w+|kl_\w*weight\w*"
        r"|kld_weight|warmup\w*|gamma|alpha)(_\w+)?$"
    ),
}
"""Role → how an argument of it is called, on the snake-cased name; the first that matches holds."""

JOBS: dict[str, re.Pattern[str]] = {
    "bound": re.compile(r"bound|iwae|log_mean_exp|importance"),
    "kl": re.compile(r"(^|_)(kl|kld|dkl|kldiv\w*)(_|$)|kl_?div|kl_?loss|kullback|latent_loss|regulari[sz]ation_loss"),
    "sample": re.compile(
        r"re_?para?met|reparam|^sampl(e|ing|er)(_?(z|latents?|gaussian|posterior|normal|q|codes?|latent_space|from_q|layer))?$"
        r"|^z$|^(rsample|get_z|encode_z|z_sampl\w+|gaussian_sampl\w+|latent_sampl\w+|draw_z|noise_reparam\w*|gaussian_rsample|stochastic\w*)$"
    ),
    "loss": re.compile(
        r"loss|elbo|criterion|objective|(^|_)cost|reconstruct|recon|^(bce|mse|nll)|likelihood|cross_entropy"
    ),
    "log_q": re.compile(r"log_?q|log_?normal|gaussian_log|log_density|normal_?log_?p|log_gauss|gaussian_likelihood"),
}
"""Job → how a function for it is called; what its arguments are has the last word."""

POSITIVE = re.compile(PREFIX + SPREAD + SUFFIX)
"""Names of numbers that are positive: σ or σ² itself."""

BOUND_NAMES = re.compile(r"elbo|lower_bound|log_?likelihood|llh|log_?p_?x|^log_lik|^log_prob")
"""Functions that may return what is maximised."""


def snake(name: str) -> str:
    """``zLogVar`` → ``z_log_var``; ``KLD`` → ``kld``; underscores in front are dropped, and so is ``self.``.

    >>> snake("self.zLogVar"), snake("_KLD"), snake("recon_x")
    ('z_log_var', 'kld', 'recon_x')
    """
    bare = name.rpartition(".")[2].lstrip("_") or "_"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare if bare.strip("_") else name).lower()


def role(name: str) -> str | None:
    """What an argument of this name is, or None.

    >>> [role(name) for name in ("mu", "z_log_var", "recon_x", "x", "log_w", "stddev", "device")]
    ['mean', 'raw', 'decoded', 'x', 'log_w', 'raw', None]
    """
    word = snake(name)
    return next((role for role, pattern in ROLES.items() if pattern.match(word)), None)


def job(name: str) -> str | None:
    """What a function of this name is for, or None.

    >>> [job(name) for name in ("reparameterize", "Sampling", "loss_function", "KLD", "encode")]
    ['sample', 'sample', 'loss', 'kl', None]
    """
    word = snake(name)
    return next((job for job, pattern in JOBS.items() if pattern.search(word)), None)
