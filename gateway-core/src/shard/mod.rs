//! Floor 4: the media plane: phases, leg table, one ingress per room. (`plane` writes it.)
