"""Updates of parameters in few bytes: what is sent of them, and how. NumPy alone."""
