"""The Geant4 commands that a macro may contain, and their arguments.

The commands and their arguments are those that Geant4 11.4 lists (``/control/manual /``). Each
argument is one of these, in Geant4's order:

  =========  ==================================================================
  ``d``      a number
  ``i``      a whole number
  ``b``      true or false, as Geant4 writes them
  ``L E A T`` a unit of length, energy, angle or time
  ``N``      a plain name
  ``V``      the name of a volume or region
  ``P``      the name of a particle
  ``a|b|c``  one of these words
  =========  ==================================================================

A ``?`` after it marks an optional argument, a ``+`` one that may be repeated. No argument is a file
name: commands that open files are not in the table.
"""

from __future__ import annotations

_VECTOR = "d d d"
_POINT = "d d d L?"
_LENGTH = "d L?"
_ANGLE = "d A?"
_ENERGY = "d E?"
_STEP = "d d L?"
_HISTOGRAMS = "biasx|biasy|biasz|biast|biasp|biase|biaspt|biaspp|theta|phi|energy|arb|epn"
_STEP_LIMITS = "Minimal|UseSafety|UseSafetyPlus|UseDistanceToBoundary"

#: Commands of the particle source.
SOURCE = {
    "/gps/particle": "P",
    "/gps/ion": "i i i? d?",
    "/gps/ionLvl": "i i i? i?",
    "/gps/direction": _VECTOR,
    "/gps/energy": _ENERGY,
    "/gps/position": _POINT,
    "/gps/time": "d T?",
    "/gps/polarization": _VECTOR,
    "/gps/number": "i",
    "/gps/checkVolume": "b?",
    "/gps/source/add": "d",
    "/gps/source/clear": "",
    "/gps/source/set": "i",
    "/gps/source/delete": "i",
    "/gps/source/intensity": "d",
    "/gps/source/multiplevertex": "b?",
    "/gps/source/flatsampling": "b?",
    "/gps/pos/type": "Point|Beam|Plane|Surface|Volume",
    "/gps/pos/shape": (
        "Circle|Annulus|Ellipse|Square|Rectangle|Sphere|Ellipsoid|Cylinder|EllipticCylinder|Para"
    ),
    "/gps/pos/centre": _POINT,
    "/gps/pos/rot1": _VECTOR,
    "/gps/pos/rot2": _VECTOR,
    "/gps/pos/halfx": _LENGTH,
    "/gps/pos/halfy": _LENGTH,
    "/gps/pos/halfz": _LENGTH,
    "/gps/pos/radius": _LENGTH,
    "/gps/pos/inner_radius": _LENGTH,
    "/gps/pos/sigma_r": _LENGTH,
    "/gps/pos/sigma_x": _LENGTH,
    "/gps/pos/sigma_y": _LENGTH,
    "/gps/pos/paralp": _ANGLE,
    "/gps/pos/parthe": _ANGLE,
    "/gps/pos/parphi": _ANGLE,
    "/gps/pos/confine": "V",
    "/gps/ang/type": "iso|cos|planar|beam1d|beam2d|focused|user",
    "/gps/ang/rot1": _VECTOR,
    "/gps/ang/rot2": _VECTOR,
    "/gps/ang/mintheta": "d? A?",
    "/gps/ang/maxtheta": "d? A?",
    "/gps/ang/minphi": "d? A?",
    "/gps/ang/maxphi": "d? A?",
    "/gps/ang/sigma_r": _ANGLE,
    "/gps/ang/sigma_x": _ANGLE,
    "/gps/ang/sigma_y": _ANGLE,
    "/gps/ang/focuspoint": _POINT,
    "/gps/ang/user_coor": "b?",
    "/gps/ang/surfnorm": "b?",
    "/gps/ene/type": "Mono|Lin|Pow|Exp|CPow|Gauss|Brem|Bbody|Cdg|User|Arb|Epn|LW",
    "/gps/ene/min": _ENERGY,
    "/gps/ene/max": _ENERGY,
    "/gps/ene/mono": _ENERGY,
    "/gps/ene/sigma": _ENERGY,
    "/gps/ene/alpha": "d",
    "/gps/ene/temp": "d",
    "/gps/ene/ezero": "d",
    "/gps/ene/gradient": "d",
    "/gps/ene/intercept": "d",
    "/gps/ene/biasAlpha": "d",
    "/gps/ene/calculate": "",
    "/gps/ene/emspec": "b?",
    "/gps/ene/diffspec": "b?",
    "/gps/ene/applyEneWeight": "b?",
    "/gps/hist/type": _HISTOGRAMS,
    "/gps/hist/reset": _HISTOGRAMS,
    "/gps/hist/point": "d? d? d?",
    "/gps/hist/inter": "Lin|Log|Exp|Spline",
}

