"""The scripts here are for type checkers to read: collecting them would run them."""

collect_ignore = ["mistakes.py", "revealed.py", "user_script.py"]
