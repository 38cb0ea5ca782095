"""Broken variational autoencoders in NumPy: each class has one mistake seen in public code and the checks it fails."""

import numpy as np
from correct_numpy import (
    LOG_2PI,
    BetaVAE,
    Capacity,
    CapacityOfItsOwn,
    ContinuousBernoulliPixels,
    FixedBatchLoss,
    FreeBitsPerLatent,
    GaussianNLL,
    Joint,
    LogStd,
    LogVariance,
    LossOfZ,
    OwnNoise,
    PoissonCounts,
    SampledKL,
    Samples,
    SamplesFirst,
    SmallBeta,
    Softplus,
    SumOverBatch,
    gaussian_kl,
    log_sum_exp,
)

# The sampler


class StdIsVariance(LogVariance):
    """raw is log σ² in the KL, log σ in the sampler: the ½ forgotten."""

    FAILS = ("kl-matches-sampler",)

    def sample(self, mean, raw, eps):
        return mean + np.exp(raw) * eps


class StdIsVarianceUndeclared(StdIsVariance):
    """The same, SCALE left open."""

    SCALE = None


class StdIsVarianceOwnNoise(OwnNoise):
    """The same, with noise of its own."""

    FAILS = ("kl-matches-sampler",)
    SCALE = None

    def sample(self, mean, raw):
        return mean + np.exp(raw) * np.random.randn(*mean.shape)


class NotTheDeclaredScale(LogStd):
    """Sampler and KL agree with each other, but not with SCALE."""

    FAILS = ("sampler-location-scale",)
    SCALE = "log_variance"


class RawIsStd(LogVariance):
    """The exponential forgotten: an unconstrained number as standard deviation."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw, eps):
        return mean + raw * eps


class EpsilonStd(LogVariance):
    """epsilon_std = 0.01, as in an early Keras example."""

    FAILS = ("sampler-location-scale",)
    SCALE = None

    def sample(self, mean, raw, eps):
        return mean + np.exp(0.5 * raw) * 0.01 * eps


class FixedStd(LogVariance):
    """Noise of a fixed size: raw does not enter."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw, eps):
        return mean + 0.1 * eps


class NoNoise(LogVariance):
    """The mean is decoded, not a sample."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw):
        return mean


class NoisePerBatch(LogVariance):
    """One ε for all data of the batch."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw, eps):
        return mean + np.exp(0.5 * raw) * eps[0]


class NoisePerBatchOwn(LogVariance):
    """One ε for all data of the batch, drawn inside."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw):
        return mean + np.exp(0.5 * raw) * np.random.normal(size=mean.shape[1])


class NoisePerDatum(LogVariance):
    """One ε for all latents of a datum."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw, eps):
        return mean + np.exp(0.5 * raw) * eps[:, :1]


class NoisePerDatumOwn(LogVariance):
    """One ε for all latents of a datum, drawn inside."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw):
        return mean + np.exp(0.5 * raw) * np.random.normal(size=(len(mean), 1))


class UniformNoise(LogVariance):
    """rand in the place of randn."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw):
        return mean + np.exp(0.5 * raw) * np.random.rand(*mean.shape)


class StandardisedUniformNoise(LogVariance):
    """Uniform noise of mean 0 and variance 1."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw):
        return mean + np.exp(0.5 * raw) * np.sqrt(12) * (np.random.rand(*mean.shape) - 0.5)


class SameNoiseEveryCall(LogVariance):
    """A generator with a fixed seed inside the sampler."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw):
        return mean + np.exp(0.5 * raw) * np.random.default_rng(0).standard_normal(mean.shape)


class IgnoredNoise(LogVariance):
    """eps is taken and not used."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw, eps):
        return mean + np.exp(0.5 * raw) * np.random.standard_normal(mean.shape)


class ScaledMean(LogVariance):
    """The mean inside the brackets."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw, eps):
        return np.exp(0.5 * raw) * (mean + eps)


# The KL


class SignTurned(LogVariance):
    """0.5 where -0.5 belongs: a reward for leaving the prior."""

    FAILS = ("kl-nonnegative-zero-at-prior",)

    def kl(self, mean, raw):
        return 0.5 * np.sum(1 + raw - mean**2 - np.exp(raw), axis=1)

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded) + np.mean(self.kl(mean, raw))


class OneForgotten(LogStd):
    """The 1 of the formula forgotten."""

    FAILS = ("kl-nonnegative-zero-at-prior",)

    def kl(self, mean, raw):
        return np.sum(gaussian_kl(mean, np.exp(raw)) + 0.5, axis=1)


