"""Group effects that are written non-centred, sampled as the effects."""
