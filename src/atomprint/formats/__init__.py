"""How files hold structures and what is known of them: every format is read and judged here, and nowhere else."""
