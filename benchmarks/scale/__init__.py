"""The deployed app in virtual time: the product's own code, between a modelled Graph and a modelled Azure."""
