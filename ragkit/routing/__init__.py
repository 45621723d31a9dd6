"""The choice of a model: what a question brings to it, what models cost and are good for, and how that is learnt."""
