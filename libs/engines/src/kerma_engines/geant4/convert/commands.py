"""Which of Geant4's commands a macro may give."""

from __future__ import annotations

#: Commands passed on to Geant4, by prefix.
PASSED = (
    "/gps/",
    "/score/create/",
    "/score/mesh/",
    "/score/quantity/",
    "/score/filter/",
    "/run/setCut",
    "/cuts/setLowEdge",
    "/process/eLoss/",
    "/process/msc/",
)
PASSED_EXACTLY = ("/score/close", "/run/initialize")

#: Harmless commands that the runner does itself or that only make output: accepted, not passed.
DROPPED = (
    "/run/printProgress",
    "/run/verbose",
    "/run/numberOfThreads",
    "/random/setSeeds",
    "/control/verbose",
    "/event/verbose",
    "/tracking/verbose",
    "/process/verbose",
    "/score/verbose",
    "/score/list",
    "/score/dumpQuantityToFile",
    "/score/dumpAllQuantitiesToFile",
    "/gps/verbose",
)

#: Inside allowed prefixes, yet not for users: opens a file.
REFUSED = "/gps/hist/file"
#: Geant4 11.4 bins from the axis and around the full circle whatever these say.
IGNORED_BY_GEANT4 = ("/score/mesh/cylinderRMin", "/score/mesh/cylinderAngles")

#: What a beam of spots leaves to Geant4's source.
PASSED_WITH_SPOTS = {
    "/gps/particle",
    "/gps/ion",
    "/gps/position",
    "/gps/pos/centre",
    "/gps/pos/rot1",
    "/gps/pos/rot2",
}
