"""Small files that ask for much, and what each command takes to read or refuse them."""
