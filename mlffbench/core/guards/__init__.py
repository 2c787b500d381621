"""What stands between mlffbench and text, files and processes it did not make."""
