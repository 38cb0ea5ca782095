"""A training script as people write them: arguments, a download, a module, a joint loss, a loop."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn, optim
from torchvision import datasets, transforms

parser = argparse.ArgumentParser(description="a VAE on digits")
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--data", required=True)
args = parser.parse_args()

loader = torch.utils.data.DataLoader(
    datasets.MNIST(args.data, download=True, transform=transforms.ToTensor()), batch_size=args.batch_size
)


class VAE(nn.Module):
    def __init__(self, hidden, latents=20):
        super().__init__()
        self.hidden = nn.Linear(784, hidden)
        self.mu, self.logvar = nn.Linear(hidden, latents), nn.Linear(hidden, latents)
        self.decoder = nn.Sequential(nn.Linear(latents, hidden), nn.ReLU(), nn.Linear(hidden, 784), nn.Sigmoid())

    def encode(self, x):
        h = F.relu(self.hidden(x))
        return self.mu(h), self.logvar(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 784))
        return self.decoder(self.reparameterize(mu, logvar)), mu, logvar

    def sample(self, num_samples, device):
        return self.decoder(torch.randn(num_samples, 20).to(device))


def loss_function(recon_x, x, mu, logvar):
    reconstruction = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return reconstruction + kl


model = VAE(400)
optimizer = optim.Adam(model.parameters())
for x, _ in loader:
    optimizer.zero_grad()
    loss_function(x, *model(x)).backward()
    optimizer.step()
