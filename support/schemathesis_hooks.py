"""What `reliability.http_api` has schemathesis make up otherwise than by itself."""

import schemathesis
from hypothesis import strategies

# Its own bytes are of a type that its validator does not take (4.32.5: "Unsupported type:
# 'Binary'"), which ends the phase. They are in its examples and coverage, and in reliability.fuzz.
schemathesis.openapi.format("binary", strategies.text())