class HalfForgotten(LogStd):
    """The ½ of the formula forgotten: β = 2 by accident."""

    FAILS = ("kl-matches-sampler",)

    def kl(self, mean, raw):
        return 2 * super().kl(mean, raw)


class Bits(LogStd):
    """log2 in the place of log: bits, not nats."""

    FAILS = ("kl-matches-sampler",)

    def kl(self, mean, raw):
        return super().kl(mean, raw) / np.log(2)


class HalfConverted(LogStd):
    """One of two places changed from log σ² to log σ, as in a graph autoencoder's issue."""

    FAILS = ("kl-nonnegative-zero-at-prior",)

    def kl(self, mean, raw):
        return -0.5 * np.sum(1 + 2 * raw - mean**2 - np.exp(raw), axis=1)


class MeanNotSquared(LogVariance):
    """mean where mean² belongs."""

    FAILS = ("kl-nonnegative-zero-at-prior",)

    def kl(self, mean, raw):
        return np.mean(-0.5 * np.sum(1 + raw - mean - np.exp(raw), axis=1))


class MeanOverLatents(LogVariance):
    """torch.mean's habit: the mean over batch and latents together."""

    FAILS = ("kl-sums-over-latents",)

    def kl(self, mean, raw):
        return np.mean(-0.5 * (1 + raw - mean**2 - np.exp(raw)))


class KLPerLatent(LogStd):
    """One number per latent returned, the sum forgotten."""

    FAILS = ("kl-sums-over-latents",)

    def kl(self, mean, raw):
        return gaussian_kl(mean, np.exp(raw))

    def loss(self, x, mean, raw, decoded):
        return np.mean(self.reconstruction_loss(x, decoded) + self.kl(mean, raw).sum(axis=1))


class WrongAxis(LogStd):
    """The KL summed over the batch instead of the latents."""

    FAILS = ("kl-sums-over-latents",)
    loss = None

    def kl(self, mean, raw):
        return np.sum(gaussian_kl(mean, np.exp(raw)), axis=0)


class FlooredSampler(Softplus):
    """σ has a floor of 0.1 in the sampler that the KL knows nothing of."""

    FAILS = ("kl-matches-sampler",)
    SCALE = None

    def sample(self, mean, raw, eps):
        return mean + (np.logaddexp(0, raw) + 0.1) * eps


class ClampedSampler(LogVariance):
    """raw clamped in the sampler alone."""

    FAILS = ("kl-matches-sampler",)

    def sample(self, mean, raw, eps):
        return mean + np.exp(0.5 * np.clip(raw, -5, 5)) * eps


# Ranges and extremes


class SoftplusBeforeLogVariance(Softplus):
    """A softplus on the layer whose output is read as log σ²: σ ≥ 1."""

    FAILS = ("scale-range",)
    SCALE = None

    def std(self, raw):
        return np.exp(0.5 * np.logaddexp(0, raw))


class ReluBeforeLogVariance(SoftplusBeforeLogVariance):
    """A ReLU there."""

    def std(self, raw):
        return np.exp(0.5 * np.maximum(raw, 0))


class SigmoidBeforeLogVariance(SoftplusBeforeLogVariance):
    """A sigmoid there: σ between 1 and 1.65."""

    def std(self, raw):
        return np.exp(0.5 / (1 + np.exp(-raw)))


class SigmoidStd(SoftplusBeforeLogVariance):
    """σ = sigmoid(raw): never above 1."""

    def std(self, raw):
        return 1 / (1 + np.exp(-raw))


class TightClamp(SoftplusBeforeLogVariance):
    """A clamp that leaves σ between 0.61 and 1.65."""

    def std(self, raw):
        return np.exp(0.5 * np.clip(raw, -1, 1))


class NaiveSoftplus(Softplus):
    """log(1 + exp(raw)): in single precision 0 at -30, and its logarithm infinite."""

    FAILS = ("finite-at-extremes",)

    def std(self, raw):
        return np.log(1 + np.exp(raw))


class ExponentTwice(LogStd):
    """exp(exp(raw)) far out: the KL goes through the variance's own exponential needlessly."""

    FAILS = ("finite-at-extremes",)

    def kl(self, mean, raw):
        return np.sum(gaussian_kl(mean, np.exp(raw)) + 0 * np.exp(4 * raw), axis=-1)


