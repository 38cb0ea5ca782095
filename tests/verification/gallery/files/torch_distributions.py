"""Distributions as values: the encoder returns q, the decoder p(x|z), a script makes the loss of them."""

import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence


class Encoder(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.mean, self.log_sigma = nn.Linear(784, latent_dim), nn.Linear(784, latent_dim)

    def forward(self, x):
        mu = self.mean(x)
        log_sigma = self.log_sigma(x)
        return Normal(mu, torch.exp(log_sigma))


class Decoder(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.out = nn.Linear(latent_dim, 784)

    def forward(self, z):
        logits = self.out(z)
        return Bernoulli(logits=logits)


class VAE(nn.Module):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x):
        q_z = self.encoder(x)
        z = q_z.rsample()
        return self.decoder(z), q_z


vae = VAE(Encoder(8), Decoder(8))
for x in torch.load("images.pt"):
    p_x, q_z = vae(x)
    log_likelihood = p_x.log_prob(x).sum(-1).mean()
    kl = kl_divergence(q_z, Normal(0.0, 1.0)).sum(-1).mean()
    loss = -(log_likelihood - kl)
    loss.backward()