#: Commands of scoring meshes; those of quantities are in ``scorers.native``.
MESHES = {
    "/score/create/boxMesh": "N",
    "/score/create/cylinderMesh": "N",
    "/score/create/realWorldLogVol": "N i?",
    "/score/mesh/boxSize": _POINT,
    "/score/mesh/cylinderSize": "d d L?",
    "/score/mesh/nBin": "i i i",
    "/score/mesh/translate/xyz": _POINT,
    "/score/mesh/translate/reset": "",
    "/score/mesh/rotate/rotateX": _ANGLE,
    "/score/mesh/rotate/rotateY": _ANGLE,
    "/score/mesh/rotate/rotateZ": _ANGLE,
    "/score/filter/charged": "N",
    "/score/filter/neutral": "N",
    "/score/filter/kineticEnergy": "N d? d? E?",
    "/score/filter/particle": "N P+",
    "/score/filter/particleWithKineticEnergy": "N d d E P+",
    "/score/close": "",
}

#: Commands of cuts and of electromagnetic physics.
PHYSICS = {
    "/run/initialize": "",
    "/run/setCut": _LENGTH,
    "/run/setCutForAGivenParticle": "P d L",
    "/run/setCutForRegion": "V d L?",
    "/cuts/setLowEdge": _ENERGY,
    "/process/eLoss/fluct": "b?",
    "/process/eLoss/CSDARange": "b?",
    "/process/eLoss/LPM": "b?",
    "/process/eLoss/useCutAsFinalRange": "b?",
    "/process/eLoss/UseAngularGenerator": "b?",
    "/process/eLoss/UseICRU90": "b?",
    "/process/eLoss/minKinEnergy": "d E",
    "/process/eLoss/maxKinEnergy": "d E",
    "/process/eLoss/maxKinEnergyCSDA": "d E",
    "/process/eLoss/linLossLimit": "d",
    "/process/eLoss/bremThreshold": "d E",
    "/process/eLoss/bremMuHadThreshold": "d E",
    "/process/eLoss/LambdaFactor": "d",
    "/process/eLoss/setFluctModel": "Dummy|Universal|Urban",
    "/process/eLoss/enableFluctForRegion": "V",
    "/process/eLoss/disableFluctForRegion": "V",
    "/process/eLoss/StepFunction": _STEP,
    "/process/eLoss/StepFunctionMuHad": _STEP,
    "/process/eLoss/StepFunctionLightIons": _STEP,
    "/process/eLoss/StepFunctionIons": _STEP,
    "/process/msc/LateralDisplacement": "b?",
    "/process/msc/LateralDisplacementAlg96": "b?",
    "/process/msc/MuHadLateralDisplacement": "b?",
    "/process/msc/UseMottCorrection": "b?",
    "/process/msc/PositronCorrection": "b?",
    "/process/msc/FactorForAngleLimit": "d",
    "/process/msc/ThetaLimit": "d A",
    "/process/msc/EnergyLimit": "d E",
    "/process/msc/RangeFactor": "d",
    "/process/msc/RangeFactorMuHad": "d",
    "/process/msc/GeomFactor": "d",
    "/process/msc/Skin": "d",
    "/process/msc/ScreeningFactor": "d",
    "/process/msc/SafetyFactor": "d",
    "/process/msc/LambdaLimit": "d L",
    "/process/msc/StepLimit": _STEP_LIMITS,
    "/process/msc/StepLimitMuHad": _STEP_LIMITS,
}

PASSED = SOURCE | MESHES | PHYSICS

#: Harmless commands that the runner executes itself or that only print: accepted, not passed on.
DROPPED = frozenset(
    {
        "/run/printProgress",
        "/run/verbose",
        "/run/numberOfThreads",
        "/random/setSeeds",
        "/control/verbose",
        "/event/verbose",
        "/tracking/verbose",
        "/process/verbose",
        "/process/eLoss/verbose",
        "/score/verbose",
        "/score/list",
        "/score/dumpQuantityToFile",
        "/score/dumpAllQuantitiesToFile",
        "/gps/verbose",
        "/gps/List",
        "/gps/source/list",
        "/gps/source/show",
    }
)

#: Commands that Geant4 knows but users may not give, and why.
REFUSED = {
    "/gps/hist/file": "opens a file; give the points with /gps/hist/point",
    "/score/mesh/cylinderRMin": "has no effect: Geant4 bins as if it were not there",
    "/score/mesh/cylinderAngles": "has no effect: Geant4 bins as if it were not there",
    "/score/create/probe": "is not supported; use boxMesh or cylinderMesh",
    "/score/quantity/touch": "is not supported",
    "/score/quantity/get/unit": "is not supported",
    "/score/quantity/set/unit": "is not supported; give the unit where the quantity is declared",
    "/score/quantity/stepChecker": "prints every step and scores nothing",
}

#: Commands that a beam of spots leaves to Geant4's source.
PASSED_WITH_SPOTS = {
    "/gps/particle",
    "/gps/ion",
    "/gps/position",
    "/gps/pos/centre",
    "/gps/pos/rot1",
    "/gps/pos/rot2",
}
