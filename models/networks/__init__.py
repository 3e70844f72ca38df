"""Networks of the literature, ready to run: each is a function that returns an `eventsnn.Network`."""

from eventsnn.models.networks.brunel import brunel, small
from eventsnn.models.networks.cobahh import cobahh
from eventsnn.models.networks.cuba import cuba
from eventsnn.models.networks.hpc_benchmark import hpc_benchmark
from eventsnn.models.networks.microcircuit import microcircuit
from eventsnn.models.networks.polychronization import polychronization

__all__ = ["brunel", "cobahh", "cuba", "hpc_benchmark", "microcircuit", "polychronization", "small"]