# Reconstruction and likelihood


class MeanOverPixels(LogVariance):
    """The mean over pixels, as of F.mse_loss and F.binary_cross_entropy by default: β = P."""

    FAILS = ("reconstruction-sums-over-features",)

    def reconstruction_loss(self, x, decoded):
        return super().reconstruction_loss(x, decoded) / x.shape[1]


class MeanSquaredError(BetaVAE):
    """The same with squared errors."""

    FAILS = ("reconstruction-sums-over-features",)

    def reconstruction_loss(self, x, decoded):
        return np.mean((x - decoded) ** 2, axis=1)


class ErrorPerPixel(LogVariance):
    """One number per pixel returned."""

    FAILS = ("reconstruction-sums-over-features",)
    loss = None

    def reconstruction_loss(self, x, decoded):
        return (x - decoded) ** 2

    LIKELIHOOD = None


class GreyPixels(LogVariance):
    """A Bernoulli on grey pixels."""

    FAILS = ("likelihood-support",)
    DATA = np.random.default_rng(0).uniform(size=(50, 6))


class BytePixels(GreyPixels):
    """Pixels from 0 to 255."""

    DATA = np.random.default_rng(0).integers(0, 256, (50, 6))
    LIKELIHOOD = None


class NoNormaliser(ContinuousBernoulliPixels):
    """A cross-entropy that calls itself a continuous Bernoulli."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return np.sum(np.logaddexp(0, decoded) - x * decoded, axis=1)


class ConstantForgotten(GaussianNLL):
    """½·log(2πσ²) forgotten."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return np.sum(0.5 * ((x - decoded) / 0.1) ** 2, axis=1)


class ConstantOncePerDatum(GaussianNLL):
    """½·log(2πσ²) added once per datum, not once per feature."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return np.sum(0.5 * (x - decoded) ** 2, axis=1) + 0.5 * LOG_2PI


class LogLikelihoodAsLoss(LogStd):
    """The log-likelihood returned as the loss: the minus forgotten."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return np.sum(x * decoded - np.logaddexp(0, decoded), axis=1)


class SigmoidTwice(LogStd):
    """The decoder's sigmoid, and the one inside the cross-entropy of logits."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return super().reconstruction_loss(x, 1 / (1 + np.exp(-decoded)))


class HalfACrossEntropy(LogVariance):
    """The (1 - x) part forgotten."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return -np.mean(np.sum(x * np.log(decoded), axis=1))


class AnotherLikelihood(LogVariance):
    """Squared errors that call themselves Bernoulli."""

    FAILS = ("likelihood-support",)

    def reconstruction_loss(self, x, decoded):
        return np.mean(np.sum((x - decoded) ** 2, axis=1))


class RealCounts(PoissonCounts):
    """A Poisson on numbers that are no counts."""

    FAILS = ("likelihood-support",)
    DATA = np.random.default_rng(0).uniform(0, 5, (50, 6))


# Batch and loss


class SumAndMean(LogVariance):
    """One term summed over the batch, the other averaged, as in many a tutorial: β = 1/N."""

    FAILS = ("batch-reduction-consistent",)
    REDUCTION = None

    def reconstruction_loss(self, x, decoded):
        return super().reconstruction_loss(x, decoded) * len(x)


class SumAndMeanInside(LogStd):
    """The same inside the loss."""

    FAILS = ("batch-reduction-consistent",)

    def loss(self, x, mean, raw, decoded):
        return np.sum(self.reconstruction_loss(x, decoded)) + np.mean(self.kl(mean, raw))


class NotTheDeclaredReduction(SumOverBatch):
    """Sums that call themselves means."""

    FAILS = ("batch-reduction-consistent",)
    REDUCTION = "mean"


class BatchSizeWritten(SumOverBatch):
    """The KL divided by the batch size of training, written out."""

    FAILS = ("kl-matches-sampler",)

    def kl(self, mean, raw):
        return super().kl(mean, raw) / 128


class Subtracted(LogVariance):
    """reconstruction - KL."""

    FAILS = ("loss-is-their-sum",)

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded) - self.kl(mean, raw)


class NoKL(LogVariance):
    """The KL computed and not added."""

    FAILS = ("loss-is-their-sum",)

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded)


class HiddenBeta(LogVariance):
    """A weight on the KL that nobody declared (kld_weight = 0.00025)."""

    FAILS = ("beta-effective",)

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded) + 0.00025 * 20 * self.kl(mean, raw)


