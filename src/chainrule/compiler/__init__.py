"""`compile`: functions traced as they run, differentiated, fused, and run as native code."""
