"""Photo intake: from files to a Person. Decode, judge, align, mask, retouch, describe."""