class BetaTwice(BetaVAE):
    """β multiplied in twice."""

    FAILS = ("beta-effective",)

    def loss(self, x, mean, raw, decoded):
        return np.mean(self.reconstruction_loss(x, decoded) + self.BETA**2 * self.kl(mean, raw))


class BetaIgnored(BetaVAE):
    """β declared and not used."""

    FAILS = ("beta-effective",)

    def loss(self, x, mean, raw, decoded):
        return np.mean(self.reconstruction_loss(x, decoded) + self.kl(mean, raw))


# The bound


class WeightedMean(LogStd):
    """Σ w̃ log w: what has the bound's gradient, reported as the bound."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        return np.sum(w / w.sum(axis=1, keepdims=True) * log_w, axis=1)


class MeanOfLogs(LogStd):
    """The mean of the log-weights."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return np.mean(log_w, axis=1)


class LogKForgotten(LogStd):
    """log K not subtracted."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return log_sum_exp(log_w, 1)


class WrongSampleAxis(LogStd):
    """log-mean-exp over the data."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return np.mean(log_sum_exp(log_w, 0) - np.log(len(log_w)))


class UndeclaredSampleAxis(SamplesFirst):
    """(K, N), but SAMPLE_AXIS is not declared."""

    FAILS = ("bound-log-mean-exp",)
    SAMPLE_AXIS = -1


class BothAxes(LogStd):
    """log-mean-exp over samples and data together."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return log_sum_exp(log_w.reshape(1, -1), 1)[0] - np.log(log_w.size)


class NegativeBound(LogStd):
    """The loss returned, not the bound."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return -super().bound(log_w)


class NaiveExponential(LogStd):
    """log(mean(exp(log_w))): every weight underflows."""

    FAILS = ("bound-stable",)

    def bound(self, log_w):
        return np.log(np.mean(np.exp(log_w), axis=1))


