"""The promises a force field must keep, tried out one by one."""
