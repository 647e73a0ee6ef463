"""Classical traces of editing, one file each: a picture in, a map out in which more means more suspicious."""
