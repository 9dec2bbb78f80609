"""Our side of a run: where labels, budget and clock are kept, and answers are judged.

May import `candidate` (the messages), `isolation`, `metering`; `engines` and `checking` enter.
"""
