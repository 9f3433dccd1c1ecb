"""What others reach over the network."""
