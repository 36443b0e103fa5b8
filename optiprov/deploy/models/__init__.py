"""What the files of a scenario may hold: one model for each of their parts, one module a file."""

from optiprov.deploy.models.base import Model
from optiprov.deploy.models.environment import (
    TESTBEDS,
    Chameleon,
    Environment,
    FirewallRule,
    Grid5000,
    IotLab,
    Limits,
    LocalTestbed,
    Scaleway,
    StaticHost,
    StaticTestbed,
)
from optiprov.deploy.models.layers_services import (
    Kwollect,
    Layer,
    LayersServices,
    Monitoring,
    MonitoringIotLab,
    MonitoringProfile,
    ProvenanceService,
    Service,
)
from optiprov.deploy.models.network import Network, NetworkFile
from optiprov.deploy.models.providers import ProvidersFile
from optiprov.deploy.models.workflow import PLAY_KEYWORDS, Dependency, PlayModel
from optiprov.deploy.models.workflow_env import WORKFLOW_ENV

__all__ = [
    "PLAY_KEYWORDS",
    "TESTBEDS",
    "WORKFLOW_ENV",
    "Chameleon",
    "Dependency",
    "Environment",
    "FirewallRule",
    "Grid5000",
    "IotLab",
    "Kwollect",
    "Layer",
    "LayersServices",
    "Limits",
    "LocalTestbed",
    "Model",
    "Monitoring",
    "MonitoringIotLab",
    "MonitoringProfile",
    "Network",
    "NetworkFile",
    "PlayModel",
    "ProvenanceService",
    "ProvidersFile",
    "Scaleway",
    "Service",
    "StaticHost",
    "StaticTestbed",
]
