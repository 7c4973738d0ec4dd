"""How workers find each other and exchange tensors."""
