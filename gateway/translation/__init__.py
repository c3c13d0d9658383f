"""Between the eras: what makes a child of one era look to the conversation like a child of the other."""
