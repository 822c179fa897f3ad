"""What watched processes ask of GPUs: where the CUDA libraries are, and hooks in them."""
