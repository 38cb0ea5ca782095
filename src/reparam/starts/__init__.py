"""Where training begins: models with an answer in closed form."""
