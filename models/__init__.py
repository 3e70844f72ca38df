"""The models, sources, stimuli, synapses and connection rules. Import as `eventsnn.models`."""

if __name__ != "eventsnn.models":
    raise ImportError("import it as 'eventsnn.models', not as 'models': a second copy of its classes would not match the first")

from eventsnn.models.neurons.aeif_cond_alpha import AEifCondAlpha
from eventsnn.models.neurons.aeif_cond_exp import AEifCondExp
from eventsnn.models.neurons.aeif_psc_alpha import AEifPscAlpha
from eventsnn.models.neurons.aeif_psc_delta import AEifPscDelta
from eventsnn.models.neurons.aeif_psc_exp import AEifPscExp
from eventsnn.models.neurons.alif import Alif
from eventsnn.models.neurons.channels import AMPA, GABA, NMDA, Channel, conductance_lif
from eventsnn.models.neurons.clopath_adex import ClopathAdEx
from eventsnn.models.neurons.diehl_cook import DiehlCook
from eventsnn.models.neurons.escape_lif import EscapeLif
from eventsnn.models.neurons.glif_psc import GlifPsc
from eventsnn.models.neurons.hh_cond_exp_traub import HhCondExpTraub
from eventsnn.models.neurons.hh_psc_alpha import HhPscAlpha
from eventsnn.models.neurons.hodgkin_huxley import HodgkinHuxley
from eventsnn.models.neurons.iaf_cond_alpha import IafCondAlpha
from eventsnn.models.neurons.iaf_cond_exp import IafCondExp
from eventsnn.models.neurons.iaf_psc_alpha import IafPscAlpha
from eventsnn.models.neurons.iaf_psc_delta import IafPscDelta
from eventsnn.models.neurons.iaf_psc_exp import IafPscExp
from eventsnn.models.neurons.iaf_psc_exp_gated import IafPscExpGated
from eventsnn.models.neurons.izhikevich import Izhikevich
from eventsnn.models.neurons.izhikevich_2007 import Izhikevich2007
from eventsnn.models.neurons.lif_delta import LifDelta
from eventsnn.models.neurons.mat2_psc_exp import Mat2PscExp
from eventsnn.models.neurons.multisynapse import iaf_psc_exp_multisynapse
from eventsnn.models.neurons.parrot import Parrot
from eventsnn.models.neurons.phase_if import PhaseIf
from eventsnn.models.neurons.power_law_alif import PowerLawAlif, power_law_alif
from eventsnn.models.neurons.with_noise import with_noise
from eventsnn.models.rules.all_to_all import AllToAll
from eventsnn.models.rules.bernoulli import Bernoulli
from eventsnn.models.rules.explicit import Explicit
from eventsnn.models.rules.fixed_degrees import FixedDegrees
from eventsnn.models.rules.fixed_indegree import FixedIndegree
from eventsnn.models.rules.fixed_outdegree import FixedOutdegree
from eventsnn.models.rules.fixed_total_number import FixedTotalNumber
from eventsnn.models.rules.nearest import Nearest
from eventsnn.models.rules.one_to_one import OneToOne
from eventsnn.models.rules.pairwise_poisson import PairwisePoisson
from eventsnn.models.rules.symmetric_bernoulli import SymmetricBernoulli
from eventsnn.models.sources.gamma import GammaSource
from eventsnn.models.sources.poisson import Poisson
from eventsnn.models.sources.rates import Rates, Sinusoid, rate_function
from eventsnn.models.sources.spike_train import SpikeTrain
from eventsnn.models.stimuli.ac_current import AcCurrent
from eventsnn.models.stimuli.noise_current import NoiseCurrent
from eventsnn.models.stimuli.poisson_input import PoissonInput
from eventsnn.models.stimuli.step_current import StepCurrent
from eventsnn.models.synapses.clopath import Clopath
from eventsnn.models.synapses.sfa_gradient import SfaGradient
from eventsnn.models.synapses.static import Static
from eventsnn.models.synapses.stdp import Stdp
from eventsnn.models.synapses.stdp_dopamine import StdpDopamine
from eventsnn.models.synapses.stdp_nearest import StdpNnPreCentered, StdpNnRestr, StdpNnSymm
from eventsnn.models.synapses.stdp_oja import StdpOja
from eventsnn.models.synapses.stdp_pl import StdpPl
from eventsnn.models.synapses.stdp_reward import StdpReward
from eventsnn.models.synapses.stdp_sfa import StdpSfa
from eventsnn.models.synapses.stdp_triplet import StdpTriplet
from eventsnn.models.synapses.tsodyks import Tsodyks, Tsodyks2
from eventsnn.models.synapses.vogels_sprekeler import VogelsSprekeler

__all__ = [
    "AMPA",
    "GABA",
    "NMDA",
    "AEifCondAlpha",
    "AEifCondExp",
    "AEifPscAlpha",
    "AEifPscDelta",
    "AEifPscExp",
    "AcCurrent",
    "Alif",
    "AllToAll",
    "Bernoulli",
    "Channel",
    "Clopath",
    "ClopathAdEx",
    "DiehlCook",
    "EscapeLif",
    "Explicit",
    "FixedDegrees",
    "FixedIndegree",
    "FixedOutdegree",
    "FixedTotalNumber",
    "GammaSource",
    "GlifPsc",
    "HhCondExpTraub",
    "HhPscAlpha",
    "HodgkinHuxley",
    "IafCondAlpha",
    "IafCondExp",
    "IafPscAlpha",
    "IafPscDelta",
    "IafPscExp",
    "IafPscExpGated",
    "Izhikevich",
    "Izhikevich2007",
    "LifDelta",
    "Mat2PscExp",
    "Nearest",
    "NoiseCurrent",
    "OneToOne",
    "PairwisePoisson",
    "Parrot",
    "PhaseIf",
    "Poisson",
    "PoissonInput",
    "PowerLawAlif",
    "Rates",
    "SfaGradient",
    "Sinusoid",
    "SpikeTrain",
    "Static",
    "Stdp",
    "StdpDopamine",
    "StdpNnPreCentered",
    "StdpNnRestr",
    "StdpNnSymm",
    "StdpOja",
    "StdpPl",
    "StdpReward",
    "StdpSfa",
    "StdpTriplet",
    "StepCurrent",
    "SymmetricBernoulli",
    "Tsodyks",
    "Tsodyks2",
    "VogelsSprekeler",
    "conductance_lif",
    "iaf_psc_exp_multisynapse",
    "power_law_alif",
    "rate_function",
    "with_noise",
]
