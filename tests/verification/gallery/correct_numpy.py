"""Correct variational autoencoders in NumPy, one class per style: every one passes all checks."""

import numpy as np

LOG_2PI = np.log(2 * np.pi)


def gaussian_kl(mean, std):
    return 0.5 * (mean**2 + std**2 - 1) - np.log(std)


def log_sum_exp(log_w, axis):
    top = log_w.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(log_w - top).sum(axis=axis))


class LogVariance:
    """The textbook: raw = log σ², Bernoulli on binary data, everything averaged over the batch."""

    SCALE = "log_variance"
    LIKELIHOOD = "bernoulli"
    REDUCTION = "mean"
    DATA = np.random.default_rng(0).integers(0, 2, (50, 6))

    def sample(self, mean, raw, eps):
        return mean + np.exp(0.5 * raw) * eps

    def kl(self, mean, raw):
        return np.mean(-0.5 * np.sum(1 + raw - mean**2 - np.exp(raw), axis=1))

    def reconstruction_loss(self, x, decoded):
        p = np.clip(decoded, 1e-7, 1 - 1e-7)
        return -np.mean(np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1))

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded) + self.kl(mean, raw)

    def bound(self, log_w):
        return np.mean(log_sum_exp(log_w, 1) - np.log(log_w.shape[1]))


class LogStd(LogVariance):
    """raw = log σ; one KL and one loss per datum."""

    SCALE = "log-std"

    def sample(self, mean, raw, eps):
        return mean + np.exp(raw) * eps

    def kl(self, mean, raw):
        return np.sum(gaussian_kl(mean, np.exp(raw)), axis=-1)

    def reconstruction_loss(self, x, decoded):
        return np.sum(np.logaddexp(0, decoded) - x * decoded, axis=-1)

    def loss(self, x, mean, raw, decoded):
        return np.mean(self.reconstruction_loss(x, decoded) + self.kl(mean, raw))

    def bound(self, log_w):
        return log_sum_exp(log_w, 1) - np.log(log_w.shape[1])


class Softplus(LogStd):
    """σ = softplus(raw) with a small floor against log 0, in sampler and KL alike."""

    SCALE = "softplus"

    def std(self, raw):
        return np.logaddexp(0, raw) + 1e-6

    def sample(self, mean, raw, eps):
        return mean + self.std(raw) * eps

    def kl(self, mean, raw):
        return np.sum(gaussian_kl(mean, self.std(raw)), axis=-1)


class SoftplusVariance(Softplus):
    """σ² = softplus(raw)."""

    SCALE = "softplus_variance"

    def std(self, raw):
        return np.sqrt(np.logaddexp(0, raw))


class LogPrecision(Softplus):
    """raw = log 1/σ²."""

    SCALE = "log_precision"

    def std(self, raw):
        return np.exp(-0.5 * raw)


class Bounded(Softplus):
    """ln σ between two limits, smoothly."""

    SCALE = "bounded:0.01,10"

    def std(self, raw):
        low, high = np.log(0.01), np.log(10)
        t = raw / ((high - low) / 2)
        return np.exp((high + low) / 2 + (high - low) / 2 * t / np.sqrt(1 + t**2))


class ClampedLogVariance(Softplus):
    """A log-variance held in a wide range, undeclared."""

    SCALE = None

    def std(self, raw):
        return np.exp(0.5 * np.clip(raw, -20, 10))


class ShiftedSoftplus(Softplus):
    """A softplus moved so that raw = 0 is σ = 1: no scale of the list, and consistent."""

    SCALE = None

    def std(self, raw):
        return np.logaddexp(0, raw + np.log(np.e - 1))


class SumOverBatch(LogVariance):
    """The PyTorch example's convention: everything summed, over the batch too."""

    REDUCTION = "sum"

    def kl(self, mean, raw):
        return -0.5 * np.sum(1 + raw - mean**2 - np.exp(raw))

    def reconstruction_loss(self, x, decoded):
        return super().reconstruction_loss(x, decoded) * len(x)


class BetaVAE(LogStd):
    """β = 4, declared; a unit-variance Gaussian up to its constant."""

    BETA = 4.0
    LIKELIHOOD = None

    def reconstruction_loss(self, x, decoded):
        return 0.5 * np.sum((x - decoded) ** 2, axis=1)

    def loss(self, x, mean, raw, decoded):
        return np.mean(self.reconstruction_loss(x, decoded) + self.BETA * self.kl(mean, raw))