class LogKTwice(LogStd):
    """log K subtracted twice: the bound falls as samples are added."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return log_sum_exp(log_w, 1) - 2 * np.log(log_w.shape[1])


class DataCounted(LogStd):
    """log N subtracted in the place of log K."""

    FAILS = ("bound-log-mean-exp",)

    def bound(self, log_w):
        return log_sum_exp(log_w, 1) - np.log(log_w.shape[0])


class BetaOnBoth(BetaVAE):
    """β of 1 in front of the whole loss: nothing is seen until somebody changes it."""

    FAILS = ("beta-effective",)
    BETA = 1.0

    def loss(self, x, mean, raw, decoded):
        return np.mean(self.BETA * (self.reconstruction_loss(x, decoded) + self.kl(mean, raw)))


# Joint losses: what a sampler and one loss alone give away


class JointStdIsVariance(Joint):
    """The σ mix-up where the KL has no function of its own."""

    FAILS = ("kl-matches-sampler",)

    def sample(self, mean, raw):
        return mean + np.exp(raw) * np.random.randn(*mean.shape)


class JointSignTurned(Joint):
    """The KL subtracted inside."""

    FAILS = ("kl-nonnegative-zero-at-prior",)

    def loss(self, x, mean, raw, decoded):
        return LogVariance.reconstruction_loss(self, x, decoded) - LogVariance.kl(self, mean, raw)


class JointNoKL(Joint):
    """No KL at all."""

    FAILS = ("loss-is-their-sum",)

    def loss(self, x, mean, raw, decoded):
        return LogVariance.reconstruction_loss(self, x, decoded)


class JointMeanOverLatents(Joint):
    """The KL a mean over latents, the cross-entropy a sum over pixels."""

    FAILS = ("kl-sums-over-latents",)

    def loss(self, x, mean, raw, decoded):
        kl = np.mean(gaussian_kl(mean, np.exp(0.5 * raw)))
        return LogVariance.reconstruction_loss(self, x, decoded) + kl


class JointMeanOverPixels(Joint):
    """The cross-entropy a mean over pixels."""

    FAILS = ("reconstruction-sums-over-features",)

    def loss(self, x, mean, raw, decoded):
        return LogVariance.reconstruction_loss(self, x, decoded) / x.shape[1] + LogVariance.kl(self, mean, raw)


class JointSigmoidTwice(Joint):
    """A sigmoid in the decoder and one in the loss."""

    FAILS = ("likelihood-support",)

    def loss(self, x, mean, raw, decoded):
        logits = 1 / (1 + np.exp(-decoded))
        return np.mean(np.sum(np.logaddexp(0, logits) - x * logits, axis=1)) + LogVariance.kl(self, mean, raw)


class JointOneForgotten(Joint):
    """The 1 of the formula forgotten inside."""

    FAILS = ("kl-nonnegative-zero-at-prior",)

    def loss(self, x, mean, raw, decoded):
        kl = -0.5 * np.sum(raw - mean**2 - np.exp(raw), axis=1)
        return LogVariance.reconstruction_loss(self, x, decoded) + np.mean(kl)


class JointSumAndMean(Joint):
    """The cross-entropy summed over the batch, the KL averaged."""

    FAILS = ("batch-reduction-consistent",)
    REDUCTION = None

    def loss(self, x, mean, raw, decoded):
        return LogVariance.reconstruction_loss(self, x, decoded) * len(x) + LogVariance.kl(self, mean, raw)


class JointHiddenBeta(Joint):
    """A weight that nobody declared."""

    FAILS = ("beta-effective",)

    def loss(self, x, mean, raw, decoded):
        return LogVariance.reconstruction_loss(self, x, decoded) + 0.00025 * LogVariance.kl(self, mean, raw)


class AnotherSmallBeta(SmallBeta):
    """0.002 declared, 0.0038 used."""

    FAILS = ("beta-effective",)
    BETA = 0.002

    def loss(self, x, mean, raw, decoded):
        return self.reconstruction_loss(x, decoded) + 0.0038 * self.kl(mean, raw)


class SampledKLOfAnotherScale(SampledKL):
    """The Monte Carlo KL draws with one σ and the sampler with another."""

    FAILS = ("kl-matches-sampler",)

    def sample(self, mean, raw):
        return mean + np.exp(raw) * np.random.randn(*mean.shape)


class LossOfZOfAnotherScale(LossOfZ):
    """log q has log σ² where the sampler has log σ."""

    FAILS = ("kl-matches-sampler",)

    def sample(self, mean, raw):
        return mean + np.exp(raw) * np.random.randn(*mean.shape)


class RawIsStdOwnNoise(LogVariance):
    """The exponential forgotten, with noise of its own: there is noise, but σ = raw."""

    FAILS = ("sampler-location-scale",)

    def sample(self, mean, raw):
        return mean + raw * np.random.randn(*mean.shape)


class FreeBitsOfAnotherScale(FreeBitsPerLatent):
    """The KL under the floor reads log σ² where the sampler reads log σ."""

    FAILS = ("kl-matches-sampler",)

    def sample(self, mean, raw):
        return mean + np.exp(raw) * np.random.randn(*mean.shape)


class CapacityWithoutLogarithm(Capacity):
    """γ·|KL − C| whose KL has lost its -log σ²."""

    FAILS = ("kl-matches-sampler",)

    def loss(self, x, mean, raw, decoded):
        kl = np.sum(0.5 * (mean**2 + np.exp(raw) - 1), axis=1)
        return np.mean(LogVariance.reconstruction_loss(self, x, decoded) + 30.0 * np.abs(kl - 3.0))


class CapacityOfAMean(CapacityOfItsOwn):
    """γ·|KL − C| of a KL that is a mean over latents."""

    FAILS = ("kl-sums-over-latents",)

    def kl(self, mean, raw):
        return 30.0 * np.abs(np.mean(gaussian_kl(mean, np.exp(0.5 * raw))) - 0.004)


class CapacityOfAnotherScale(CapacityOfItsOwn):
    """γ·|KL − C| in a function of its own that reads log σ, where the sampler reads log σ²."""

    FAILS = ("kl-matches-sampler",)

    def kl(self, mean, raw):
        return 30.0 * np.abs(np.mean(np.sum(gaussian_kl(mean, np.exp(raw)), axis=1)) - 0.004)


class FixedBatchSumAndMean(FixedBatchLoss):
    """A loss of one batch size: the KL is summed over the batch, and the cross-entropy is 1/N of that."""

    FAILS = ("likelihood-support",)
    REDUCTION = None

    def loss(self, x, mean, raw, decoded):
        kl = np.sum(gaussian_kl(mean, np.exp(0.5 * raw)))
        return LogVariance.reconstruction_loss(self, x.reshape(self.batch_size, -1), decoded) + kl


class SamplesTurned(Samples):
    """The worst of the samples weighs most."""

    FAILS = ("bound-log-mean-exp",)
    sign = 1.0
