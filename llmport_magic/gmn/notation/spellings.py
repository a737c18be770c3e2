"""The words of the notation, and what else they are called where it means one thing only."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

KINDS = (
    "agent",
    "state",
    "observation",
    "action",
    "emission",
    "transition",
    "preference",
    "habit",
)
# A prior over the states of a factor is its `initial`; some write it as a node.
BELIEF = "belief"

_KIND_SPELLINGS = {
    "state": "hidden_state hidden states factor state_factor hidden_state_factor s",
    "observation": "obs observations modality observation_modality sensor outcome o",
    "action": "control actions control_factor control_state u",
    "emission": "likelihood observation_model likelihood_model observation_likelihood a",
    "transition": "dynamics transition_model transitions b",
    "preference": "preferences prior_preference goal c",
    "habit": "habits policy_prior e",
    BELIEF: "prior initial_belief initial_state initial prior_belief d",
}

FIELDS: dict[str, tuple[str, ...]] = {
    "agent": ("type", "horizon", "precision", "description"),
    "state": ("size", "labels", "shape", "initial", "description"),
    "observation": ("size", "labels", "shape", "description"),
    "action": ("size", "labels", "description"),
    "emission": ("to", "from", "matrix", "description"),
    "transition": ("to", "from", "by", "matrix", "description"),
    "preference": ("over", "values", "description"),
    "habit": ("values",),
    BELIEF: ("over", "values", "description"),
}

_DESCRIPTION = "desc note comment doc purpose meaning"
_SIZE = (
    "num_states n_states num_observations num_obs n_observations n_obs num_actions n_actions "
    "num_controls count cardinality dim dims dimension number num n length num_values"
)
_LABELS = (
    "names state_names observation_names action_names states observations actions outcomes "
    "options state_labels observation_labels action_labels label values categories"
)
_SHAPE = "dimensions grid grid_size grid_shape"
_MATRIX = "probabilities distribution values table cpt likelihood probs"
_VALUES = "vector matrix value log_preferences preferences distribution prior probabilities weights"
_OVER = "on state observation to target for of from factor modality states observations"

_FIELD_SPELLINGS: dict[str, dict[str, str]] = {
    "agent": {
        "type": "agent_type kind",
        "horizon": "policy_len policy_length planning_horizon time_horizon planning_depth depth",
        "precision": "gamma policy_precision",
    },
    "state": {
        "size": _SIZE,
        "labels": _LABELS,
        "shape": _SHAPE,
        "initial": "initial_state initial_belief belief prior start d initial_distribution init",
    },
    "observation": {"size": _SIZE, "labels": _LABELS, "shape": _SHAPE},
    "action": {"size": _SIZE, "labels": _LABELS},
    "emission": {
        "to": "observation obs modality output outcome observations target",
        "from": "state states factor factors given depends_on inputs input parents source",
        "matrix": f"{_MATRIX} a emission",
    },
    "transition": {
        "to": "state factor target next next_state output",
        "from": "states factors given depends_on inputs input parents source previous",
        "by": "action control controls actions",
        "matrix": f"{_MATRIX} b dynamics transition",
    },
    "preference": {"over": _OVER, "values": f"{_VALUES} c"},
    "habit": {"values": f"{_VALUES} e"},
    BELIEF: {"over": _OVER, "values": f"{_VALUES} d initial"},
}
# Fields that say nothing of their own; `type: continuous` is refused by whoever builds.
IDLE = {"deterministic", "stochastic", "id", "node", "kind"}


def _turned(table: dict[str, str]) -> dict[str, str]:
    return {word: name for name, words in table.items() for word in words.split()}


_KIND_OF = _turned(_KIND_SPELLINGS)
_FIELD_OF = {kind: _turned(_FIELD_SPELLINGS[kind]) for kind in FIELDS}


def _folded(word: str) -> str:
    """Give `num_states` for `numStates`, `Num-States` and `num states`."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", word.strip())
    return re.sub(r"[\s\-.]+", "_", parted).lower()


def kind_of(word: str) -> str | None:
    """Give the kind of node that a word means, or `None`."""
    folded = _folded(word)
    return folded if folded in FIELDS else _KIND_OF.get(folded)


def field_of(kind: str, word: str) -> str | None:
    """Give the field of a kind of node that a word means, or `None`."""
    folded = _folded(word)
    if folded in FIELDS[kind]:
        return folded
    if folded in _DESCRIPTION.split() and "description" in FIELDS[kind]:
        return "description"
    return _FIELD_OF[kind].get(folded)


def is_idle(word: str) -> bool:
    """Whether a field may stand there and says nothing."""
    return _folded(word) in IDLE


def name_of(word: str) -> str:
    """Give the nearest word that may name a node: `grid_position` for `grid-position`.

    A name has letters, digits and `_` of any script, and no digit first.
    """
    word = unicodedata.normalize("NFC", word.strip())
    if word.isidentifier():
        return word
    kept = "".join(each if f"_{each}".isidentifier() else "_" for each in word)
    return kept if kept.isidentifier() else ""


def meant(word: str, known: Iterable[str]) -> str:
    """Give `; did you mean …?` where one of the known words is near, else nothing."""
    known = list(dict.fromkeys(known))
    # Long words cost much to compare, and no name is near one of them.
    if len(word) > 80:
        return ""
    near = difflib.get_close_matches(word.lower(), [each.lower() for each in known], n=1)
    found = next((each for each in known if near and each.lower() == near[0]), None)
    return f"; did you mean `{found}`?" if found else ""
