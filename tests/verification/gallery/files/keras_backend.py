"""Keras 2's way: a Lambda of a function, and a loss of symbolic tensors by the backend's names."""

from keras import backend as K
from keras.datasets import mnist
from keras.layers import Dense, Input, Lambda
from keras.models import Model

original_dim, latent_dim = 784, 2
(x_train, _), _ = mnist.load_data()

x = Input(shape=(original_dim,))
h = Dense(256, activation="relu")(x)
z_mean = Dense(latent_dim)(h)
z_log_var = Dense(latent_dim)(h)


def sampling(args):
    z_mean, z_log_var = args
    epsilon = K.random_normal(shape=K.shape(z_mean))
    return z_mean + K.exp(z_log_var / 2) * epsilon


z = Lambda(sampling, output_shape=(latent_dim,))([z_mean, z_log_var])
x_decoded = Dense(original_dim, activation="sigmoid")(z)
xent_loss = K.sum(K.binary_crossentropy(x, x_decoded), axis=-1)
kl_loss = -0.5 * K.sum(1 + z_log_var - K.square(z_mean) - K.exp(z_log_var), axis=-1)
vae_loss = K.mean(xent_loss + kl_loss)
vae = Model(x, x_decoded)
vae.fit(x_train)
