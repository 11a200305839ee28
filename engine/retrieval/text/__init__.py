"""Search by text: sentences, their mapping into the space of images, and what it was not taught."""
