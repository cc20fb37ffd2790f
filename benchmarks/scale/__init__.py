"""The deployed app in virtual time, with a modelled Graph and a modelled Azure."""
