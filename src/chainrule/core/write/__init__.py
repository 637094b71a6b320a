"""What a write means: in place, through views, into out=."""
