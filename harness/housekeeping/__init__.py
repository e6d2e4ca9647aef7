"""What lies under the home, what it takes, and removing it; runs for elsewhere, and run again."""
