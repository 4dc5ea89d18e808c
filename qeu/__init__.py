"""QEU Playground: reasoning-field distillation from a strong model into a small one."""

__version__ = "0.1.0"
