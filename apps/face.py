"""`vitapps face`: where faces are, whose they are, and whether a picture of one can be trusted."""

from __future__ import annotations

from vitapps.apps import face_attack as face_attack
from vitapps.apps import face_eval as face_eval
from vitapps.apps import face_expression as face_expression
from vitapps.apps import face_fake as face_fake
from vitapps.apps import face_find as face_find
from vitapps.apps import face_gaze as face_gaze
from vitapps.apps import face_identity as face_identity
from vitapps.apps import face_live as face_live
from vitapps.apps import face_trust as face_trust
from vitapps.apps.face_groups import app as app
