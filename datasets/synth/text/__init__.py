"""Synthetic lines of writing: faces of this machine, text of many kinds, a renderer, defects of scans and receipts.

    faces = find_faces()                              fonts.py    installed Latin faces, or Pillow's own one
    source = TextSource.open(word_list=None)          words.py    prose, citations, receipts, numbers, random strings
    line = draw_line([Run(word, face), ...], 32)      render.py   ink of one line, its baseline and word boxes
    picture = degrade(ink, "scan", rng)               degrade.py  ink to the grey picture a scanner or camera gives
    picture = by_camera(picture, rng)                 camera.py   bent, on a screen, showing through, few dots
    sample = LineMaker(faces, source).sample(seed)    line.py     all of it: one crop with its text, the same for a seed

Everything is drawn from `numpy.random.Generator`s; a seed gives the same picture on the same set of faces.
"""
