"""What potentials are sums of: terms that are linear in their coefficients, and what the core evaluates of them."""
