"""Reports: prompt strategies, the generators that answer them, and how the answers are read and scored."""
