"""A script with arguments, a package that may be missing, and a sampler with a name of its own."""

import argparse
import os

try:
    import a_package_for_other_machines as np
except ImportError:
    import numpy as np
from a_package_of_trainers import HUB, Trainer, reviewed

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--latents", type=int, default=4)
parser.add_argument("--cuda", action="store_true")
args = parser.parse_args()
args.scale = 0.5


@reviewed()
class VAE(Trainer):
    weights = os.path.join(HUB, "vae.npz")

    def __init__(self, hub):
        self.latents, self.half = args.latents, args.scale

    def encode(self, images):
        hidden = images @ self.w
        return hidden[:, : self.latents], hidden[:, self.latents :]

    def _latent_vector(self, mean, std):
        noise = np.random.standard_normal(std.shape)
        return mean + np.exp(self.half * std) * noise

    def forward(self, images):
        mean, std = self.encode(images)
        z = self._latent_vector(mean, std)
        return self.decode(z), mean, std


def criterion(images, images_hat, mean, std):
    if args.cuda:
        raise RuntimeError("no such machine")
    cross_entropy = -np.sum(images * np.log(images_hat) + (1 - images) * np.log(1 - images_hat))
    return cross_entropy + 0.5 * np.sum(np.exp(std) + mean**2 - 1 - std)


for _ in range(10):
    VAE(HUB).fit(args.data)
