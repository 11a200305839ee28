"""What a report is: prompt strategies, the generators that answer them, and how an answer is read and scored."""
