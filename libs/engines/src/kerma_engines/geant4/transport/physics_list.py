"""Physics lists: a stock one with data sets, a pruned one without.

Without data sets Geant4 keeps its own ionisation, straggling, multiple scattering, delta electrons,
elastic and Binary-cascade inelastic scattering of hadrons and ions. Processes that need tables are
removed: photo-electric effect, Rayleigh scattering, bremsstrahlung and all interactions of
neutrons. Otherwise they would silently run with cross sections of zero, hence ``check_pruned``,
which a run must pass before its first primary.
"""

from __future__ import annotations

from typing import Any

import geant4_pybind as g4

_LOSSES = frozenset({"hBrems", "hPairProd"})
_MUON_LOSSES = frozenset({"muBrems", "muPairProd"})

PRUNED = {
    "gamma": frozenset({"phot", "Rayl", "GammaGeneralProc"}),
    "e-": frozenset({"eBrem"}),
    "e+": frozenset({"eBrem"}),
    "mu+": _MUON_LOSSES,
    "mu-": _MUON_LOSSES,
    "pi+": _LOSSES,
    "pi-": _LOSSES,
    "kaon+": _LOSSES,
    "kaon-": _LOSSES,
    "proton": _LOSSES,
    "anti_proton": _LOSSES,
    "neutron": frozenset(
        {
            "neutronInelastic",
            "nCapture",
            "nCaptureXS",
            "hadElastic",
            "NeutronGeneralProc",
            "nFission",
        }
    ),
}

#: The processes that a neutron keeps: transport, decay, and user limits or scoring meshes.
_NEUTRON_KEEPS = frozenset(
    {"Transportation", "CoupledTransportation", "Decay", "StepLimiter", "UserSpecialCut"}
)


def _processes(particle: Any) -> list[Any]:
    manager = particle.GetProcessManager()
    if manager is None:
        return []
    processes = manager.GetProcessList()
    return [processes[i] for i in range(manager.GetProcessListLength())]


class _Prune(g4.G4VPhysicsConstructor):  # type: ignore[misc]
    """Registered last: removes processes that would need data."""

    def __init__(self) -> None:
        super().__init__("prune")

    def ConstructParticle(self) -> None:  # noqa: N802 - Geant4's name
        """Construct nothing: particles are those of the constructors before."""

    def ConstructProcess(self) -> None:  # noqa: N802 - Geant4's name
        table = g4.G4ParticleTable.GetParticleTable()
        for name, unwanted in PRUNED.items():
            particle = table.FindParticle(name)
            for process in _processes(particle):
                if process.GetProcessName() in unwanted:
                    particle.GetProcessManager().RemoveProcess(process)


class _Modular(g4.G4VModularPhysicsList):  # type: ignore[misc]
    def __init__(self, *, prune: bool, nuclear: bool) -> None:
        super().__init__()
        # Decay first: later constructors expect its particles to exist.
        constructors = [g4.G4DecayPhysics(), g4.G4EmStandardPhysics()]
        if nuclear:
            constructors += [
                g4.G4HadronElasticPhysics(),
                g4.G4HadronPhysicsQGSP_BIC(),
                g4.G4IonPhysics(),
            ]
        if prune:
            constructors.append(_Prune())
        for constructor in constructors:
            constructor.SetVerboseLevel(0)
            self.RegisterPhysics(constructor)
        # The electromagnetic constructor switches this on; one combined process can't be pruned.
        g4.G4EmParameters.Instance().SetGeneralProcessActive(False)


def create(*, full: bool, nuclear: bool, kills: bool) -> Any:
    """Return a physics list. ``full``: data sets exist; ``kills``: some volumes end tracks."""
    physics = g4.QGSP_BIC() if full and nuclear else _Modular(prune=not full, nuclear=nuclear)
    if kills:
        limits = g4.G4StepLimiterPhysics()
        limits.SetApplyToAll(True)
        physics.RegisterPhysics(limits)
    physics.SetVerboseLevel(0)
    g4.G4EmParameters.Instance().SetVerbose(0)
    return physics


def check_pruned() -> None:
    """Raise RuntimeError unless every process that needs data is gone from every particle."""
    table = g4.G4ParticleTable.GetParticleTable()
    for name, unwanted in PRUNED.items():
        names = {process.GetProcessName() for process in _processes(table.FindParticle(name))}
        if not names:
            raise RuntimeError(f"{name} has no processes: the physics list was not built")
        if left := names & unwanted:
            raise RuntimeError(f"{name} still has {', '.join(sorted(left))} without data sets")
    neutron = {process.GetProcessName() for process in _processes(table.FindParticle("neutron"))}
    if strange := neutron - _NEUTRON_KEEPS:
        raise RuntimeError(f"neutron still has {', '.join(sorted(strange))} without data sets")
