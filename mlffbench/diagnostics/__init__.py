"""How far test structures are from training, and which distances warn of error."""
