"""Pixels: decoding within limits, orientation, and the letterbox."""
