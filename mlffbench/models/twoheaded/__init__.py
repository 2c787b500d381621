"""Networks with two heads over one representation: a prior's and the reference's."""
