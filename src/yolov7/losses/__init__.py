"""What a detector is trained to make small."""
