"""The parts of a predict run: the images that it scores, and a threshold chosen under stress."""
