"""What an embed run consists of: the vectors of images, and what maps words among them."""
