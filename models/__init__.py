"""The models, sources, stimuli, synapses and connection rules. Import as `eventsnn.models`."""

if __name__ != "eventsnn.models":
    raise ImportError("import it as 'eventsnn.models', not as 'models': a second copy of its classes would not match the first")

from eventsnn.models.neurons.iaf_psc_alpha import IafPscAlpha
from eventsnn.models.neurons.iaf_psc_delta import IafPscDelta
from eventsnn.models.neurons.iaf_psc_exp import IafPscExp
from eventsnn.models.neurons.parrot import Parrot
from eventsnn.models.rules.all_to_all import AllToAll
from eventsnn.models.rules.bernoulli import Bernoulli
from eventsnn.models.rules.explicit import Explicit
from eventsnn.models.rules.fixed_indegree import FixedIndegree
from eventsnn.models.rules.fixed_outdegree import FixedOutdegree
from eventsnn.models.rules.fixed_total_number import FixedTotalNumber
from eventsnn.models.rules.one_to_one import OneToOne
from eventsnn.models.sources.poisson import Poisson
from eventsnn.models.sources.spike_train import SpikeTrain
from eventsnn.models.stimuli.poisson_input import PoissonInput
from eventsnn.models.stimuli.step_current import StepCurrent
from eventsnn.models.synapses.static import Static

__all__ = [
    "AllToAll",
    "Bernoulli",
    "Explicit",
    "FixedIndegree",
    "FixedOutdegree",
    "FixedTotalNumber",
    "IafPscAlpha",
    "IafPscDelta",
    "IafPscExp",
    "OneToOne",
    "Parrot",
    "Poisson",
    "PoissonInput",
    "SpikeTrain",
    "Static",
    "StepCurrent",
]