class GaussianNLL(LogStd):
    """A Gaussian of fixed σ_x with its constant, on real data."""

    LIKELIHOOD = "gaussian"
    DATA = np.random.default_rng(0).normal(size=(50, 6))

    def reconstruction_loss(self, x, decoded):
        sigma = 0.1
        return np.sum(0.5 * ((x - decoded) / sigma) ** 2 + np.log(sigma) + 0.5 * LOG_2PI, axis=1)


class LaplaceNLL(GaussianNLL):
    """A Laplace of scale ½."""

    LIKELIHOOD = "laplace"

    def reconstruction_loss(self, x, decoded):
        return np.sum(np.abs(x - decoded) / 0.5 + np.log(2 * 0.5), axis=1)


class PoissonCounts(GaussianNLL):
    """Counts, the decoder giving log-rates."""

    LIKELIHOOD = "poisson"

    @staticmethod
    def DATA():  # noqa: N802 - the declaration's name
        return np.random.default_rng(0).poisson(2.0, (50, 6))

    def reconstruction_loss(self, x, decoded):
        from scipy.special import gammaln

        return np.sum(np.exp(decoded) - x * decoded + gammaln(x + 1), axis=1)


class ContinuousBernoulliPixels(GaussianNLL):
    """Grey pixels in [0, 1] with the normaliser that a Bernoulli lacks."""

    LIKELIHOOD = "continuous_bernoulli"
    DATA = np.random.default_rng(0).uniform(size=(50, 6))

    def reconstruction_loss(self, x, decoded):
        near = np.abs(decoded) < 1e-3
        safe = np.where(near, 1.0, decoded)
        log_normaliser = np.where(near, np.log(2), np.log(safe / np.tanh(safe / 2)))
        return -np.sum(x * decoded - np.logaddexp(0, decoded) + log_normaliser, axis=1)


class OwnNoise(LogVariance):
    """The sampler draws its own noise from NumPy's global generator."""

    def sample(self, mean, raw):
        return mean + np.exp(0.5 * raw) * np.random.randn(*mean.shape)


class FreshGenerator(LogStd):
    """The sampler's noise comes from a generator that nobody can seed."""

    def sample(self, mean, raw):
        return mean + np.exp(raw) * np.random.default_rng().standard_normal(mean.shape)


class GeneratorArgument(LogStd):
    """The sampler takes a generator."""

    def sample(self, mean, raw, rng):
        return mean + np.exp(raw) * rng.standard_normal(mean.shape)


class SamplesFirst(LogVariance):
    """log_w is (K, N)."""

    SAMPLE_AXIS = 0

    def bound(self, log_w):
        return log_sum_exp(log_w, 0) - np.log(len(log_w))


class SinglePrecision(LogVariance):
    """Everything is cast to single precision inside."""

    def sample(self, mean, raw, eps):
        mean, raw, eps = (np.asarray(a, np.float32) for a in (mean, raw, eps))
        return mean + np.exp(raw / 2) * eps

    def kl(self, mean, raw):
        return np.float32(super().kl(np.float32(mean), np.float32(raw)))


class ImageShaped(LogVariance):
    """Functions that only work at their own sizes: 28×28 pixels and 20 latents."""

    LATENT_DIM = 20
    DATA = np.random.default_rng(0).integers(0, 2, (10, 28, 28))

    def reconstruction_loss(self, x, decoded):
        return super().reconstruction_loss(x.reshape(-1, 784), decoded.reshape(-1, 784)) * (
            len(x.reshape(-1, 784)) / len(x)
        )


class KerasStyle(LogVariance):
    """Keras's habit: the number of pixels, written out, times the mean over pixels."""

    original_dim = 6

    def reconstruction_loss(self, x, decoded):
        cross_entropy = -np.mean(x * np.log(decoded) + (1 - x) * np.log(1 - decoded), axis=1)
        return np.mean(self.original_dim * cross_entropy)


class SampledKL(OwnNoise):
    """A KL by Monte Carlo: right on average."""

    SCALE = None
    REDUCTION = None
    loss = None

    def kl(self, mean, raw):
        eps = np.random.randn(*mean.shape)
        z = mean + np.exp(0.5 * raw) * eps
        return np.sum(0.5 * z**2 - 0.5 * eps**2 - 0.5 * raw, axis=1)


