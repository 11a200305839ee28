"""Images: safe decoding of files and DICOM, image attributes, heatmaps over the lung zones."""
