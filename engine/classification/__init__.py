"""The classifier: backbones, cached trunk features, training, calibration, inference and Grad-CAM."""