class LossOfZ(OwnNoise):
    """log q(z|x) − log p(z) of a z that is handed over."""

    SCALE = None
    kl = None
    reconstruction_loss = None

    def loss(self, x, z, mu, logvar, recon):
        log_q = -0.5 * np.sum((z - mu) ** 2 / np.exp(logvar) + logvar + LOG_2PI, axis=1)
        log_p = -0.5 * np.sum(z**2 + LOG_2PI, axis=1)
        cross_entropy = np.sum(np.logaddexp(0, recon) - x * recon, axis=1)
        return np.mean(cross_entropy + log_q - log_p)


class GivenStd(LogVariance):
    """Sampler and KL are given σ itself."""

    SCALE = None
    LIKELIHOOD = None
    reconstruction_loss = None
    loss = None

    def sample(self, mu, sigma):
        return mu + sigma * np.random.randn(*mu.shape)

    def kl(self, mu, sigma):
        return np.sum(0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma), axis=1)


class Swapped(OwnNoise):
    """The log-variance first."""

    SCALE = None

    def sample(self, logvar, mu):
        return mu + np.exp(0.5 * logvar) * np.random.randn(*mu.shape)

    def kl(self, logvar, mu):
        return np.mean(-0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1))

    def loss(self, decoded, logvar, mu, x):
        return self.reconstruction_loss(x, decoded) + self.kl(logvar, mu)


class SmallBeta(LogVariance):
    """A small weight, declared."""

    BETA = 0.00025

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded) + self.BETA * self.kl(mean, raw)


class Joint(OwnNoise):
    """One joint loss, nothing else."""

    SCALE = None
    kl = None
    reconstruction_loss = None

    def loss(self, x, mean, raw, decoded):
        return LogVariance.reconstruction_loss(self, x, decoded) + LogVariance.kl(self, mean, raw)


class Capacity(Joint):
    """γ·|KL − C|: a capacity, not a β."""

    def loss(self, x, mean, raw, decoded):
        kl = np.sum(gaussian_kl(mean, np.exp(0.5 * raw)), axis=1)
        return np.mean(LogVariance.reconstruction_loss(self, x, decoded) + 30.0 * np.abs(kl - 3.0))


class CapacityOfItsOwn(LogVariance):
    """γ·|KL − C| in the function of the KL."""

    def kl(self, mean, raw):
        return 30.0 * np.abs(np.mean(np.sum(gaussian_kl(mean, np.exp(0.5 * raw)), axis=1)) - 0.004)

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded) + self.kl(mean, raw)


class FreeBits(Joint):
    """A floor under the KL."""

    def loss(self, x, mean, raw, decoded):
        kl = np.sum(gaussian_kl(mean, np.exp(0.5 * raw)), axis=1)
        return np.mean(LogVariance.reconstruction_loss(self, x, decoded) + np.maximum(kl, 2.0))


class FixedBatch(OwnNoise):
    """Noise of one batch size, written out."""

    batch_size = 64

    def sample(self, mean, raw):
        return mean + np.exp(0.5 * raw) * np.random.randn(self.batch_size, mean.shape[1])


class FreeBitsPerLatent(Joint):
    """A floor under the KL of each latent."""

    def loss(self, x, mean, raw, decoded):
        kl = np.sum(np.maximum(gaussian_kl(mean, np.exp(0.5 * raw)), 0.5), axis=1)
        return np.mean(LogVariance.reconstruction_loss(self, x, decoded) + kl)


class FixedBatchLoss(Joint):
    """A loss of one batch size, written out."""

    batch_size = 16

    def loss(self, x, mean, raw, decoded):
        x, decoded = x.reshape(self.batch_size, -1), decoded.reshape(self.batch_size, -1)
        return LogVariance.reconstruction_loss(self, x, decoded) + LogVariance.kl(self, mean, raw)


class FixedBatchSum(FixedBatchLoss):
    """The same, summed over the batch."""

    REDUCTION = "sum"

    def loss(self, x, mean, raw, decoded):
        return super().loss(x, mean, raw, decoded) * self.batch_size


class Samples(Joint):
    """A loss over an axis of samples, whose weights are softmax(-loss)."""

    num_samples = 5
    bound = None
    sign = -1.0

    def loss(self, x, mean, raw, decoded):
        x = np.repeat(x[:, None, :], self.num_samples, axis=1)
        kl = np.sum(gaussian_kl(mean, np.exp(0.5 * raw)), axis=2)
        losses = -np.sum(x * np.log(decoded) + (1 - x) * np.log(1 - decoded), axis=2) + kl
        weights = np.exp(self.sign * (losses - losses.min()))
        return np.mean(np.sum(weights * losses, axis=1) / np.sum(weights, axis=1))
