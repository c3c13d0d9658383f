"""What a REST call asks for, and whether it may have it: its arguments, its wishes, its retries. No I/O."""
