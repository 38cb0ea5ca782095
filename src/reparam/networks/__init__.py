"""Networks: array → array, over any leading dimensions."""

from reparam.networks.choice import (
    HIDDEN,
    NARROW,
    NETWORKS,
    Architecture,
    Convolutional,
    Ends,
    Perceptron,
    choose_network,
)
from reparam.networks.images import ImageDecoder, ImageEncoder
from reparam.networks.inputs import Inputs
from reparam.networks.layers import ACTIVATIONS, MLP, Linear, LogCounts, NamedNetwork, Residual, paced
from reparam.networks.rungs import Rungs

__all__ = [
    "ACTIVATIONS",
    "HIDDEN",
    "MLP",
    "NARROW",
    "NETWORKS",
    "Architecture",
    "Convolutional",
    "Ends",
    "ImageDecoder",
    "ImageEncoder",
    "Inputs",
    "Linear",
    "LogCounts",
    "NamedNetwork",
    "Perceptron",
    "Residual",
    "Rungs",
    "choose_network",
    "paced",
]
