"""The classifier protocol: backbones, cached trunk features, training, inference, calibration, explanation."""
