"""What pages share: URL-bound filters, linked tables and image grids, the frame, panels."""
